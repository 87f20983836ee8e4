"""One record: what was taken of a step's tensors becomes rows of the table."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from health import view
from health.recording import samples, statistics
from health.recording.samples import Arriving, Copy
from health.recording.statistics import Floats


class Limits(NamedTuple):
    """What the rules call saturated and inactive: their own parameters, which figures of outputs depend on."""

    sigmoid: tuple[float, float] = (-23.0, 16.99999)  # of inputs
    tanh: tuple[float, float] = (-9.4999, 9.4999)  # of inputs
    inactivity: float = 1.0  # percent of places in which a unit of a ReLU is above 0
    bytes: int = 64 * 2**20  # of a rank's table: whenever half of what is left is written, records become half as many


class Row(NamedTuple):
    kind: str
    name: str
    layer: str


class Record(NamedTuple):
    """Of one step, on its way to the CPU: `rows`, of which weights are the first; `after`, samples of them when the
    optimiser had stepped, if it did.

    `scale`: what a GradScaler had multiplied the gradients with.
    """

    step: int
    rows: list[Row]
    scale: float
    copy: Copy
    after: Arriving | None = None


Table = dict[str, NDArray[Any] | list[str]]


class Part(NamedTuple):
    """Rows of the table in the making, with samples of these sizes one after another in `content`."""

    rows: list[Row]
    counts: NDArray[np.int64]
    figures: NDArray[np.float64]
    sizes: NDArray[np.int64]
    content: Floats
    ratio: NDArray[np.float64]
    change: NDArray[np.float64]
    idle: NDArray[np.float64]


def columns(record: Record, limits: Limits, before: Floats | None) -> tuple[Table, Floats]:
    """Rows for the table, and the samples of the weights: `before` of the next record."""
    taken = _taken(record, limits)
    weights = sum(row.kind == "weight" for row in record.rows)
    started = taken.content[: taken.sizes[:weights].sum()]
    if before is not None and len(before) == len(started):
        taken.change[:weights] = statistics.changes(before, started, taken.sizes[:weights])
    whole = taken if record.after is None else _with_updates(taken, weights, started, record.after.floats())
    found: dict[str, NDArray[Any]] = {**statistics.described(whole.figures, whole.sizes, whole.content)}
    found |= {"step": np.full(len(whole.rows), record.step), "count": whole.counts}
    found |= {"ratio": whole.ratio, "change": whole.change, "idle_share": whole.idle, **_saturation(whole, limits)}
    return _table(whole.rows, found, _skipped(record, found)), started.copy()


def _taken(record: Record, limits: Limits) -> Part:
    """With the scaler's factor taken out of the gradients."""
    counts, figures, sizes, content, active = samples.fetched(record.copy)
    rows = record.rows
    nothing = (np.full(len(rows), math.nan) for _ in range(3))
    part = Part(rows, counts, figures, sizes, content, *nothing)
    for number, shares in active.items():
        part.idle[number] = (shares < limits.inactivity / 100).mean() if len(shares) else math.nan
    if record.scale != 1:
        gradients = np.array([row.kind == "gradient" for row in rows])
        figures[gradients, :2] /= record.scale
        part.content[np.repeat(gradients, sizes)] /= np.float32(record.scale)
    return part


def _with_updates(taken: Part, weights: int, started: Floats, after: Floats) -> Part:
    """All that is said of updates is of the samples, which is all that is kept of weights before the step."""
    sizes = taken.sizes[:weights]
    update, figures = statistics.differences(started, after, sizes)
    own = Part(
        [row._replace(kind="update") for row in taken.rows[:weights]],
        taken.counts[:weights],
        figures,
        sizes,
        update,
        statistics.ratios(started, update, sizes),
        *(np.full(weights, math.nan) for _ in range(2)),
    )
    columns: Any = (np.concatenate(pair) for pair in zip(taken[1:], own[1:], strict=True))  # type: ignore[arg-type]
    return Part(taken.rows + own.rows, *columns)


def _saturation(part: Part, limits: Limits) -> dict[str, NDArray[np.float64]]:
    """Of Sigmoid's and Tanh's outputs, by what they were given."""
    below, above = (np.full(len(part.rows), math.nan) for _ in range(2))
    bounds = {"Sigmoid": limits.sigmoid, "Tanh": limits.tanh}
    ends = np.cumsum(part.sizes)
    given = {row.name: number for number, row in enumerate(part.rows) if row.kind == "input"}
    for number, row in enumerate(part.rows):
        if row.kind == "output" and row.layer in bounds and row.name in given:
            end, size = ends[given[row.name]], part.sizes[given[row.name]]
            shares = statistics.shares(part.content[end - size : end], *bounds[row.layer])
            below[number], above[number] = shares
    return {"below": below, "above": above}


def _skipped(record: Record, found: Mapping[str, NDArray[Any]]) -> bool:
    """Did the scaler leave this step out, as it looks for a factor? Its gradients say nothing then."""
    gradients = [number for number, row in enumerate(record.rows) if row.kind == "gradient"]
    return record.scale > 1 and bool(found["non_finite"][gradients].any())


def _table(rows: list[Row], found: Mapping[str, NDArray[Any]], skipped: bool) -> Table:
    if skipped:
        wanted = [number for number, row in enumerate(rows) if row.kind not in ("gradient", "update")]
        rows, found = [rows[number] for number in wanted], {name: column[wanted] for name, column in found.items()}
    with np.errstate(over="ignore"):  # of a float64 network: infinite in the table
        table: Table = {name: column.astype(view.TENSORS[name]) for name, column in found.items()}
    return table | {name: list(texts) for name, texts in zip(Row._fields, zip(*rows, strict=True), strict=True)}
