"""Coloured shapes in CIFAR-10's files: where neither the colour alone nor the shape alone tells the class."""

from __future__ import annotations

import archives
import numpy as np
from numpy.typing import NDArray

SIDE = 32
COLOURS = {"blue": (40, 60, 220), "green": (40, 180, 60), "orange": (240, 150, 20)}
SHAPES = ("bar", "pillar", "disc")
CLASSES = [f"{colour} {shape}" for colour in COLOURS for shape in SHAPES]


def cifar(per_batch: int) -> dict[str, bytes]:
    """File name → content; 5 batches to train on and one to be tested on."""
    files = {}
    for seed, name in enumerate([*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"]):
        labels = [row % len(CLASSES) for row in range(per_batch)]
        pictures = np.stack([drawn(label, np.random.default_rng([seed, row])) for row, label in enumerate(labels)])
        names = [b"%s_%06d.png" % (name.encode(), row) for row in range(per_batch)]
        planes = pictures.transpose(0, 3, 1, 2).reshape(per_batch, -1)
        held = {b"batch_label": name.encode(), b"labels": labels, b"data": planes, b"filenames": names}
        files[f"cifar-10-batches-py/{name}"] = archives.python2(held)
    meta = {b"num_cases_per_batch": per_batch, b"label_names": [name.encode() for name in CLASSES], b"num_vis": 3072}
    files["cifar-10-batches-py/batches.meta"] = archives.python2(meta)
    return files


def drawn(label: int, random: np.random.Generator) -> NDArray[np.uint8]:
    """One shape of any size anywhere on a grey of its own, with noise."""
    colour, shape = list(COLOURS.values())[label // len(SHAPES)], SHAPES[label % len(SHAPES)]
    size = random.uniform(5, 9)
    y, x = (np.arange(SIDE) - random.uniform(10, 22) for _ in range(2))
    inside = {
        "bar": (abs(y)[:, None] < size * 0.35) & (abs(x) < size * 1.2),
        "pillar": (abs(y)[:, None] < size * 1.2) & (abs(x) < size * 0.35),
        "disc": y[:, None] ** 2 + x**2 < (size * 0.8) ** 2,
    }[shape]
    picture = np.where(inside[..., None], colour, random.uniform(60, 200)) + random.normal(0, 12, (SIDE, SIDE, 3))
    return np.clip(picture, 0, 255).astype(np.uint8)
