"""Which picture goes into which split: stratified by class, seeded, and stable when other pictures come or go."""

from __future__ import annotations

import hashlib
from collections import defaultdict

from refusal import Refusal
from sources import SPLITS, Item, Source


def assign(source: Source, fractions: dict[str, float], seed: int) -> dict[str, list[Item]]:
    """Splits that the source does not separate are taken from its train part; each split in order of name."""
    taken = {split: fractions[split] for split in SPLITS[1:] if split not in source.splits}
    splits: dict[str, list[Item]] = {split: list(source.splits.get(split, ())) for split in SPLITS}
    by_class: dict[int, list[Item]] = defaultdict(list)
    for item in splits["train"]:
        by_class[item.label].append(item)
    splits["train"] = []
    for label, name in enumerate(source.classes):
        items = sorted(by_class[label], key=lambda item: _place(item, seed))
        if len(items) < 1 + len(taken):
            raise Refusal(
                f"class {name!r} has {_pictures(len(items))} to train on, and {1 + len(taken)} are needed to give each "
                "split one: add pictures or remove the class"
            )
        for split, fraction in taken.items():
            count = max(1, min(round(fraction * len(by_class[label])), len(items) - len(taken)))
            splits[split] += items[:count]
            items = items[count:]
        splits["train"] += items
    return {split: sorted(items, key=lambda item: item.name) for split, items in splits.items()}


def _place(item: Item, seed: int) -> bytes:
    """A digest, not a shuffle: the same on every NumPy, and a new picture moves no other one."""
    return hashlib.sha256(f"{seed}\0{item.name}".encode()).digest()


def _pictures(count: int) -> str:
    return "1 picture" if count == 1 else f"{count} pictures"
