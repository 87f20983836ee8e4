"""What is wrong with the pictures of a data set, finding by finding, and what becomes of them."""

from __future__ import annotations

import numpy as np

from preparation.examination import DROPPED, LISTED, Examination, Indices, cut, cut_groups, grouped
from preparation.items import SPLITS, pictures
from preparation.near import clusters


def unreadable(case: Examination) -> None:
    """Damaged files. Whatever the action, nothing can be written of them: with `fail` that is said."""
    rows = np.array([row for row, problem in enumerate(case.staged.problem) if problem], dtype=np.int64)
    case.drop("unreadable", rows)
    if not len(rows):
        return
    reasons = [case.staged.problem[row] for row in rows.tolist()]
    names = case.names(rows)
    case.report("unreadable", len(rows), **cut(names), reasons=reasons[:LISTED])
    told = [f"{name}: {reason}" for name, reason in zip(names, reasons, strict=True)]
    case.refuse_if_fail("unreadable", f"{pictures(len(rows))} cannot be read", told, "replace or remove them")


def not_pictures(case: Examination) -> None:
    names = list(case.source.ignored)
    if names:
        case.report("not_pictures", len(names), **cut(names))
        what = "1 file is no picture" if len(names) == 1 else f"{len(names)} files are no pictures"
        case.refuse_if_fail("not_pictures", what, names, "remove them")


def conflicting_labels(case: Examination) -> None:
    """The same picture under two labels, in whatever splits. All of them are dropped: nobody knows which is right."""
    found = [group for group in case.groups() if len(np.unique(case.labels[group])) > 1]
    if not found:
        return
    rows = np.concatenate(found)
    classes = [[case.source.classes[label] for label in case.labels[group]] for group in found]
    case.report("conflicting_labels", len(rows), **cut_groups(case, found, classes=classes))
    if case.settings.conflicting_labels == "drop":
        case.drop("conflicting_labels", rows)
    what = f"{pictures(len(rows))} stand under two labels"
    case.refuse_if_fail("conflicting_labels", what, _told(case, found, classes), "keep each under one label")


def odd_sizes(case: Examination, image_size: int) -> None:
    """A short side under half of what training asks for, or a long shape.

    Where most pictures are small (digits of 8 pixels), small is not odd: then half of the median short side counts.
    """
    present = case.present()
    width, height = case.staged.width[present], case.staged.height[present]
    short, long = np.minimum(width, height), np.maximum(width, height)
    usual = float(np.median(short)) if len(short) else 0.0
    odd = (2 * short < min(image_size, usual)) | (long > case.settings.max_aspect * short)
    rows = present[odd]
    if not len(rows):
        return
    sizes = [f"{w}x{h}" for w, h in zip(width[odd].tolist(), height[odd].tolist(), strict=True)]
    names = case.names(rows)
    case.report("odd_sizes", len(rows), **cut(names), sizes=sizes[:LISTED])
    if case.settings.odd_sizes == "drop":
        case.drop("odd_sizes", rows)
    told = [f"{name}: {size}" for name, size in zip(names, sizes, strict=True)]
    mend = "replace or remove them, lower dataset.image_size, raise doctor.max_aspect"
    case.refuse_if_fail("odd_sizes", f"{pictures(len(rows))} of odd size", told, mend)


def leaks(case: Examination) -> None:
    """The same picture in two splits.

    `move` takes all of them to the most held-out split among theirs, and along with them what shares a group with one
    of them, for groups stay whole. `drop` keeps those in the most held-out split.
    """
    found = [group for group in case.groups() if len(np.unique(case.splits[group])) > 1]
    if not found:
        return
    rows = np.concatenate(found)
    splits = [[SPLITS[split] for split in case.splits[group]] for group in found]
    entry = cut_groups(case, found, splits=splits)
    if case.settings.leaks == "drop":
        less = [group[case.splits[group] < case.splits[group].max()] for group in found]
        case.drop("leaks", np.concatenate(less))
        entry["dropped"] = len(case.lost["leaks"])
    if case.settings.leaks == "move":
        case.lost["leaks"] = _move(case, found)
        entry["moved"] = len(case.lost["leaks"])
        along = np.setdiff1d(case.lost["leaks"], rows)
        entry |= {"along": case.names(along[:LISTED])} if len(along) else {}
    case.report("leaks", len(rows), **entry)
    what = f"{pictures(len(rows))} stand in more than one split"
    case.refuse_if_fail("leaks", what, _told(case, found, splits), "keep each in one split")


def duplicates(case: Examination) -> None:
    """The same picture more than once in one split, as the splits are after leaks were moved or dropped.

    `drop` keeps the one with most pixels, of equals the first by name; it stands first in its group.
    """
    present = case.present()
    area = case.staged.width.astype(np.int64) * case.staged.height
    order = present[np.lexsort((present, -area[present]))]
    found = grouped(case.same * len(SPLITS) + case.splits, order)
    if not found:
        return
    rows = np.concatenate(found)
    copies = np.concatenate([group[1:] for group in found])
    case.report("duplicates", len(rows), **cut_groups(case, found), copies=len(copies))
    if case.settings.duplicates == "drop":
        case.drop("duplicates", np.sort(copies))
    what = f"{pictures(len(rows))} are the same as others of their split"
    case.refuse_if_fail("duplicates", what, [" = ".join(case.names(group[:2])) for group in found], "keep one of each")


def _move(case: Examination, found: list[Indices]) -> Indices:
    """Moves leaking pictures and everything tied to them by sameness or group; returns what changed its split."""
    present = case.present()
    ties = list(zip(case.same[present].tolist(), present.tolist(), strict=True))
    first: dict[str, int] = {}
    for row in present.tolist():
        if group := case.source.items[row].group:
            ties.append((first.setdefault(group, row), row))
    tied = clusters(len(case.splits), np.array(ties))
    target = np.full(len(tied), DROPPED, dtype=np.int8)
    np.maximum.at(target, tied[present], case.splits[present])
    leaking = present[np.isin(tied[present], tied[np.concatenate(found)])]
    moved: Indices = leaking[case.splits[leaking] != target[tied[leaking]]]
    case.splits[moved] = target[tied[moved]]
    return moved


def _told(case: Examination, groups: list[Indices], values: list[list[str]]) -> list[str]:
    """For an error: of each group the first picture and the first that differs from it, with what they differ in."""
    told = []
    for group, own in zip(groups, values, strict=True):
        other = next(place for place, value in enumerate(own) if value != own[0])
        one, two = case.names(group[[0, other]])
        told.append(f"{one} in {own[0]} = {two} in {own[other]}")
    return told
