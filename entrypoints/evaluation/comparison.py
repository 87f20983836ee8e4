"""Champion and challenger on the same pictures: the difference of their accuracies, and where the new one lost."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evaluation import metrics

Hits = NDArray[np.bool_]


class NothingShared(Exception):
    """The two models have no class in common among the test pictures."""


def compare(
    actual: list[str], challenger: list[str], champion: list[str], new: tuple[str, ...], old: tuple[str, ...]
) -> dict[str, Any]:
    """Figures over the pictures whose class both models know; `new` and `old` are their classes. All names.

    Raises NothingShared when there is no such picture.
    """
    known = set(new) & set(old)
    kept = [index for index, name in enumerate(actual) if name in known]
    if not kept:
        raise NothingShared("no test picture is of a class that both models know")
    names = np.array([actual[index] for index in kept], dtype=object)
    ours = np.array([challenger[index] == actual[index] for index in kept])
    theirs = np.array([champion[index] == actual[index] for index in kept])
    rows = [
        {"class": name, **_figures(ours[names == name], theirs[names == name], "recall")}
        for name in new
        if name in known and (names == name).any()
    ]
    whole = _figures(ours, theirs, "accuracy")
    return {
        **whole,
        "verdict": _verdict(*whole["interval"]),
        "classes_new": [name for name in new if name not in known],
        "classes_gone": [name for name in old if name not in known],
        "left_out": len(actual) - len(kept),
        "per_class": rows,
        "regressions": [row["class"] for row in rows if row["interval"][1] < 0],
    }


def paired_interval(both: int, first: int, second: int, neither: int) -> tuple[float, float]:
    """95% interval of the difference of two shares on the same pictures; `first` alone was right on so many.

    Method 10 of Newcombe, "Improved confidence intervals for the difference between binomial proportions based on
    paired data" (Statistics in Medicine 17, 1998): Wilson's intervals of both shares, joined by their correlation.
    Unlike the normal approximation it has a width when the two never differ, and stays within -1 and 1.
    """
    count = both + first + second + neither
    one, two = (both + first) / count, (both + second) / count
    low_one, high_one = metrics.wilson(both + first, count)
    low_two, high_two = metrics.wilson(both + second, count)
    phi = _correlation(both, first, second, neither)
    down, up = one - low_one, high_one - one
    other_down, other_up = two - low_two, high_two - two
    below = math.sqrt(max(0.0, down**2 - 2 * phi * down * other_up + other_up**2))
    above = math.sqrt(max(0.0, other_down**2 - 2 * phi * other_down * up + up**2))
    return max(-1.0, one - two - below), min(1.0, one - two + above)


def _correlation(both: int, first: int, second: int, neither: int) -> float:
    """Of the two models' hits; with the paper's correction for continuity when positive."""
    margins = (both + first) * (second + neither) * (both + second) * (first + neither)
    if not margins:
        return 0.0
    excess = both * neither - first * second
    half = (both + first + second + neither) / 2
    return (excess if excess < 0 else max(0.0, excess - half)) / math.sqrt(margins)


def _figures(ours: Hits, theirs: Hits, figure: str) -> dict[str, Any]:
    first, second = int((ours & ~theirs).sum()), int((theirs & ~ours).sum())
    both, count = int((ours & theirs).sum()), len(ours)
    low, high = paired_interval(both, first, second, count - both - first - second)
    return {
        "count": count,
        figure: round(float(ours.mean()), 6),
        f"champion_{figure}": round(float(theirs.mean()), 6),
        "difference": round((first - second) / count, 6),
        "interval": [round(low, 6), round(high, 6)],
        "right_here_only": first,
        "right_there_only": second,
    }


def _verdict(low: float, high: float) -> str:
    if low > 0:
        return "better"
    return "worse" if high < 0 else "no difference shown"
