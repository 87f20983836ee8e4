"""The graph beside the table of steps: whoever follows its rails finds every edge, and no other."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.cli.rails import ASCII, LINES, MOST_LANES, Ink, rows
from pipeline.definition import Definition
from pipeline.report.edges import direct, in_order

GOLDEN = Path(__file__).parent / "data" / "golden" / "shipped.json"
MARK = "o"
Edges = dict[str, list[str]]


def drawing(edges: Edges, ink: Ink = LINES) -> list[str]:
    return [f"{row.left}{MARK}{row.right} {row.step}".rstrip() for row in rows(edges, ink)]


@st.composite
def graphs(draw: st.DrawFn) -> Edges:
    """Steps behind all that they wait for, as few edges as say it."""
    steps = [chr(ord("A") + number) for number in range(draw(st.integers(1, 9)))]
    waits = {
        name: draw(st.sets(st.sampled_from(steps[:number]))) if number else () for number, name in enumerate(steps)
    }
    body = [{"Name": name, "Type": "Fail", "DependsOn": sorted(waits[name])} for name in steps]
    return direct(Definition({"Steps": body}))


def followed(edges: Edges) -> Edges:
    """Read off the drawing alone, as a person would: down a rail, and along from a joint to the step of its row."""
    found: Edges = {}
    above: dict[int, str] = {}  # lane → whose rail comes down in it
    for row in rows(edges, LINES):
        cells = f"{row.left}{MARK}{row.right}"
        own = cells.index(MARK)
        lead = {place for place in range(0, len(cells), 2) if cells[place] in LINES.on + LINES.end}
        # right below a step, or a rail, stands what waits for it
        found[row.step] = sorted({above[place] for place in lead} | ({above[own]} if own in above else set()))
        goes_on = {place for place, cell in enumerate(cells) if cell in LINES.past + LINES.on}
        above = {place: whose for place, whose in above.items() if place in goes_on}
        above[own] = row.step
    return found


@given(graphs())
@settings(max_examples=80, deadline=None)
def test_the_rails_say_exactly_what_waits_for_what(edges: Edges) -> None:
    assert followed(edges) == {name: sorted(others) for name, others in edges.items()}
    assert len({len(row.left + row.right) for row in rows(edges, LINES)}) == 1
    plain = [row.left + row.right for row in rows(edges, ASCII)]
    drawn = [row.left + row.right for row in rows(edges, LINES)]
    assert "".join(plain).isascii()
    assert [[each != " " for each in row] for row in plain] == [[each != " " for each in row] for row in drawn]


def test_the_pipeline_that_darkroom_builds_needs_a_line_a_step() -> None:
    assert drawing(direct(Definition(json.loads(GOLDEN.read_text())))) == [
        "o   PrepareData",
        "│ o FindChampion",
        "o │ TuneModel",
        "o │ TrainModel",
        "o─╯ EvaluateModel",
        "o   CheckAccuracy",
        "├─o RegisterModel",
        "│ o DeployModel",
        "o   AccuracyTooLow",
    ]


def test_many_that_wait_for_one_and_one_that_waits_for_many() -> None:
    edges = {"A": [], "B": ["A"], "C": ["A"], "D": ["A"], "E": ["B", "C", "D"]}
    assert drawing(edges) == ["o     A", "├─o   B", "├─│─o C", "o │ │ D", "o─┴─╯ E"]
    assert drawing(edges, ASCII) == ["o     A", "|-o   B", "|-|-o C", "o | | D", "o-'-' E"]


def test_steps_that_have_nothing_to_do_with_each_other_are_not_below_each_other() -> None:
    assert drawing({"A": [], "B": [], "C": []}) == ["o   A", "  o B", "o   C"]


@pytest.mark.parametrize(("wide", "drawn"), [(MOST_LANES, True), (MOST_LANES + 1, False)])
def test_of_too_many_rails_none_is_drawn(wide: int, drawn: bool) -> None:
    starts = [f"S{number}" for number in range(wide)]
    assert bool(drawing({**{name: [] for name in starts}, "End": starts})) == drawn


def test_steps_stand_behind_those_that_they_wait_for_and_a_cycle_is_cut() -> None:
    body = [
        {"Name": name, "Type": "Fail", "DependsOn": list(others)}
        for name, others in {"B": "AC", "C": "B", "A": ""}.items()
    ]
    definition = Definition({"Steps": body})
    assert in_order(definition) == ["A", "B", "C"]
    assert direct(definition) == {"A": [], "B": ["A"], "C": ["B"]}
