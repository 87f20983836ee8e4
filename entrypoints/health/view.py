"""What was recorded, as plain numpy columns: all that rules, figures and pages need to know of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Columns = dict[str, NDArray[Any]]

# Names and types as in the tables' files; "object" holds lists of numbers, one for each row.
STEPS = {
    "step": "int64",  # of the optimiser, from 0 over the whole job; of validation: the last step before it
    "epoch": "int32",  # from 1
    "mode": "str",  # train or validation
    "loss": "float64",  # of that step's batch; validation: of the whole split
    "lr": "float64",
    "accuracy": "float64",  # NaN but in validation
    "examples": "int32",
    "ended": "float64",  # time.time()
    "seconds": "float64",  # the sum of those below
    "data_wait": "float32",
    "transfer": "float32",
    "forward": "float32",
    "backward": "float32",
    "optimizer": "float32",
    "checkpoint": "float32",
    "logging": "float32",
    "evaluation": "float32",
    "other": "float32",
    "waited": "float32",  # for CPUs that other processes had, since the row before that tells of it; NaN: not asked
    "collected": "bool",  # the garbage collector ran
    "recorded": "bool",  # statistics of tensors were taken
    "profiled": "bool",  # torch.profiler ran, or had just stopped: slower than without it
}
TENSORS = {
    "step": "int64",
    "kind": "str",  # weight, gradient, update, input, output
    "name": "str",  # of the parameter; of inputs and outputs: of the module
    "layer": "str",  # class of the module
    "count": "int64",
    "mean": "float32",
    "mean_abs": "float32",
    "std": "float32",
    "min": "float32",
    "max": "float32",
    "p5": "float32",
    "p95": "float32",
    "zero_share": "float32",
    "non_finite": "int64",  # NaN and infinite ones
    "nan": "int64",
    "ratio": "float32",
    "change": "float32",
    "below": "float32",
    "above": "float32",
    "idle_share": "float32",
}
SYSTEM = {
    "ended": "float64",
    "cpu": "float32",
    "cpu_each": "object",
    "memory_mb": "float32",
    "memory_used_share": "float32",
    "io_wait": "float32",
    "read_mb_s": "float32",
    "write_mb_s": "float32",
    "received_mb_s": "float32",
    "sent_mb_s": "float32",
    "gpu": "object",
    "gpu_memory_mb": "object",
    "gpu_memory_share": "object",  # % of each GPU's own
}
SAMPLE = 1024  # elements of a tensor at most, that its mean, deviation, percentiles and ratio are of
KINDS = ("weight", "gradient", "update", "input", "output")
ABSENT = {"mode": "train", "epoch": 1}  # where rows of `of` leave a column out; else NaN, 0, "", False


class Records(NamedTuple):
    """Rows are in the order of their steps. `ranks`: the steps of each rank, where several trained."""

    steps: Columns
    tensors: Columns
    system: Columns
    classes: list[dict[str, Any]]
    ranks: dict[int, Columns] = {}

    @classmethod
    def of(
        cls,
        steps: Mapping[str, Any] | None = None,
        tensors: Mapping[str, Any] | None = None,
        system: Mapping[str, Any] | None = None,
        classes: Iterable[Mapping[str, Any]] = (),
    ) -> Records:
        """From some columns of each table, one value standing for all rows; `step` counts from 0 unless it is given."""
        return cls(
            filled(steps or {}, STEPS),
            filled(tensors or {}, TENSORS),
            filled(system or {}, SYSTEM),
            [dict(row) for row in classes],
        )

    def losses(self, mode: str = "train") -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Steps and losses."""
        rows = self.steps["mode"] == mode
        return self.steps["step"][rows], self.steps["loss"][rows]

    def series(self, kind: str, name: str, column: str = "mean_abs") -> tuple[NDArray[np.int64], NDArray[Any]]:
        """Steps and values of one tensor."""
        rows = (self.tensors["kind"] == kind) & (self.tensors["name"] == name)
        return self.tensors["step"][rows], self.tensors[column][rows]

    def names(self, kind: str) -> list[str]:
        """Of all tensors of a kind, in the order of the network."""
        return list(dict.fromkeys(self.tensors["name"][self.tensors["kind"] == kind]))

    def of_kind(self, kind: str) -> Columns:
        """All columns, of the tensors of a kind."""
        rows = self.tensors["kind"] == kind
        return {name: column[rows] for name, column in self.tensors.items()}


def filled(given: Mapping[str, Any], table: Mapping[str, str]) -> Columns:
    """All columns of `table`, equally long."""
    unknown = set(given) - set(table)
    if unknown:
        raise ValueError(f"unknown columns {sorted(unknown)}: known are {', '.join(table)}")
    lengths = {len(value) for value in given.values() if not isinstance(value, str) and hasattr(value, "__len__")}
    if len(lengths) > 1:
        raise ValueError(f"columns of {sorted(lengths)} rows in one table")
    rows = lengths.pop() if lengths else min(1, len(given))
    return {name: _column(name, kind, given.get(name), rows) for name, kind in table.items()}


def _column(name: str, kind: str, given: Any, rows: int) -> NDArray[Any]:
    dtype = np.dtype(object if kind in ("str", "object") else kind)
    if given is None and name == "step":
        return np.arange(rows, dtype=dtype)
    column = np.empty(rows, dtype=dtype)
    if given is None:
        given = ABSENT.get(name, {"f": np.nan, "i": 0, "b": False, "O": ""}[dtype.kind])
        given = [[] for _ in range(rows)] if kind == "object" else given
    if kind == "object":
        for row, value in enumerate(given):
            column[row] = np.asarray(value, dtype=np.float32)
    else:
        column[:] = given
    return column
