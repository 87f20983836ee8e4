"""Which picture goes into which split: stratified by class, seeded, and stable when other pictures come or go."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from refusal import Refusal

from preparation.items import SPLITS, Source, pictures

TRAIN = 0


class Unit(NamedTuple):
    """Pictures that stay together; one without a group is a unit of its own."""

    place: bytes  # in the seeded order
    counts: Counter[int]  # label → pictures
    members: list[int]  # in Source.items


def assign(source: Source, fractions: dict[str, float], seed: int) -> NDArray[np.int8]:
    """Per item the index of its split in SPLITS.

    An item with a given split keeps it, and takes its group along. A split that no item is given is taken from those
    without one; where every item is given one, from train. Raises Refusal for a group in two splits, and for a
    class that is too small to give each split a picture.
    """
    splits = _given(source)
    present = set(splits.tolist())
    taken = {number: fractions[split] for number, split in enumerate(SPLITS) if number and number not in present}
    if taken and -1 not in present:
        splits[splits == TRAIN] = -1
    if taken:
        _distribute(source, splits, taken, seed)
    splits[splits < 0] = TRAIN
    return splits


def _given(source: Source) -> NDArray[np.int8]:
    groups: dict[str, str] = {}
    for item in source.items:
        if item.group and item.split and groups.setdefault(item.group, item.split) != item.split:
            raise Refusal(
                f"group {item.group!r} lies in {groups[item.group]} and in {item.split}: pictures of one group belong "
                "into one split; give them one"
            )
    number = {"": -1, **{split: index for index, split in enumerate(SPLITS)}}
    found = (number[item.split or groups.get(item.group, "")] for item in source.items)
    return np.fromiter(found, dtype=np.int8, count=len(source.items))


def _distribute(source: Source, splits: NDArray[np.int8], taken: dict[int, float], seed: int) -> None:
    labels = np.fromiter((item.label for item in source.items), dtype=np.int64, count=len(source.items))
    counts = np.bincount(labels[splits < 0], minlength=len(source.classes)).tolist()
    kept = np.bincount(labels[splits == TRAIN], minlength=len(source.classes)).tolist()
    for name, count, own in zip(source.classes, counts, kept, strict=True):
        _check(name, count, own, len(taken), source.ignored)
    wanted = _wanted(counts, taken)
    grouped, single = _units(source, splits, seed)
    for unit in grouped:
        for split, missing in wanted.items():
            if _nearer(unit, missing):
                splits[unit.members] = split
                missing.subtract(unit.counts)
                break
    for label, members in single.items():
        for split, missing in wanted.items():
            count = max(0, missing[label])
            splits[members[:count]] = split
            members = members[count:]
    free = np.flatnonzero(splits < 0)
    splits[free] = TRAIN
    if grouped:
        alone = [Unit(b"", Counter([label]), [index]) for label, members in single.items() for index in members]
        _mend(source, splits, grouped + alone, [*taken, TRAIN], labels)


def _wanted(counts: list[int], taken: dict[int, float]) -> dict[int, Counter[int]]:
    """Per split and class how many pictures, at least one; what is left after all is at least one, too."""
    wanted: dict[int, Counter[int]] = {}
    left = list(counts)
    for split, share in taken.items():
        wanted[split] = Counter()
        for label, count in enumerate(counts):
            wanted[split][label] = max(1, min(round(share * count), left[label] - len(taken)))
            left[label] -= wanted[split][label]
    return wanted


def _check(name: str, free: int, kept: int, taken: int, ignored: tuple[str, ...]) -> None:
    """A class gives each split that is taken one picture, and keeps one to train on."""
    if free >= taken + (not kept):
        return
    if kept:
        raise Refusal(
            f"class {name!r} has {pictures(free)} without a split, and {taken} are needed to give each split one: "
            "add pictures or leave the split of some empty"
        )
    raise Refusal(
        f"class {name!r} has {pictures(free)} to train on, and {1 + taken} are needed to give each split one: "
        f"add pictures or remove the class{_other_files(name, ignored)}"
    )


def _other_files(name: str, ignored: tuple[str, ...]) -> str:
    """A folder full of a camera's .HEIC files is not empty to whoever looks into it."""
    own = [file for file in ignored if any(part == name or part.endswith(f".{name}") for part in file.split("/")[:-1])]
    if not own:
        return ""
    count = "1 file is" if len(own) == 1 else f"{len(own)} files are"
    return f" ({count} no JPEG, PNG, WebP, BMP, GIF or TIFF: {own[0]})"


def _units(source: Source, splits: NDArray[np.int8], seed: int) -> tuple[list[Unit], dict[int, list[int]]]:
    """Groups without a split, and per class the pictures without either, both in the seeded order."""
    grouped: dict[str, list[int]] = defaultdict(list)
    single: dict[int, list[tuple[bytes, int]]] = defaultdict(list)
    for index in np.flatnonzero(splits < 0).tolist():
        item = source.items[index]
        if item.group:
            grouped[item.group].append(index)
        else:
            single[item.label].append((_place(item.name, seed), index))
    units = [
        Unit(_place(group, seed), Counter(source.items[index].label for index in members), members)
        for group, members in grouped.items()
    ]
    return sorted(units, key=lambda unit: unit.place), {
        label: [index for _, index in sorted(places)] for label, places in sorted(single.items())
    }


def _nearer(unit: Unit, missing: Counter[int]) -> bool:
    """Whether the split's counts come nearer to what is wanted with this unit than without."""
    with_it = sum(abs(missing[label] - count) for label, count in unit.counts.items())
    return with_it < sum(abs(missing[label]) for label in unit.counts)


def _mend(
    source: Source, splits: NDArray[np.int8], units: list[Unit], targets: list[int], labels: NDArray[np.int64]
) -> None:
    """Large groups may leave a class without a picture in a split: the smallest unit that can be spared moves there."""
    table = np.zeros((len(SPLITS), len(source.classes)), dtype=np.int64)
    np.add.at(table, (splits, labels), 1)
    for target in targets:
        for label in np.flatnonzero(table[target] == 0).tolist():
            found = [unit for unit in units if label in unit.counts and _spared(unit, table, splits)]
            if not found:
                raise Refusal(
                    f"class {source.classes[label]!r} cannot be in {SPLITS[target]}: too few groups hold it for "
                    f"{len(targets)} splits: add pictures of other groups or remove the class"
                )
            unit = min(found, key=lambda unit: (len(unit.members), unit.place, unit.members))
            for each, count in unit.counts.items():
                table[splits[unit.members[0]], each] -= count
                table[target, each] += count
            splits[unit.members] = target


def _spared(unit: Unit, table: NDArray[np.int64], splits: NDArray[np.int8]) -> bool:
    home = splits[unit.members[0]]
    return all(table[home, label] > count for label, count in unit.counts.items())


def _place(name: str, seed: int) -> bytes:
    """A digest, not a shuffle: the same on every NumPy, and a new picture moves no other one."""
    return hashlib.sha256(f"{seed}\0{name}".encode()).digest()
