"""What the page draws: the picture of the steps, and charts."""

from __future__ import annotations

import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from reported import definition

from pipeline.definition import Definition
from pipeline.report.charts import Series, chart, number
from pipeline.report.graph import HEIGHT, WIDTH, draw

# the picture of the steps


def boxes(svg: str) -> dict[str, tuple[int, int]]:
    found = re.findall(r'<rect x="(\d+)" y="(\d+)".*?class="name"[^>]*>([^<]+)<', svg)
    return {name: (int(x), int(y)) for x, y, name in found}


@pytest.mark.parametrize("beside", ({"F"}, {"F", "G"}, set()))
def test_a_line_to_a_later_column_passes_no_step(beside: set[str]) -> None:
    """A → B → C → D, and D waits for others of the first column, too; without any, for a step that B runs beside."""
    links = [("B", "A"), ("C", "B"), ("D", "C"), *(("D", name) for name in beside)]
    if not beside:
        links += [("E", "A"), ("D", "E")]
    svg = str(
        draw(Definition(definition(*links, **dict.fromkeys({name for link in links for name in link}, "Fail"))), {}, {})
    )
    (height,) = map(int, re.findall(r'viewBox="-2 -2 \d+ (\d+)"', svg))
    level = [(int(y), int(x1), int(x2)) for x1, y, x2 in re.findall(r" (\d+) (\d+)H(\d+)", svg)]
    assert len(level) == max(1, len(beside))
    for y, x1, x2 in level:
        assert x1 < x2 and y < height
        assert not [
            name for name, (x, top) in boxes(svg).items() if x1 < x + WIDTH and x < x2 and top <= y <= top + HEIGHT
        ]


def test_a_step_is_drawn_right_of_all_that_it_waits_for() -> None:
    document = definition(("C", "A"), ("C", "B"), ("D", "C"), ("D", "A"), D="Fail", C="Fail", B="Fail", A="Fail")
    places = boxes(draw(Definition(document), {}, {}))
    assert places["A"][0] == places["B"][0] < places["C"][0] < places["D"][0]
    assert len(set(places.values())) == 4


def test_an_arrow_that_others_imply_is_left_out() -> None:
    document = definition(("B", "A"), ("C", "B"), ("C", "A"), A="Fail", B="Fail", C="Fail")
    assert draw(Definition(document), {}, {}).count('class="edge"') == 2


def test_the_branches_of_a_condition_are_named() -> None:
    document = definition(Check="Condition")
    inner = definition(Yes="Fail", No="Fail")["Steps"]
    document["Steps"][0]["Arguments"] = {"Conditions": [], "IfSteps": inner[:1], "ElseSteps": inner[1:]}
    svg = draw(Definition(document), {}, {})
    places = boxes(svg)
    assert ">yes<" in svg
    assert ">no<" in svg
    assert places["Yes"][1] < places["No"][1]


@pytest.mark.parametrize("count", [0, 61])
def test_no_picture_is_drawn_of_nothing_and_of_too_much(count: int) -> None:
    assert draw(Definition(definition(**{f"S{n}": "Fail" for n in range(count)})), {}, {}) == ""


def test_a_cycle_does_not_hang_the_picture() -> None:
    assert boxes(draw(Definition(definition(("A", "B"), ("B", "A"), A="Fail", B="Fail")), {}, {})).keys() == {"A", "B"}


# charts

places = st.floats(min_value=-1e9, max_value=1e9)


@given(st.lists(st.tuples(places, places), min_size=1, max_size=20), st.sampled_from(["line", "dots", "steps"]))
def test_every_point_lies_inside_the_chart(points: list[tuple[float, float]], style: str) -> None:
    svg = chart([Series("s", points, style)], "x", "y", log_x=True)
    numbers = [float(text) for text in re.findall(r'c[xy]="([^"]*)"', svg)]
    assert all(0 <= value <= 420 for value in numbers)
    assert len(numbers) == 2 * len(points)


def test_points_that_are_not_numbers_are_left_out() -> None:
    points = [(1.0, math.nan), (2.0, 0.5), (3.0, math.inf)]
    assert chart([Series("s", points, "dots")], "x", "y").count("<circle") == 1
    assert chart([Series("s", points[:1])], "x", "y") == ""


def test_a_logarithmic_axis_has_a_tick_for_each_decade() -> None:
    svg = chart([Series("lr", [(1e-4, 0.1), (1e-1, 0.2)], "dots")], "lr", "y", log_x=True)
    assert all(f">{label}<" in svg for label in ("0.0001", "0.001", "0.01", "0.1"))


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0"), (0.97, "0.97"), (12.0, "12"), (1e-5, "1e-05"), (123456.0, "123456"), (-0.5, "-0.5")]
)
def test_numbers_are_as_short_as_they_can_be(value: float, text: str) -> None:
    assert number(value) == text
