"""Small picture files, folders and prepared splits for the tests of the entry points."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from preparation import shards

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


@dataclass(frozen=True)
class Squares:
    """Stands in for staging.Staged: squares that are already there, raw or JPEG."""

    all: NDArray[np.uint8]
    encoding: str = "raw"

    @property
    def size(self) -> int:
        return self.all.shape[1]

    def pixels(self, indices: NDArray[np.int64]) -> NDArray[np.uint8]:
        if self.encoding == "raw":
            return self.all[indices]
        return np.stack([np.asarray(Image.open(io.BytesIO(self.jpeg(int(index))))) for index in indices])

    def jpeg(self, index: int) -> bytes:
        return encoded(self.all[index], "JPEG", quality=92)


class Named(NamedTuple):
    name: str
    label: int


def split(root: Path, images: NDArray[np.uint8], labels: list[int], classes: list[str], **options: Any) -> Path:
    """A prepared split written by the real writer, with pixels and labels of one's choice.

    `options`: encoding, shard_bytes, and what the manifest is to say otherwise.
    """
    root.mkdir(parents=True)
    staged = Squares(images, options.get("encoding", "raw"))
    items = [Named(f"{index}.png", label) for index, label in enumerate(labels)]
    files, sums = shards.write_split(
        root, staged, np.arange(len(images)), items, options.pop("shard_bytes", shards.SHARD_BYTES)
    )
    body = {
        "split": root.name,
        "classes": classes,
        "count": len(labels),
        "image_size": images.shape[1],
        "stored_size": images.shape[1],
        "square": "crop",
        "encoding": "raw",
        "mean": sums.mean(),
        "deviation": sums.deviation(),
        "class_weights": [1.0] * len(classes),
        "source": {"kind": "test", "digest": "0"},
    }
    shards.publish(root, files, {**body, **options})
    return root


def forge(folder: Path, change: Callable[[bytes], bytes]) -> None:
    """Changes a split's first shard, and has the manifest agree: what only the shard's content can tell."""
    path = folder / "00000.arrow"
    content = change(path.read_bytes())
    path.write_bytes(content)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["shards"][0] |= {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    (folder / "manifest.json").write_text(json.dumps(manifest))


def colours(root: Path, counts: dict[str, int], **options: Any) -> Path:
    """Splits of noisy blue, green and red squares: `counts` pictures of each, stored at 18 px for a model of 16."""
    shared = {"image_size": 16, "mean": [0.4, 0.4, 0.4], "deviation": [0.3, 0.3, 0.3], **options}
    seed = 0
    for name, count in counts.items():
        labels = [label for label in range(3) for _ in range(count)]
        seeds = range(seed, seed := seed + len(labels))
        shades = list(COLOURS.values())
        pixels = [noisy(shades[label], (18, 18), number) for label, number in zip(labels, seeds, strict=True)]
        split(root / name, np.stack(pixels), labels, list(COLOURS), **shared)
    return root


def json_of(path: Path) -> object:
    """Strict: NaN and Infinity, which Python would read, are errors."""

    def refuse(text: str) -> object:
        raise AssertionError(f"{path} holds {text}")

    return json.loads(path.read_text(encoding="utf-8"), parse_constant=refuse)
