"""evaluation.json read as a stranger's: what is shown is a figure that can be, and nothing raises."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from registered import against, evaluated

from pipeline.models import evaluation
from pipeline.models.evaluation import Paired

HOSTILE = (
    None,
    True,
    -1,
    2,
    10**400,
    1e300,
    float("nan"),
    float("-inf"),
    "0.5",
    "\x1b[2J",
    [],
    [1, 2, 3],
    {},
    {"value": {}},
)


def test_an_evaluation_of_ours_is_read_as_it_is() -> None:
    read = evaluation.read(evaluated(0.9, owl=0.8, champion=against("arn:1")))
    assert (read.accuracy, read.count) == (0.9, 360)
    assert read.interval == pytest.approx((0.87, 0.92))
    assert [(each.name, each.recall) for each in read.classes] == [("cat", 0.95), ("dog", 0.9), ("owl", 0.8)]
    assert read.calibration == evaluation.Calibration(1.25, True, 0.05, 0.02)
    assert read.paired == Paired("arn:1", "better", 0.02, (0.01, 0.03), 9, 2, True)
    assert list(read.metrics or {})[:2] == ["accuracy", "macro_precision"]


@pytest.mark.parametrize("value", HOSTILE, ids=repr)
def test_whatever_stands_in_any_place_only_possible_figures_come_out(value: Any) -> None:
    whole = evaluated(champion=against("arn:1"))
    places = list(paths(whole))
    assert len(places) > 50
    for place in places:
        read = evaluation.read(with_value(whole, place, value))
        shares = [read.accuracy, *(read.metrics or {}).values(), *(each.recall for each in read.classes)]
        assert all(share is None or 0 <= share <= 1 for share in shares), place
        json.dumps([read.accuracy, read.interval, read.count, read.metrics], allow_nan=False)
        if read.paired and read.paired.verdict:
            assert -1 <= read.paired.interval[0] <= read.paired.interval[1] <= 1


def paths(value: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Of every value in a tree but the tree itself."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield (*place, key)
        yield from paths(inner, (*place, key))


def with_value(tree: Any, place: tuple[Any, ...], value: Any) -> Any:
    """A copy with another value in this place."""
    found = json.loads(json.dumps(tree))
    inner = found
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    return found


@pytest.mark.parametrize("value", [True, "0.9", float("nan"), float("inf"), -0.1, 1.1, 10**400, None, [0.9]])
def test_what_is_no_accuracy_is_none(value: Any) -> None:
    report = evaluated()
    report["multiclass_classification_metrics"]["accuracy"]["value"] = value
    assert evaluation.read(report).accuracy is None


def test_half_a_character_in_a_name_can_be_printed() -> None:
    report = json.loads('{"darkroom": {"per_class": [{"class": "a\\ud800", "recall": 1}]}}')
    [found] = evaluation.read(report).classes
    assert found.name.encode() == b"a?"


def test_a_comparison_seen_from_the_other_side_changes_its_sign() -> None:
    found = Paired("arn:1", "better", 0.02, (0.01, 0.03), 9, 2, True)
    assert found.reversed("arn:2") == Paired("arn:2", "worse", -0.02, (-0.03, -0.01), 2, 9, True)
    assert found.reversed("arn:2").reversed("arn:1") == found
