"""The page's section on tuning: which hyperparameters mattered, and all of them together."""

from __future__ import annotations

import math
import random
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.report.collect import Trial, Tuning
from pipeline.report.parallel import MOST_AXES, Scale, parallel
from pipeline.report.tuning import ENOUGH, importance, view


def trial(number: int, objective: float | None, **hyperparameters: str) -> Trial:
    return Trial(number, f"t-{number}", "Completed", 1.0, hyperparameters, objective, False)


def trials(count: int, seed: int = 0) -> list[Trial]:
    """The objective follows lr, best in the middle; `noise` has no part in it."""
    draw = random.Random(seed)
    rows = []
    for number in range(count):
        power = draw.uniform(-4, -1)
        tuned = {"lr": str(10**power), "noise": str(draw.random()), "kind": draw.choice(["a", "b"])}
        rows.append(trial(number, 1 - abs(power + 2.5), **tuned))
    return rows


def test_what_the_objective_follows_matters_also_where_the_best_is_in_the_middle() -> None:
    known = trials(60)
    shares = {name: importance(known, name) for name in ("lr", "noise", "kind")}
    assert shares["lr"] is not None and shares["lr"] > 0.5
    assert shares["noise"] is not None and shares["noise"] < 0.15
    assert shares["kind"] is not None and shares["kind"] < 0.15


def test_what_has_no_part_in_it_has_no_share_on_average() -> None:
    """Kelley's ε² before it is cut off at 0 has the mean 0; η² would have (groups - 1) / (trials - 1) = 0.22."""
    found = [importance(trials(10, seed), "noise") or 0.0 for seed in range(200)]
    assert sum(found) / len(found) < 0.15


def test_words_that_decide_everything_have_the_whole_share() -> None:
    rows = [trial(number, float(number % 2), kind=("a", "b")[number % 2]) for number in range(12)]
    assert importance(rows, "kind") == pytest.approx(1.0)


@pytest.mark.parametrize(
    "rows",
    [
        trials(ENOUGH - 1),
        [trial(number, float(number), lr="0.1") for number in range(20)],
        [trial(number, 0.5, lr=str(number)) for number in range(20)],
        [trial(number, None, lr=str(number)) for number in range(20)],
        [],
    ],
    ids=["too few", "all alike", "no difference", "none measured", "none"],
)
def test_nothing_is_said_where_nothing_can_be(rows: list[Trial]) -> None:
    assert importance(rows, "lr") is None


@pytest.mark.parametrize("maximize", [True, False])
def test_the_best_trial_is_drawn_last(maximize: bool) -> None:
    drawn = str(view(Tuning("Tune", "score", maximize, trials(20)))["parallel"])
    titles = re.findall(r"<title>(.*?)</title>", drawn)
    scores = [float(title.rpartition(" ")[2]) for title in titles]
    assert len(scores) == 20
    assert scores == sorted(scores, reverse=not maximize)
    assert drawn.count('class="trial best"') == 1


values = st.text(max_size=8) | st.floats().map(str)


@given(st.integers(0, 4).flatmap(lambda count: st.lists(st.lists(values, min_size=count, max_size=count), max_size=14)))
def test_lines_stay_inside_the_picture_whatever_the_values(columns: list[list[str]]) -> None:
    drawn = str(parallel([Scale(f"h{index}", column) for index, column in enumerate(columns)]))
    assert (drawn == "") == (len(columns) < 2)
    assert drawn.count('class="rule"') == (0 if len(columns) < 2 else min(len(columns), MOST_AXES))
    for way in re.findall(r'class="trial[^"]*" stroke-opacity="[^"]*" d="([^"]*)"', drawn):
        numbers = [float(number) for number in re.findall(r"-?[\d.]+", way)]
        assert all(math.isfinite(number) and 0 <= number <= 900 for number in numbers)
