"""evaluation.json as somebody who has to decide reads it: anybody may have written it, so each figure is checked."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.control.outcome import ACCURACY

QUALITY = ACCURACY[0]
MOST_CLASSES, LONGEST_NAME = 100_000, 1000
LARGEST_COUNT = 10**12
PER_CLASS = ("precision", "recall", "f1")
VERDICTS = ("better", "worse", "no difference shown")
OPPOSITE = {"better": "worse", "worse": "better"}
Interval = tuple[float, float]


@dataclass(frozen=True)
class ClassFigures:
    """Of one class; None where it is not told."""

    name: str
    count: int | None
    precision: float | None
    recall: float | None
    f1: float | None


@dataclass(frozen=True)
class Calibration:
    """`in_the_model`: the endpoint divides by this temperature. Errors are expected calibration errors, 0 to 1."""

    temperature: float
    in_the_model: bool
    before: float
    after: float


@dataclass(frozen=True)
class Paired:
    """Two models on the same pictures: the new one minus its champion. Without `verdict` they were not compared."""

    champion: str  # ARN of its package, empty where it is not told
    verdict: str = ""
    difference: float = 0.0
    interval: Interval = (0.0, 0.0)
    right_here_only: int | None = None
    right_there_only: int | None = None
    same_data: bool | None = None
    regressions: tuple[str, ...] = ()

    def reversed(self, champion: str) -> Paired:
        """As the champion has it, which is then the one that is `champion` to."""
        low, high = self.interval
        sides = self.right_there_only, self.right_here_only
        verdict = OPPOSITE.get(self.verdict, self.verdict)
        return Paired(champion, verdict, 0.0 - self.difference, (0.0 - high, 0.0 - low), *sides, self.same_data)


@dataclass(frozen=True)
class Evaluation:
    """What can be relied on of an evaluation.json; `metrics` are figures by name, of both its parts."""

    accuracy: float | None = None
    interval: Interval | None = None
    count: int | None = None
    metrics: Mapping[str, float] | None = None
    classes: tuple[ClassFigures, ...] = ()
    calibration: Calibration | None = None
    paired: Paired | None = None


def read(report: Mapping[str, Any]) -> Evaluation:
    """`report`: the file's content. What is not of its type, or no share of anything, is as if it were not there."""
    quality, own = _mapping(report.get(QUALITY)), _mapping(report.get("darkroom"))
    accuracy = share(_mapping(quality.get("accuracy")).get("value"))
    return Evaluation(
        accuracy=accuracy,
        interval=_interval(own.get("accuracy_interval"), 0.0),
        count=count(own.get("count")),
        metrics=_metrics(quality, own),
        classes=tuple(_classes(own.get("per_class"), PER_CLASS)),
        calibration=_calibration(own.get("calibration")),
        paired=_paired(own.get("champion")),
    )


def worst_first(classes: Iterable[ClassFigures]) -> list[ClassFigures]:
    """By recall; those whose recall is not told stand last."""
    return sorted(classes, key=lambda each: (2.0 if each.recall is None else each.recall, each.name))


def share(value: Any) -> float | None:
    """A number from 0 to 1."""
    found = number(value)
    return found if found is not None and 0 <= found <= 1 else None


def number(value: Any) -> float | None:
    """JSON as Python reads it has NaN, Infinity, whole numbers beyond any float, and true, which is no number."""
    if type(value) is int and abs(value) >= 1 << 1000:
        return None
    return float(value) if type(value) in (int, float) and math.isfinite(value) else None


def count(value: Any) -> int | None:
    return value if type(value) is int and 0 <= value <= LARGEST_COUNT else None


def _metrics(quality: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, float]:
    """In the order in which they are shown."""
    macro = _mapping(own.get("macro"))
    found = {
        "accuracy": share(_mapping(quality.get("accuracy")).get("value")),
        "top_5_accuracy": share(own.get("top_5_accuracy")),
        **{f"macro_{name}": share(macro.get(name)) for name in PER_CLASS},
        "weighted_f1": share(_mapping(quality.get("weighted_f1")).get("value")),
        "validation_accuracy": share(own.get("validation_accuracy")),
    }
    return {name: value for name, value in found.items() if value is not None}


def _classes(rows: Any, figures: tuple[str, ...]) -> list[ClassFigures]:
    if not isinstance(rows, list) or len(rows) > MOST_CLASSES:
        return []
    named = {name: row for row in rows if isinstance(row, dict) and (name := _name(row.get("class")))}
    return [
        ClassFigures(name, count(row.get("count")), *(share(row.get(figure)) for figure in figures))
        for name, row in named.items()
    ]


def _calibration(body: Any) -> Calibration | None:
    found = _mapping(body)
    temperature = number(found.get("temperature"))
    before, after = share(found.get("error_before")), share(found.get("error_after"))
    if temperature is None or temperature <= 0 or before is None or after is None:
        return None
    return Calibration(temperature, found.get("in_the_model") is True, before, after)


def _paired(body: Any) -> Paired | None:
    """None without a champion."""
    if not isinstance(body, dict):
        return None
    champion = _name(body.get("package"))
    difference, interval = number(body.get("difference")), _interval(body.get("interval"), -1.0)
    verdict = body.get("verdict")
    if difference is None or abs(difference) > 1 or interval is None or verdict not in VERDICTS:
        return Paired(champion)
    regressions = body.get("regressions")
    named = [_name(each) for each in regressions[:MOST_CLASSES]] if isinstance(regressions, list) else []
    same = body.get("same_data")
    return Paired(
        *(champion, str(verdict), difference, interval),
        *(count(body.get("right_here_only")), count(body.get("right_there_only"))),
        same_data=same if isinstance(same, bool) else None,
        regressions=tuple(name for name in named if name),
    )


def _interval(value: Any, least: float) -> Interval | None:
    if not isinstance(value, list) or len(value) != 2:
        return None
    low, high = number(value[0]), number(value[1])
    return (low, high) if low is not None and high is not None and least <= low <= high <= 1 else None


def _name(value: Any) -> str:
    """Empty for what is none; a half of a surrogate pair, which JSON may hold, cannot be printed."""
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) and len(value) <= LONGEST_NAME else ""


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
