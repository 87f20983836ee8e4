"""Which rows of the recorded tensors a rule looks at, and the first of them that is wrong."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from health.view import Columns, Records

Rows = NDArray[np.intp]  # places in the table of tensors
Mask = NDArray[np.bool_]
Names = Sequence[str]

# smdebug's collections, by kind and class of layer; "" is any. Losses are in the table of steps.
COLLECTIONS = {
    "all": ("", ""),
    "weights": ("weight", ""),
    "biases": ("weight", ""),
    "gradients": ("gradient", ""),
    "losses": ("loss", ""),
    "relu_input": ("input", "ReLU"),
    "relu_output": ("output", "ReLU"),
    "sigmoid_input": ("input", "Sigmoid"),
    "tanh_input": ("input", "Tanh"),
}
GET = "let the job record tensors: TrainModel does, trials of a tuning record losses only"


def chosen(records: Records, collections: Names | None, patterns: Names | None, otherwise: Names) -> Rows:
    """The union of collections and patterns, as AWS has it; rows of the kinds `otherwise` where neither is given."""
    tensors = records.tensors
    if collections is None and patterns is None:
        return of_kinds(tensors, otherwise)
    mask = np.zeros(len(tensors["step"]), dtype=bool)
    for name in collections or ():
        mask |= _collection(tensors, name)
    if patterns is not None:
        every = np.arange(len(mask))
        mask[matching(tensors, every, patterns)] = True
    return np.flatnonzero(mask)


def of_kinds(tensors: Columns, kinds: Names) -> Rows:
    mask = np.zeros(len(tensors["step"]), dtype=bool)
    for kind in kinds:
        mask |= tensors["kind"] == kind
    return np.flatnonzero(mask)


def matching(tensors: Columns, rows: Rows, patterns: Names | None) -> Rows:
    """Those whose label begins like one of the patterns; a label is made and tried once for each tensor."""
    if patterns is None:
        return rows
    tries = [re.compile(pattern) for pattern in patterns]
    kept = np.zeros(len(rows), dtype=bool)
    kinds = tensors["kind"][rows]
    for kind in set(kinds.tolist()):
        places = np.flatnonzero(kinds == kind)
        names = tensors["name"][rows[places]].tolist()
        layers = dict(zip(names, tensors["layer"][rows[places]].tolist(), strict=True))
        fits = {name: any(each.match(label(kind, name, layers[name])) for each in tries) for name in layers}
        kept[places] = by_name(names, fits)
    found: Rows = rows[kept]
    return found


def label(kind: str, name: str, layer: str) -> str:
    """As smdebug names tensors: "gradient/fc.weight", "fc.weight", and of what goes into a ReLU "…_relu_input"."""
    match kind:
        case "gradient" | "update":
            return f"{kind}/{name}"
        case "input" | "output":
            return f"{name}_{layer.lower()}_{kind}"
        case _:
            return name


def biases(tensors: Columns, rows: Rows) -> Mask:
    names = tensors["name"][rows].tolist()
    return by_name(names, {name: name == "bias" or name.endswith(".bias") for name in set(names)})


def by_name(names: list[str], values: Mapping[str, int]) -> NDArray[Any]:
    """Truths or numbers, one for each row; tables have 100,000 rows and more, of a few names."""
    kind = bool if all(isinstance(value, bool) for value in values.values()) else np.int64
    return np.fromiter(map(values.__getitem__, names), dtype=kind, count=len(names))


def without_biases(tensors: Columns, rows: Rows) -> Rows:
    """A bias before a batch normalisation has no gradient by design, and many begin at zero."""
    return rows[~biases(tensors, rows)]


def held_still(records: Records, rows: Rows, share: float) -> Mask:
    """Rows of steps at which the learning rate is below this share of the job's highest: a schedule means it so."""
    train = records.steps["mode"] == "train"
    steps, rates = records.steps["step"][train], records.steps["lr"][train]
    known = np.isfinite(rates)
    if not known.any() or not len(rows):
        return np.zeros(len(rows), dtype=bool)
    steps, rates = steps[known], rates[known]
    places = np.searchsorted(steps, records.tensors["step"][rows]).clip(max=len(steps) - 1)
    return np.asarray(rates[places] < share * rates.max())


def worst(
    tensors: Columns, rows: Rows, bad: Mask, values: NDArray[Any], badness: NDArray[Any] | None = None
) -> tuple[int, str, int, float]:
    """Of the earliest step with a bad row, the worst one: its place among `rows`, name, step and value.

    `badness`: what makes it the worst, where that is not the value itself.
    """
    places = np.flatnonzero(bad)
    steps = tensors["step"][rows[places]]
    earliest = places[steps == steps.min()]
    place = int(earliest[np.argmax((values if badness is None else badness)[earliest])])
    return place, str(tensors["name"][rows[place]]), int(tensors["step"][rows[place]]), float(values[place])


def extent(tensors: Columns, rows: Rows, bad: Mask) -> str:
    """How far it reaches: "3 of 60 tensors, 12 of 1,200 values"."""
    names = tensors["name"][rows]
    several = f"{len(set(names[bad].tolist())):,} of {len(set(names.tolist())):,} tensors"
    return f"{several}, {int(bad.sum()):,} of {len(rows):,} values"


def _collection(tensors: Columns, name: str) -> Mask:
    kind, layer = COLLECTIONS[name]
    mask = np.ones(len(tensors["step"]), dtype=bool)
    if kind:
        mask &= tensors["kind"] == kind
    if layer:
        mask &= tensors["layer"] == layer
    if name in ("weights", "biases"):
        rows = np.flatnonzero(mask)
        mask[rows[biases(tensors, rows) != (name == "biases")]] = False
    return mask
