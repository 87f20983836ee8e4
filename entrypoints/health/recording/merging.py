"""Tables of several ranks become one: each has seen another part of every batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from health.recording.reading import Growing
from health.view import Columns

SUMS = ("count", "non_finite", "nan")
MEANS = ("mean", "mean_abs", "p5", "p95", "zero_share", "below", "above", "idle_share")


class Merged:
    """A table of ranks that go on: the steps that all of them have told of are merged once, the latest at each look."""

    def __init__(self, merge: Callable[[Sequence[Columns]], Columns]) -> None:
        self.merge = merge
        self.places: list[int] = []  # rows of each rank that are in `settled`
        self.settled: Growing | None = None

    def look(self, ranks: Sequence[Columns]) -> Columns:
        """Rows of each rank, in the order of steps; those of earlier looks among them."""
        if len(ranks) == 1:
            return ranks[0]
        edge = min(rank["step"][-1] if len(rank["step"]) else 0 for rank in ranks)
        ends = [int(np.searchsorted(rank["step"], edge)) for rank in ranks]  # a validation may follow at that step
        self.places = self.places or [0] * len(ranks)
        settled = self.merge([_between(*part) for part in zip(ranks, self.places, ends, strict=True)])
        if self.settled is None:
            self.settled = Growing(settled)
        else:
            self.settled.append(settled)
        self.places = ends
        latest = self.merge([_between(rank, end, None) for rank, end in zip(ranks, ends, strict=True)])
        return {name: np.concatenate([column, latest[name]]) for name, column in self.settled.columns().items()}


def steps(ranks: Sequence[Columns]) -> Columns:
    """The first rank's: losses are everybody's, and its times are its own. Examples are added up over the ranks."""
    first, *others = ranks
    if not others:
        return first
    merged = {**first, "examples": first["examples"].copy()}
    place = {key: row for row, key in enumerate(_step_keys(first))}
    for other in others:
        for row, key in enumerate(_step_keys(other)):
            if key in place and key[1] == "train":
                merged["examples"][place[key]] += other["examples"][row]
    return merged


def tensors(ranks: Sequence[Columns]) -> Columns:
    """One row for each step, kind and name.

    Counts are added up; means, shares and percentiles weigh as much as the finite values that they stand for (of
    percentiles that is close, and no more); deviations are put together exactly; the first rank has the rest.
    """
    first, *others = ranks
    if not others:
        return first
    every = {name: np.concatenate([rank[name] for rank in ranks]) for name in first}
    places: dict[tuple[int, str, str], int] = {}
    keys = zip(every["step"].tolist(), every["kind"], every["name"], strict=True)
    group = np.array([places.setdefault(key, len(places)) for key in keys], dtype=np.int64)
    _, leads = np.unique(group, return_index=True)
    merged = {name: column[leads] for name, column in every.items()}
    for name in SUMS:
        merged[name] = np.bincount(group, every[name], len(leads)).astype(np.int64)
    weights = (every["count"] - every["non_finite"]).astype(np.float64)
    for name in MEANS:
        merged[name] = _mean(every[name], weights, group, len(leads)).astype(np.float32)
    square = every["std"].astype(np.float64) ** 2 + (every["mean"] - merged["mean"][group]).astype(np.float64) ** 2
    merged["std"] = np.sqrt(_mean(square, weights, group, len(leads))).astype(np.float32)
    for name, extreme in (("min", np.fmin), ("max", np.fmax)):
        merged[name] = every[name][leads]
        extreme.at(merged[name], group, every[name])
    order = np.argsort(merged["step"], kind="stable")
    return {name: column[order] for name, column in merged.items()}


def classes(ranks: Sequence[list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """Counts of one epoch and mode are added up."""
    merged: dict[tuple[int, str], dict[str, Any]] = {}
    for row in (row for rank in ranks for row in rank):
        key = row["epoch"], row["mode"]
        if key not in merged:
            merged[key] = dict(row)
            continue
        for name in ("shown", "confusion"):
            if name in merged[key] and name in row:
                merged[key][name] = np.add(merged[key][name], row[name]).tolist()
    return list(merged.values())


def _between(table: Columns, first: int, end: int | None) -> Columns:
    return {name: column[first:end] for name, column in table.items()}


def _mean(values: NDArray[Any], weights: NDArray[np.float64], group: NDArray[np.int64], groups: int) -> NDArray[Any]:
    """Of each group, over those that are not NaN."""
    known = ~np.isnan(values) & (weights > 0)
    total = np.bincount(group[known], weights[known], groups)
    added = np.bincount(group[known], values[known].astype(np.float64) * weights[known], groups)
    means: NDArray[Any] = np.divide(added, total, out=np.full(groups, np.nan), where=total > 0)
    return means


def _step_keys(table: Columns) -> list[tuple[int, str]]:
    return list(zip(table["step"].tolist(), table["mode"], strict=True))
