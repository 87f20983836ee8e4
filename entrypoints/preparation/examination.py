"""The state of a data set between two findings of the doctor, and how a finding is told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from refusal import harmless

from preparation.actions import ACTIONS, Settings, one_of
from preparation.items import Source
from preparation.near import clusters

if TYPE_CHECKING:
    from preparation.staging import Staged

DROPPED = -1
LISTED = 1000  # names in one finding of dataset.json; the rest is a number
TOLD = 5  # names in an error, which SageMaker cuts at 1,024 characters

Indices = NDArray[np.int64]


@dataclass
class Examination:
    """A data set between two findings. `splits` changes as pictures are dropped (-1) and moved; `given` does not."""

    source: Source
    staged: Staged
    settings: Settings
    given: NDArray[np.int8]
    pairs: Indices  # the same or nearly the same picture, spanning each cluster of them
    splits: NDArray[np.int8] = field(init=False)
    labels: Indices = field(init=False)
    same: Indices = field(init=False)  # for each picture the first one of its cluster
    lost: dict[str, Indices] = field(default_factory=dict)  # finding → what it dropped or moved
    findings: list[dict[str, Any]] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.splits = self.given.copy()
        self.labels = np.array([item.label for item in self.source.items], dtype=np.int64)
        self.same = clusters(len(self.labels), self.pairs)

    def present(self) -> Indices:
        return np.flatnonzero(self.splits != DROPPED)

    def drop(self, finding: str, rows: Indices) -> None:
        self.splits[rows] = DROPPED
        self.lost[finding] = rows

    def names(self, rows: Indices) -> list[str]:
        return [self.source.items[row].name for row in rows.tolist()]

    def groups(self) -> list[Indices]:
        """Pictures that are present and the same, two and more at a time."""
        return grouped(self.same, self.present())

    def report(self, finding: str, count: int, **what: Any) -> None:
        self.findings.append({"finding": finding, "action": getattr(self.settings, finding), "count": count, **what})

    def refuse_if_fail(self, finding: str, what: str, examples: Sequence[str], mend: str) -> None:
        if getattr(self.settings, finding) != "fail":
            return
        more = f"; and {len(examples) - TOLD} more, in the log" if len(examples) > TOLD else ""
        if more:  # dataset.json is not written, and who mends the data needs all names at once
            print(f"{what}:", *map(harmless, examples[:LISTED]), sep="\n  ", flush=True)
        others = one_of(tuple(action for action in ACTIONS[finding] if action != "fail"))
        self.refusals.append(
            f"{what} ({'; '.join(examples[:TOLD])}{more}): {mend}, or set doctor.{finding} in pipeline.yaml to {others}"
        )


def grouped(keys: Indices, rows: Indices) -> list[Indices]:
    """Rows of one key, two and more at a time, in the order in which they came; groups in order of key."""
    order = rows[np.argsort(keys[rows], kind="stable")]
    twice = np.diff(keys[order]) == 0
    order = order[np.append(twice, False) | np.append(False, twice)] if len(order) else order
    parts = np.split(order, np.flatnonzero(np.diff(keys[order])) + 1)
    return [part for part in parts if len(part)]


def cut(names: list[str]) -> dict[str, Any]:
    left = len(names) - LISTED
    return {"files": names[:LISTED]} | ({"left_out": left} if left > 0 else {})


def cut_groups(case: Examination, groups: list[Indices], **beside: list[list[str]]) -> dict[str, Any]:
    """The first 1,000 names in their groups, `beside` cut alike; no group is cut to a single name."""
    kept: dict[str, list[list[str]]] = {"groups": [], **{key: [] for key in beside}}
    room = LISTED
    for number, group in enumerate(groups):
        if room < 2:
            break
        kept["groups"].append(case.names(group[:room]))
        for key, values in beside.items():
            kept[key].append(values[number][:room])
        room -= len(group)
    left = sum(map(len, groups)) - sum(map(len, kept["groups"]))
    return kept | ({"left_out": left} if left else {})
