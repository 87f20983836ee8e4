"""Steps that took much longer than the others, and why each of them did."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from health.view import Columns

STDDEV = 3.0  # of StepOutlier
LEAST = 1.1  # times the median: where steps are alike to the microsecond, nothing is an outlier
SLOW_START = 1.5  # times the median: a first step as slow as that belongs to the warm-up
LONGEST_WARM_UP = 20
PARTS = ("data_wait", "transfer", "forward", "backward", "optimizer", "checkpoint", "logging", "evaluation", "other")
CAUSES = {"data_wait": "data", "checkpoint": "checkpoint", "evaluation": "evaluation", "logging": "logging"}
CPU = "CPU"  # other processes had it
MOSTLY = 0.5  # of the excess: what explains as much is the cause


class Outlier(NamedTuple):
    """`excess`: seconds above the median step; `of_cause`: how many of them the cause took. `part`: a timing column,
    or "waited"."""

    row: int
    step: int
    seconds: float
    excess: float
    cause: str
    part: str
    of_cause: float


class Durations(NamedTuple):
    """Rows of training steps: those of the warm-up, the profiled ones, and the `usual` ones that figures are of."""

    warm_up: NDArray[np.int64]
    profiled: NDArray[np.int64]
    usual: NDArray[np.int64]


def durations(steps: Columns, mode: str = "train") -> Durations:
    """The warm-up: the first step (memory, libraries and caches are new to it), and what is slow after it at once.

    Steps that nobody took the time of are left out.
    """
    rows = np.flatnonzero((steps["mode"] == mode) & np.isfinite(steps["seconds"]))
    profiled = steps["profiled"][rows]
    seconds = steps["seconds"][rows]
    most = min(LONGEST_WARM_UP, max(1, len(rows) // 10)) if len(rows) > 1 else 0
    median = float(np.median(seconds)) if len(rows) else 0.0
    quick = np.flatnonzero(seconds[1:most] <= SLOW_START * median)
    warm = (1 + int(quick[0]) if len(quick) else most) if most else 0
    late = np.arange(len(rows)) >= warm
    return Durations(rows[~late], rows[late & profiled], rows[late & ~profiled])


def threshold(seconds: NDArray[np.float64], stddev: float = STDDEV) -> float:
    """Seconds above which a step is an outlier: `stddev` standard deviations above the mean."""
    if not len(seconds):
        return float("inf")
    return max(float(seconds.mean() + stddev * seconds.std()), LEAST * float(np.median(seconds)))


def found(steps: Columns, rows: NDArray[np.int64], stddev: float = STDDEV) -> list[Outlier]:
    """Of these rows, in their order."""
    seconds = steps["seconds"][rows]
    slow = rows[seconds > threshold(seconds, stddev)]
    if not len(slow):
        return []
    usual = {part: float(np.nan_to_num(np.median(steps[part][rows]))) for part in PARTS}
    usual["waited"] = _median_wait(steps, rows)
    median = float(np.median(seconds))
    return [_explained(steps, int(row), median, usual) for row in slow]


def regular(outliers: list[Outlier]) -> int | None:
    """Every how many steps they come, where at least two thirds of the gaps are one number; else None."""
    gaps = np.diff([one.step for one in outliers])
    if len(gaps) < 3:
        return None
    numbers, counts = np.unique(gaps, return_counts=True)
    most = int(counts.argmax())
    return int(numbers[most]) if 3 * counts[most] >= 2 * len(gaps) else None


def by_cause(outliers: list[Outlier]) -> list[dict[str, Any]]:
    """What costs most first."""
    rows = []
    for cause in {one.cause for one in outliers}:
        own = [one for one in outliers if one.cause == cause]
        parts = [one.part for one in own]
        excess = sum(one.excess for one in own)
        part = max(sorted(set(parts)), key=parts.count)
        rows.append({"cause": cause, "part": part, "steps": len(own), "seconds": excess, "every": regular(own)})
    return sorted(rows, key=lambda row: (-row["seconds"], row["cause"]))


def _median_wait(steps: Columns, rows: NDArray[np.int64]) -> float:
    waited = steps["waited"][rows]
    known = waited[np.isfinite(waited)]
    return float(np.median(known)) if len(known) else 0.0


def _waited(steps: Columns, row: int, median: float) -> float:
    """What a row tells is also of the rows before it that tell nothing: what those took too long may be theirs."""
    waited = float(np.nan_to_num(steps["waited"][row]))
    while row and np.isnan(steps["waited"][row - 1]) and waited > 0:
        row -= 1
        waited -= max(0.0, float(np.nan_to_num(steps["seconds"][row])) - median)
    return waited


def _explained(steps: Columns, row: int, median: float, usual: dict[str, float]) -> Outlier:
    """CPU where threads waited for what other processes had, and above the usual wait for half of the excess or more,
    whatever they were about to do: it would have been quicker without these. Threads that wait at once count each, so
    that this half may be less of one that many wait in.

    Else the part whose excess is largest. The clock counts the collector's pauses as "other", so that there it is the
    collector where it ran; records of tensors lie between the laps or in the passes, wherever their hooks are."""
    above = {part: float(np.nan_to_num(steps[part][row])) - usual[part] for part in PARTS}
    part = max(PARTS, key=lambda name: above[name])
    excess = float(steps["seconds"][row]) - median
    waited = _waited(steps, row, median) - usual["waited"]
    if waited >= MOSTLY * excess:
        took = float(steps["seconds"][row])
        return Outlier(row, int(steps["step"][row]), took, excess, CPU, "waited", min(waited, excess))
    cause = CAUSES.get(part, "other")
    if part == "other" and steps["collected"][row]:
        cause = "garbage collector"
    elif cause in ("other", "logging") and steps["recorded"][row]:
        cause = "recording"
    elif above[part] < MOSTLY * excess:
        cause = "other"  # a bit of everything
    return Outlier(row, int(steps["step"][row]), float(steps["seconds"][row]), excess, cause, part, above[part])
