"""One record: what was taken of a step's tensors becomes rows of the table."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from health import statistics, view
from health.statistics import Copy, Fetched, Floats


class Limits(NamedTuple):
    """What the rules call saturated and inactive: their own parameters, which figures of outputs depend on."""

    sigmoid: tuple[float, float] = (-23.0, 16.99999)  # of inputs
    tanh: tuple[float, float] = (-9.4999, 9.4999)  # of inputs
    inactivity: float = 1.0  # percent of places in which a unit of a ReLU is above 0


class Row(NamedTuple):
    kind: str
    name: str
    layer: str


class Record(NamedTuple):
    """Of one step, on its way to the CPU: `rows`, of which weights are the first, and samples of them after the step.

    `scale`: what a GradScaler had multiplied the gradients with.
    """

    step: int
    rows: list[Row]
    scale: float
    copy: Copy


def columns(record: Record, limits: Limits, before: dict[str, Floats]) -> dict[str, NDArray[Any] | list[str]]:
    """`before`: samples of the weights in the record before this one, which take their place."""
    taken, after = _parted(statistics.fetched(record.copy))
    updated = [row for row in record.rows if row.kind == "weight"][: len(after)]
    gradients = [number for number, row in enumerate(record.rows) if row.kind == "gradient"]
    for number in gradients:
        taken.figures[number, :2] /= record.scale
        taken.samples[number] /= np.float32(record.scale)
    whole = _joined(taken, _updates(taken, after))
    rows = [*record.rows, *(row._replace(kind="update") for row in updated)]
    found: dict[str, NDArray[Any]] = {**statistics.described(whole), "step": np.full(len(rows), record.step)}
    found |= _saturation(rows, whole.samples, limits) | _movement(rows, taken.samples, after, before)
    wanted = [True] * len(rows)
    if record.scale > 1 and found["non_finite"][gradients].any():  # the scaler looks for a factor and skips the step
        wanted = [row.kind not in ("gradient", "update") for row in rows]
    texts = {name: [text for text, want in zip(column, wanted, strict=True) if want] for name, column in _texts(rows)}
    with np.errstate(over="ignore"):  # of a float64 network: infinite in the table
        return {**{name: column.astype(view.TENSORS[name])[wanted] for name, column in found.items()}, **texts}


def _texts(rows: list[Row]) -> Iterator[tuple[str, tuple[str, ...]]]:
    return zip(Row._fields, zip(*rows, strict=True), strict=True)


def _parted(fetched: Fetched) -> tuple[Fetched, list[Floats]]:
    first = len(fetched.counts)
    return fetched._replace(samples=fetched.samples[:first]), fetched.samples[first:]


def _joined(one: Fetched, other: Fetched) -> Fetched:
    counts = np.concatenate([one.counts, other.counts])
    return Fetched(counts, np.concatenate([one.figures, other.figures]), [*one.samples, *other.samples])


def _updates(taken: Fetched, after: list[Floats]) -> Fetched:
    """All of it is of the samples, which is all that is kept of the weights before the step."""
    with np.errstate(invalid="ignore", over="ignore"):
        samples = [now - was for was, now in zip(taken.samples, after, strict=False)]
    figures = np.full((len(after), statistics.FIGURES), math.nan)
    for number, sample in enumerate(samples):
        finite = sample[np.isfinite(sample)]
        ends = (finite.min(), finite.max()) if len(finite) else (math.nan, math.nan)
        figures[number, :4] = *ends, len(sample) - len(finite), np.isnan(sample).sum()
    return Fetched(taken.counts[: len(after)], figures, samples)


def _movement(
    rows: list[Row], samples: list[Floats], after: list[Floats], before: dict[str, Floats]
) -> dict[str, NDArray[np.float64]]:
    ratio, change = (np.full(len(rows), math.nan) for _ in range(2))
    for number, sample in enumerate(after):
        ratio[len(samples) + number] = statistics.ratio(samples[number], sample)
    for number, (row, sample) in enumerate(zip(rows, samples, strict=False)):
        if row.kind == "weight":
            change[number] = statistics.change(before.get(row.name), sample)
            before[row.name] = sample
    return {"ratio": ratio, "change": change}


def _saturation(rows: list[Row], samples: list[Floats], limits: Limits) -> dict[str, NDArray[np.float64]]:
    """Of Sigmoid's and Tanh's outputs, by what they were given."""
    below, above = (np.full(len(rows), math.nan) for _ in range(2))
    given = {row.name: sample for row, sample in zip(rows, samples, strict=True) if row.kind == "input"}
    bounds = {"Sigmoid": limits.sigmoid, "Tanh": limits.tanh}
    for number, row in enumerate(rows):
        if row.kind == "output" and row.layer in bounds and row.name in given:
            below[number], above[number] = statistics.share(given[row.name], *bounds[row.layer])
    return {"below": below, "above": above}
