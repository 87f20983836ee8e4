"""What a source of pictures is, whatever its kind: names, classes, splits and groups; nothing is decoded yet."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

SPLITS = ("train", "validation", "test")


class Item(NamedTuple):
    """`name` is unique below the data set's root, with "/"; `label` is an index into Source.classes."""

    name: str
    label: int
    split: str = ""  # one of SPLITS where the source itself separates
    group: str = ""  # items of one group never fall into two splits; "" is a group of its own


class Source(NamedTuple):
    """Exactly one of `read` and `pixels` is there: files to decode, or pictures that are pixels already.

    `read(index)` gives the content of items[index]. It may be used in forked and spawned processes, and raises
    images.Unreadable where one member of an archive is damaged.
    """

    kind: str
    classes: tuple[str, ...]
    items: list[Item]  # sorted by name
    read: Callable[[int], bytes] | None
    pixels: NDArray[np.uint8] | None  # (N, H, W, 3)
    ignored: tuple[str, ...]  # files that are no pictures, by suffix
    digest: str  # SHA-256, hex, over names and contents


def pictures(count: int) -> str:
    return "1 picture" if count == 1 else f"{count} pictures"
