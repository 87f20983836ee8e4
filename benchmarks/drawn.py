"""Prepared splits of drawn pictures, raw or JPEG, for benchmarks: gradients with noise, as heavy as photos in JPEG."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "entrypoints"))

import images
import numpy as np
from data import Split, open_split
from numpy.typing import NDArray
from preparation import shards

PIXELS = NDArray[np.uint8]
DRAWN = 16  # different pictures; the split repeats them


class Form(NamedTuple):
    """What a split stores, and the side of what a model sees."""

    encoding: str
    image_size: int
    stored_size: int


class Squares:
    """Stands in for staging.Staged."""

    def __init__(self, form: Form) -> None:
        self.size, self.encoding = form.stored_size, form.encoding
        self.drawn = [picture(form.stored_size, seed) for seed in range(DRAWN)]
        self.files = [images.jpeg(each) for each in self.drawn]

    def pixels(self, indices: NDArray[np.int64]) -> PIXELS:
        return np.stack([self.drawn[index % DRAWN] for index in indices])

    def jpeg(self, index: int) -> bytes:
        return self.files[index % DRAWN]


class Item(NamedTuple):
    name: str
    label: int


def picture(side: int, seed: int) -> PIXELS:
    random = np.random.default_rng(seed)
    rows, columns = np.mgrid[:side, :side] / side
    waves = [np.sin(rows * random.uniform(5, 60)) + np.cos(columns * random.uniform(5, 60)) for _ in range(3)]
    noisy = 128 + 45 * np.stack(waves, -1) + random.normal(0, 8, (side, side, 3))
    return np.clip(noisy, 0, 255).astype(np.uint8)


def split(folder: Path, form: Form, count: int, classes: int = 2) -> Split:
    items = [Item(str(index), index % classes) for index in range(count)]
    folder.mkdir(parents=True)
    files, sums = shards.write_split(folder, Squares(form), np.arange(count), items)
    body = {
        "split": folder.name,
        "classes": [str(label) for label in range(classes)],
        "count": count,
        "class_weights": [1.0] * classes,
        "image_size": form.image_size,
        "stored_size": form.stored_size,
        "square": "crop",
        "encoding": form.encoding,
        "mean": sums.mean(),
        "deviation": sums.deviation(),
        "source": {"kind": "benchmark", "digest": ""},
    }
    shards.publish(folder, files, body)
    return open_split(folder)
