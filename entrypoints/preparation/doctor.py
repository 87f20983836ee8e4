"""Looks over a staged data set before anything is trained on it: what is wrong, and which pictures go where."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from refusal import Refusal

from preparation import findings, near
from preparation.actions import Settings
from preparation.examination import LISTED, TOLD, Examination, Indices, cut
from preparation.items import SPLITS, Source, pictures

if TYPE_CHECKING:
    from preparation.staging import Staged

__all__ = ["Diagnosis", "Settings", "examine"]

DRAWN = 24
TRAIN = SPLITS.index("train")


class Diagnosis(NamedTuple):
    """`splits` counts from now on; rows as in source.items."""

    splits: NDArray[np.int8]  # 0 train, 1 validation, 2 test, -1 dropped
    findings: list[dict[str, Any]]
    pairs: list[tuple[int, int]]  # the same picture twice, one pair a cluster, at most 24: conflicts and leaks first
    class_weights: list[float]  # n / (classes * n of the class) over train: the mean over its pictures is 1


def examine(source: Source, staged: Staged, splits: NDArray[np.int8], settings: Settings, image_size: int) -> Diagnosis:
    """What is wrong with each picture first, then with pictures that are the same, then with classes.

    A picture that one finding dropped is not seen by the next. Unreadable ones have nothing to compare. Conflicting
    labels come before odd sizes: a small copy under another label still tells that one label is wrong. Odd sizes come
    before leaks and duplicates, else these could keep just the copy that is dropped next. Leaks come before duplicates:
    a moved picture may be a duplicate in its new split. Classes are counted as they will be written. Raises one Refusal
    for all findings whose action is `fail`, and, whatever the actions, for a class with nothing to train on and for an
    empty split.
    """
    case = Examination(source, staged, settings, splits, same_pictures(staged))
    findings.unreadable(case)
    findings.not_pictures(case)
    findings.conflicting_labels(case)
    findings.odd_sizes(case, image_size)
    findings.leaks(case)
    findings.duplicates(case)
    _nothing_left(case)
    _not_held_out(case)
    _small_classes(case)
    _imbalance(case)
    if case.refusals:
        raise Refusal("; ".join(case.refusals))
    return Diagnosis(case.splits, case.findings, _drawn(case), _weights(_counts(case, TRAIN)))


def same_pictures(staged: Staged) -> Indices:
    """Pairs (m, 2) that span each cluster of equal files and confirmed near-duplicates, whatever split and label."""
    readable = np.flatnonzero(np.array([not problem for problem in staged.problem], dtype=np.bool_))
    contents = np.ascontiguousarray(staged.digest[readable]).view("V32")[:, 0]
    _, first, inverse = np.unique(contents, return_index=True, return_inverse=True)
    exact = np.stack([readable[first[inverse]], readable], axis=1)
    hashes = np.zeros_like(staged.hash)  # one of each content is enough to search with
    hashes[readable[first]] = staged.hash[readable[first]]
    return np.concatenate([exact[exact[:, 0] != exact[:, 1]], near.search(hashes, staged.pixels)])


def _counts(case: Examination, split: int) -> NDArray[np.int64]:
    return np.bincount(case.labels[case.splits == split], minlength=len(case.source.classes))


def _nothing_left(case: Examination) -> None:
    empty = np.flatnonzero(_counts(case, TRAIN) == 0)
    told = [_why_empty(case, label) for label in empty[:TOLD].tolist()]
    if len(empty):
        more = f" and {len(empty) - TOLD} more classes" if len(empty) > TOLD else ""
        case.refusals.append(f"nothing to train on in {'; '.join(told)}{more}: add pictures or remove the class")
    for number, split in enumerate(SPLITS[1:], start=1):
        if not (case.splits == number).any():
            case.refusals.append(
                f"no picture is left in {split}: add some, raise dataset.{split}_fraction, "
                "or let the doctor drop less (see doctor in pipeline.yaml)"
            )


def _why_empty(case: Examination, label: int) -> str:
    of_class = case.labels == label
    reasons = [(name, int(of_class[rows].sum())) for name, rows in case.lost.items()]
    told = ", ".join(f"doctor.{name} took {count}" for name, count in reasons if count)
    return f"class {case.source.classes[label]!r} ({told or 'none in train'} of {pictures(int(of_class.sum()))})"


def _not_held_out(case: Examination) -> None:
    """Classes that nothing is measured on in validation or test: told, never refused."""
    for number, split in enumerate(SPLITS[1:], start=1):
        empty = np.flatnonzero(_counts(case, number) == 0)
        if len(empty):
            what = {"finding": "classes_without_pictures", "action": "warn", "count": len(empty), "split": split}
            case.findings.append({**what, "classes": dict.fromkeys(_named(case, empty), 0)})


def _small_classes(case: Examination) -> None:
    """Classes with fewer pictures in train than doctor.minimum_per_class, and these files; none at all was refused."""
    counts = _counts(case, TRAIN)
    small = np.flatnonzero((counts > 0) & (counts < case.settings.minimum_per_class))
    if not len(small):
        return
    rows = np.flatnonzero((case.splits == TRAIN) & np.isin(case.labels, small))
    classes = dict(zip(_named(case, small), counts[small].tolist(), strict=False))
    case.report("small_classes", len(small), classes=classes, **cut(case.names(rows)))
    what = "1 class has" if len(small) == 1 else f"{len(small)} classes have"
    what += f" fewer than {case.settings.minimum_per_class} pictures to train on"
    told = [f"{name}: {count}" for name, count in classes.items()]
    case.refuse_if_fail("small_classes", what, told, "add pictures, lower doctor.minimum_per_class")


def _imbalance(case: Examination) -> None:
    """The largest class of train against the smallest that has any."""
    counts = _counts(case, TRAIN)
    present = np.flatnonzero(counts)
    if not len(present):
        return
    ends = present[[counts[present].argmin(), counts[present].argmax()]]
    small, large = counts[ends].tolist()
    if large <= case.settings.max_imbalance * small:
        return
    classes = dict(zip(_named(case, ends), [small, large], strict=True))
    case.report("imbalance", 2, classes=classes, ratio=round(large / small, 2))
    told = [f"{name}: {count}" for name, count in classes.items()]
    what = f"the largest class has {large / small:.1f} times the pictures of the smallest"
    case.refuse_if_fail("imbalance", what, told, "add pictures to the small ones, raise doctor.max_imbalance")


def _named(case: Examination, labels: Indices) -> list[str]:
    return [case.source.classes[label] for label in labels[:LISTED].tolist()]


def _drawn(case: Examination) -> list[tuple[int, int]]:
    """One pair of each cluster: two labels if it has them, else two splits, else any."""
    left, right = case.pairs.T
    conflict = case.labels[left] != case.labels[right]
    leak = case.given[left] != case.given[right]
    rank = np.where(conflict, 0, np.where(leak, 1, 2))
    order = np.lexsort((right, left, rank))
    _, first = np.unique(case.same[left[order]], return_index=True)
    chosen = case.pairs[order[np.sort(first)[:DRAWN]]]
    return [(min(pair), max(pair)) for pair in chosen.tolist()]


def _weights(counts: NDArray[np.int64]) -> list[float]:
    return [round(float(counts.sum() / (len(counts) * count)), 6) for count in counts]
