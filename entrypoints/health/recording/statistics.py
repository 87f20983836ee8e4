"""Statistics of the samples of many tensors, which lie one after another in one array: few calls for all of them.

Values that are not finite are counted and belong to no other figure.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

FIGURES = 4  # of a tensor besides its sample: smallest and largest finite value, how many are not finite, are NaN
EPSILON = 1e-9  # WeightUpdateRatio's
RTOL, ATOL = 1e-5, 1e-8  # UnchangedTensor's
Floats = NDArray[np.float32]
Described = dict[str, NDArray[np.float64]]


def described(figures: NDArray[np.float64], sizes: NDArray[np.int64], content: Floats) -> Described:
    """Of samples of these sizes in `content`: a column of the table for each statistic."""
    low, high, non_finite, nan = figures.T
    columns = {"min": low, "max": high, "non_finite": non_finite, "nan": nan}
    found = {name: np.full(len(low), math.nan) for name in ("mean", "mean_abs", "std", "p5", "p95", "zero_share")}
    for rows, matrix in _alike(sizes, content):
        for name, values in _moments(matrix).items():
            found[name][rows] = values
    other = (found["zero_share"] == 1) & ((low < 0) | (high > 0))  # a sample of zeros is not the whole tensor
    found["zero_share"][other] = 1 - 2.0**-24
    return {**columns, **found}


def differences(before: Floats, after: Floats, sizes: NDArray[np.int64]) -> tuple[Floats, NDArray[np.float64]]:
    """Of samples of these sizes, and their figures, which are the samples' own."""
    with np.errstate(invalid="ignore", over="ignore"):
        content = after - before
    return content, ends(content, sizes)


def ends(content: Floats, sizes: NDArray[np.int64]) -> NDArray[np.float64]:
    """The figures of each of the stretches that `content` consists of, from all their elements."""
    starts, filled = _starts(sizes), sizes > 0
    figures = np.full((len(sizes), FIGURES), math.nan)
    finite = np.isfinite(content)
    if finite.all():
        low = high = content
        figures[:, 2:] = 0
    else:
        low, high = (np.where(finite, content, end) for end in (np.inf, -np.inf))
        figures[:, 2] = summed(~finite, sizes)
        figures[:, 3] = summed(np.isnan(content), sizes)
    if filled.any():
        figures[filled, 0] = np.minimum.reduceat(low, starts[filled])
        figures[filled, 1] = np.maximum.reduceat(high, starts[filled])
    figures[figures[:, 0] > figures[:, 1], :2] = math.nan
    return figures


def summed(content: NDArray[Any], sizes: NDArray[np.int64]) -> NDArray[np.float64]:
    """Of each of the stretches that `content` consists of."""
    found = np.zeros(len(sizes))
    if len(content):
        found[sizes > 0] = np.add.reduceat(content, _starts(sizes)[sizes > 0], dtype=np.float64)
    return found


def ratios(before: Floats, update: Floats, sizes: NDArray[np.int64]) -> NDArray[np.float64]:
    """Length of each update to that of the weights, over the finite ones of the sample."""
    known = np.isfinite(update)
    count = sizes if known.all() else summed(known, sizes)
    if count is not sizes:
        update, before = (np.where(known, values, np.float32(0)) for values in (update, before))
    lengths = [np.sqrt(summed(np.square(values, dtype=np.float64), sizes)) for values in (update, before)]
    return np.where(count > 0, lengths[0] / (lengths[1] + EPSILON), math.nan)


def changes(before: Floats, after: Floats, sizes: NDArray[np.int64]) -> NDArray[np.float64]:
    """The largest of |x - before| / (atol + rtol |before|): at most 1 where numpy.allclose would say equal."""
    with np.errstate(invalid="ignore", over="ignore"):
        moved = np.abs(after - before) / (np.float32(ATOL) + np.float32(RTOL) * np.abs(before))
    odd = np.isnan(moved)
    if odd.any():
        same = (after == before) | (np.isnan(after) & np.isnan(before))
        moved[odd] = np.where(same[odd], 0, np.inf)
    found = np.full(len(sizes), math.nan)
    filled = sizes > 0
    if filled.any():
        found[filled] = np.maximum.reduceat(moved, _starts(sizes)[filled])
    return found


def shares(sample: Floats, low: float, high: float) -> tuple[float, float]:
    """Of the finite values: below `low`, above `high`."""
    values = sample[np.isfinite(sample)]
    return (float((values < low).mean()), float((values > high).mean())) if len(values) else (math.nan, math.nan)


def _alike(sizes: NDArray[np.int64], content: Floats) -> list[tuple[list[int], Floats]]:
    """Samples with equally many finite values as rows of one matrix, with their numbers."""
    ends = np.cumsum(sizes).tolist()
    samples = [content[end - size : end] for end, size in zip(ends, sizes.tolist(), strict=True)]
    if not np.isfinite(content).all():
        samples = [sample[np.isfinite(sample)] for sample in samples]
    groups: dict[int, list[int]] = {}
    for number, sample in enumerate(samples):
        groups.setdefault(len(sample), []).append(number)
    return [(rows, np.stack([samples[row] for row in rows])) for size, rows in groups.items() if size]


def _starts(sizes: NDArray[np.int64]) -> NDArray[np.int64]:
    starts: NDArray[np.int64] = np.cumsum(sizes) - sizes
    return starts


def _moments(matrix: Floats) -> Described:
    """Of each row. Rows are scaled to at most 1: squares of float32 neither overflow nor vanish."""
    matrix.sort(axis=1)
    count = matrix.shape[1]
    scale = np.maximum(-matrix[:, 0], matrix[:, -1])
    scale[scale == 0] = 1
    zero = np.count_nonzero(matrix == 0, axis=1) / count
    p5, p95 = (_percentile(matrix, part) for part in (0.05, 0.95))
    matrix /= scale[:, None]
    mean, mean_abs = matrix.mean(axis=1), np.abs(matrix).mean(axis=1)
    matrix -= mean[:, None]
    deviation = np.sqrt(np.einsum("ij,ij->i", matrix, matrix) / count)
    return {
        "mean": mean * scale, "mean_abs": mean_abs * scale, "std": deviation * scale, "p5": p5, "p95": p95,
        "zero_share": zero,
    }  # fmt: skip


def _percentile(rows: Floats, part: float) -> NDArray[np.float64]:
    """Of sorted rows, between two elements as numpy.percentile does it."""
    place = part * (rows.shape[1] - 1)
    lower = math.floor(place)
    upper = min(lower + 1, rows.shape[1] - 1)
    first, second = rows[:, lower].astype(np.float64), rows[:, upper].astype(np.float64)
    return first + (second - first) * (place - lower)
