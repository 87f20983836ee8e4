"""Small picture files, folders and prepared splits for the tests of the entry points."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import shards
from numpy.typing import NDArray
from PIL import Image

COLOURS = {"blue": (30, 40, 200), "green": (40, 180, 60), "red": (200, 40, 30)}


def noisy(colour: tuple[int, int, int], size: tuple[int, int], seed: int) -> NDArray[np.uint8]:
    """(height, width, 3) of one colour with noise, so that no two pictures are equal."""
    random = np.random.default_rng(seed)
    noise = random.integers(-25, 26, (*size, 3))
    return np.clip(np.array(colour) + noise, 0, 255).astype(np.uint8)


def encoded(pixels: NDArray[np.uint8], kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format=kind, **options)
    return buffer.getvalue()


def folder(root: Path, per_class: int = 10, size: tuple[int, int] = (24, 20)) -> Path:
    """Class folders blue, green and red below `root`."""
    for number, (name, colour) in enumerate(COLOURS.items()):
        (root / name).mkdir(parents=True)
        for index in range(per_class):
            content = encoded(noisy(colour, size, 1000 * number + index))
            (root / name / f"{index:03d}.png").write_bytes(content)
    return root


def split(
    root: Path, images: NDArray[np.uint8], labels: list[int], classes: list[str], shard_bytes: int = 2**20
) -> Path:
    """A prepared split written by the real writer, with pixels and labels of one's choice."""
    root.mkdir(parents=True)
    size = images.shape[1]
    rows = ((pixels, label, f"{index}.png") for index, (pixels, label) in enumerate(zip(images, labels, strict=True)))
    files, sums = shards.write(root, rows, size, shard_bytes)
    body = {
        "split": root.name,
        "classes": classes,
        "count": len(labels),
        "image_size": size,
        "mean": sums.mean(),
        "deviation": sums.deviation(),
        "source": {"kind": "test", "digest": "0"},
    }
    shards.publish(root, files, body)
    return root


def json_of(path: Path) -> object:
    """Strict: NaN and Infinity, which Python would read, are errors."""
    import json

    def refuse(text: str) -> object:
        raise AssertionError(f"{path} holds {text}")

    return json.loads(path.read_text(encoding="utf-8"), parse_constant=refuse)
