"""CIFAR-10 and CIFAR-100 as their authors publish them: pickled batches of rows of 3 x 1024 bytes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from refusal import Refusal

from preparation import trees, unpickle
from preparation.admitted import Foreign
from preparation.items import Item, Source
from preparation.trees import Tree

SIDE = 32
PLANE = SIDE * SIDE  # a row is a red, a green and a blue plane


class Layout(NamedTuple):
    """File names as in cifar-10-python.tar.gz and cifar-100-python.tar.gz (cs.toronto.edu/~kriz/cifar.html)."""

    batches: dict[str, str]  # file → split, in order of the items' names
    meta: str
    class_names: str
    labels: str
    archive: str


LAYOUTS = {
    "cifar10": Layout(
        {"test_batch": "test", **{f"data_batch_{number}": "train" for number in range(1, 6)}},
        "batches.meta",
        "label_names",
        "labels",
        "cifar-10-python.tar.gz",
    ),
    "cifar100": Layout(
        {"test": "test", "train": "train"}, "meta", "fine_label_names", "fine_labels", "cifar-100-python.tar.gz"
    ),
}


def open_cifar(kind: str, tree: Tree) -> Source:
    """Validation is not separated; split.assign takes it from train."""
    layout = LAYOUTS[kind]
    tree = _holding(tree, layout)
    classes = _classes(tree, layout)
    items: list[Item] = []
    pixels = np.empty((0, PLANE, 3), dtype=np.uint8)
    total = hashlib.sha256("\0".join(classes).encode())
    for name, split in layout.batches.items():
        rows, labels = _batch(tree, name, layout, len(classes))
        start = len(pixels)
        # Grown in place: joining the batches at the end would hold every picture twice.
        pixels.resize((start + len(rows), PLANE, 3), refcheck=False)
        for channel in range(3):  # four times as fast as one transposed copy
            pixels[start:, :, channel] = rows[:, channel * PLANE : (channel + 1) * PLANE]
        total.update(pixels[start:].data)
        total.update(np.array([len(rows), *labels], dtype="<i8").data)
        items.extend(_items(name, split, labels))
    shaped = pixels.reshape(-1, SIDE, SIDE, 3)
    return Source(kind, classes, items, None, shaped, (), total.hexdigest())


def _items(name: str, split: str, labels: list[int]) -> Iterator[Item]:
    digits = max(5, len(str(len(labels) - 1)))  # so that the order of names is that of rows
    return (Item(f"{split}/{name}/{row:0{digits}d}", label, split) for row, label in enumerate(labels))


def _holding(tree: Tree, layout: Layout) -> Tree:
    """The folder with the batches, wherever it lies; the fullest one, then the first."""
    wanted = {*layout.batches, layout.meta}
    found: dict[str, int] = {}
    for name in tree.files:
        folder, slash, base = name.rpartition("/")
        if base in wanted:
            found[folder + slash] = found.get(folder + slash, 0) + 1
    if not found:
        raise Refusal(
            f"{tree.where}: none of {', '.join(sorted(wanted))} in it: give {layout.archive} or the folder in it"
        )
    fullest = max(sorted(found), key=found.__getitem__)
    return trees.below(tree, fullest)


def _classes(tree: Tree, layout: Layout) -> tuple[str, ...]:
    where = f"{tree.where}/{layout.meta}"
    found = _loaded(tree, layout.meta, layout).get(layout.class_names)
    listed = found if isinstance(found, list) else []
    names = tuple(name.decode("utf-8", "replace") if isinstance(name, bytes) else name for name in listed)
    if not names or not all(type(name) is str for name in names) or len(set(names)) < len(names):
        raise Refusal(
            f"{where}: no list of different class names under {layout.class_names!r}: take it from {layout.archive}"
        )
    return names


def _batch(tree: Tree, name: str, layout: Layout, classes: int) -> tuple[NDArray[np.uint8], list[int]]:
    where = f"{tree.where}/{name}"
    held = _loaded(tree, name, layout)
    key = layout.labels
    rows, labels = held.get("data"), held.get(key)
    if not isinstance(rows, np.ndarray) or rows.ndim != 2 or rows.shape[1] != 3 * PLANE or not len(rows):
        shape = f"an array of {rows.shape}" if isinstance(rows, np.ndarray) else f"a {type(rows).__name__}"
        raise Refusal(f"{where}: 'data' is {shape}, and rows of {3 * PLANE} bytes belong there: copy the file again")
    if not isinstance(labels, list) or len(labels) != len(rows):
        count = f"{len(labels)} labels" if isinstance(labels, list) else "no list"
        raise Refusal(f"{where}: {key!r} is {count} for {len(rows)} pictures: copy the file again")
    for row, label in enumerate(labels):
        if type(label) is not int or not 0 <= label < classes:
            shown = label if type(label) is int else f"of type {type(label).__name__}"
            raise Refusal(
                f"{where}: label {shown} of row {row} is none of 0 to {classes - 1}: "
                "copy the file and its list of classes again, from one data set"
            )
    return rows, labels


def _loaded(tree: Tree, name: str, layout: Layout) -> dict[str, Any]:
    where = f"{tree.where}/{name}"
    if name not in tree.files:
        raise Refusal(f"{where}: missing: copy it there, or unpack {layout.archive} again")
    try:
        held = unpickle.loads(tree.read(name))
    except Foreign as reason:
        raise Refusal(f"{where}: not a file of this data set: {reason}: unpack {layout.archive} again") from None
    if not isinstance(held, dict):
        raise Refusal(f"{where}: holds no dict: unpack {layout.archive} again")
    return held
