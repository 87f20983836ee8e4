"""Reads a prepared split: Arrow shards mapped into memory, nothing copied before it is used."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from refusal import Refusal

FORMAT = 1
MANIFEST = "manifest.json"
HASHED_ON_OPENING = 64 * 2**20  # bytes: about 50 ms of SHA-256; larger splits are checked by size, and by `verify`
AGAIN = "run PrepareData again"


@dataclass(frozen=True)
class Split:
    """Pictures of one split. `shards` are (n, H, W, 3) views into the mapped files, in order."""

    folder: Path
    manifest: dict[str, Any]
    shards: tuple[NDArray[np.uint8], ...]
    labels: NDArray[np.int64]
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def classes(self) -> tuple[str, ...]:
        return tuple(self.manifest["classes"])

    @property
    def image_size(self) -> int:
        return int(self.manifest["image_size"])

    @cached_property
    def images(self) -> NDArray[np.uint8]:
        """All pictures, (N, H, W, 3). One shard is a view of the file; several are copied together."""
        return self.shards[0] if len(self.shards) == 1 else np.concatenate(self.shards)

    def take(self, indices: NDArray[np.int64]) -> NDArray[np.uint8]:
        """A copy of these pictures, in this order, whatever shards they lie in."""
        if len(self.shards) == 1:
            return self.shards[0][indices]
        taken = np.empty((len(indices), *self.shards[0].shape[1:]), dtype=np.uint8)
        start = 0
        for shard in self.shards:
            here = (indices >= start) & (indices < start + len(shard))
            taken[here] = shard[indices[here] - start]
            start += len(shard)
        return taken

    def verify(self) -> None:
        """Compares every shard's SHA-256 with the manifest."""
        for shard in self.manifest["shards"]:
            path = self.folder / shard["file"]
            with path.open("rb") as file:
                if hashlib.file_digest(file, "sha256").hexdigest() != shard["sha256"]:
                    raise Refusal(f"{path}: its content does not match the manifest: {AGAIN}")


def open_split(folder: str | Path) -> Split:
    """Raises Refusal when the folder holds no finished split, or not the one that its manifest describes."""
    folder = Path(folder)
    manifest = _manifest(folder / MANIFEST)
    size = manifest["image_size"]
    parts = [_open_shard(folder, shard, size) for shard in manifest["shards"]]
    images, labels, names = zip(*parts, strict=True)
    split = Split(folder, manifest, images, np.concatenate(labels), sum(names, ()))
    if len(split) != manifest["count"]:
        raise Refusal(f"{folder}: {len(split)} pictures, and the manifest says {manifest['count']}: {AGAIN}")
    if split.labels.min() < 0 or split.labels.max() >= len(split.classes):
        raise Refusal(f"{folder}: a label lies outside the {len(split.classes)} classes of the manifest: {AGAIN}")
    if sum(shard["bytes"] for shard in manifest["shards"]) <= HASHED_ON_OPENING:
        split.verify()
    return split


def _manifest(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise Refusal(f"{path}: missing, so this is no finished split: {AGAIN}, or check the channel's address")
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise Refusal(f"{path}: not JSON ({error}): {AGAIN}") from None
    needed = {"format", "classes", "count", "image_size", "mean", "deviation", "shards", "source"}
    missing = sorted(needed - manifest.keys()) if isinstance(manifest, dict) else sorted(needed)
    if missing:
        raise Refusal(f"{path}: {missing[0]!r} is missing: {AGAIN}")
    if manifest["format"] != FORMAT:
        raise Refusal(f"{path}: format {manifest['format']!r}, and this code reads {FORMAT}: {AGAIN} with this code")
    if not manifest["shards"]:
        raise Refusal(f"{path}: the split has no pictures: {AGAIN} with a larger fraction for it")
    return manifest


def _open_shard(
    folder: Path, shard: dict[str, Any], size: int
) -> tuple[NDArray[np.uint8], NDArray[np.int64], tuple[str, ...]]:
    path = folder / Path(shard["file"]).name
    if not path.is_file():
        raise Refusal(f"{path}: the manifest names it, and it is not there: {AGAIN}")
    if path.stat().st_size != shard["bytes"]:
        raise Refusal(f"{path}: {path.stat().st_size} bytes, and the manifest says {shard['bytes']}: {AGAIN}")
    try:
        batch = pa.ipc.open_file(pa.memory_map(str(path))).get_batch(0)
    except pa.ArrowInvalid as error:
        raise Refusal(f"{path}: not an Arrow file ({error}): {AGAIN}") from None
    image = batch.column("image")
    if image.type != pa.binary(size * size * 3):
        raise Refusal(f"{path}: pictures of {image.type}, and the manifest says {size} x {size} x 3 bytes: {AGAIN}")
    pixels = np.frombuffer(image.buffers()[1], dtype=np.uint8, count=len(batch) * size * size * 3)
    labels = batch.column("label").to_numpy().astype(np.int64)
    return pixels.reshape(-1, size, size, 3), labels, tuple(batch.column("name").to_pylist())
