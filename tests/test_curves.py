"""Learning curves on a terminal: what can be read off them, for values of any kind, without colours and braille."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.cli.curves import BESIDE, drawn
from pipeline.cli.plots import BLANK, BRAILLE, PLAIN, Pen, plot
from pipeline.report.charts import Series

PENS = {"braille": BRAILLE, "plain": PLAIN}
EPOCHS = [
    {"epoch": n, "train_loss": 3.0 - n / 2, "validation_loss": 3.0 - n / 4, "validation_accuracy": 0.5 + n / 10}
    for n in (1, 2, 3, 4)
]


def text(lines: Any) -> list[str]:
    return ["".join(part for part, _ in line).rstrip() for line in lines]


def shown(epochs: list[dict[str, Any]], width: int = 80, unicode: bool = True) -> list[str]:
    return text(drawn("Train", epochs, width, unicode))


@pytest.mark.parametrize("pen", PENS.values(), ids=PENS)
def test_a_line_begins_and_ends_where_its_values_are(pen: Pen) -> None:
    rows = text(plot("up", [Series("it", [(1, 0.2), (9, 0.7)])], 40, pen))
    first, *middle, last = rows[1:-1]
    assert first.startswith("0.7 ") and first.endswith(" 0.7")
    assert last.startswith("0.2 ") and last[5] != " "
    assert len(middle) == pen.rows - 2 and all(row[5:].strip() for row in middle)
    assert rows[-1].split() == ["1", "9"]
    assert max(map(len, rows)) == 40


def test_a_dot_of_braille_is_as_high_as_its_value() -> None:
    (row,) = text(plot("one", [Series("it", [(0, 4.0), (1, 3.0), (2, 2.0), (3, 1.0)])], 11, BRAILLE._replace(rows=1)))[
        1:2
    ]
    cells = row[3:-2]
    assert len(cells) == 8 and ord(cells[0]) & 1 and ord(cells[-1]) & 0x80


def test_lines_are_told_apart_without_colours() -> None:
    *_, plain = (text(plot("loss", _two(), 40, pen)) for pen in (BRAILLE, PLAIN))
    assert plain[0] == "loss  * solid  . dotted"
    assert any("*" in row and "." in row[5:] for row in plain[1:-1])
    dots = [[_count(row) for row in text(plot("x", [one], 40, BRAILLE))[1:-1]] for one in _two()]
    both = text(plot("loss", _two(), 40, BRAILLE))[1:-1]
    assert sum(map(_count, both)) < sum(map(sum, dots)), "the second one has every other dot alone"


def _two() -> list[Series]:
    return [Series("solid", [(1, 2.0), (9, 1.0)]), Series("dotted", [(1, 1.0), (9, 2.0)])]


def _count(row: str) -> int:
    return sum((ord(each) - BLANK).bit_count() for each in row if ord(each) >= BLANK)


def test_a_training_is_told_by_its_best_epoch_and_drawn_side_by_side() -> None:
    epochs = [*EPOCHS, {"epoch": 5, "train_loss": 0.4, "validation_loss": 2.5, "validation_accuracy": 0.7}]
    rows = shown(epochs, 100)
    assert rows[0] == "Train: best validation_accuracy 0.9 in epoch 4 of 5, validation_loss 2 in 4"
    assert rows[1].split() == ["loss", "━", "validation", "┅", "training", "accuracy", "━", "validation"]
    assert len(rows) == 1 + 1 + BRAILLE.rows + 1
    assert max(map(len, rows)) <= 100


def test_on_a_narrow_terminal_the_plots_stand_below_each_other() -> None:
    rows = shown(EPOCHS, BESIDE - 1)
    assert [row.split()[0] for row in rows if "━" in row] == ["loss", "accuracy"]
    assert max(map(len, rows)) < BESIDE


def test_a_line_that_nobody_measured_is_not_in_the_legend() -> None:
    rows = shown([{name: value for name, value in row.items() if name != "train_loss"} for row in EPOCHS])
    assert "validation" in rows[1] and "training" not in rows[1]


def test_ends_that_are_alike_are_both_told() -> None:
    alike = [Series("a", [(1, 1.0), (2, 0.25)]), Series("b", [(1, 1.0), (2, 0.25)])]
    assert sum(row.endswith(" 0.25") for row in text(plot("x", alike, 40, BRAILLE))) == 2


def test_a_loss_that_broke_off_says_so() -> None:
    rows = shown([*EPOCHS, {"epoch": 5, "train_loss": math.nan, "validation_loss": math.nan}])
    assert sum(" nan" in row for row in rows) == 2


@pytest.mark.parametrize("epochs", [[{"epoch": 1}], [{"epoch": 1, "train_loss": math.nan}]])
def test_where_nothing_was_measured_nothing_is_drawn(epochs: list[dict[str, Any]]) -> None:
    assert shown(epochs) == []


def test_without_unicode_it_is_all_ascii() -> None:
    assert "".join(shown(EPOCHS, 80, unicode=False)).isascii()


numbers = st.floats() | st.integers(-(10**300), 10**300)
rows_of = st.fixed_dictionaries(
    {"epoch": numbers}, optional=dict.fromkeys(("train_loss", "validation_loss", "validation_accuracy"), numbers)
)


@given(st.lists(rows_of, min_size=1, max_size=6), st.integers(40, 200), st.booleans())
@settings(max_examples=60, deadline=None)
def test_any_numbers_are_drawn_within_the_width(epochs: list[dict[str, Any]], width: int, unicode: bool) -> None:
    assert all(len(row) <= width for row in shown(epochs, width, unicode))


@pytest.mark.parametrize("name", ["a\x1b[31mb", "a\nb\r"])
def test_a_name_drives_no_terminal(name: str) -> None:
    assert "".join(text(drawn(name, EPOCHS, 80, True))).isprintable()
