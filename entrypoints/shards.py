"""Writes a split: Arrow IPC shards of raw pixels and, last of all, the manifest that makes them count."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import jsonfile
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

FORMAT = 1
MANIFEST = "manifest.json"
SHARD_BYTES = 128 * 2**20  # pixels a shard: what preparation holds in memory at a time


class Shard(NamedTuple):
    """One finished file, still under its temporary name."""

    file: str
    rows: int
    bytes: int
    sha256: str


class ChannelSums(NamedTuple):
    """Exact integer sums over pixels, so that order and shard size change nothing."""

    pixels: int = 0
    total: tuple[int, ...] = (0, 0, 0)
    squares: tuple[int, ...] = (0, 0, 0)

    def plus(self, pixels: NDArray[np.uint8]) -> ChannelSums:
        flat = pixels.reshape(-1, 3)
        counts = [np.bincount(flat[:, channel], minlength=256) for channel in range(3)]
        values = np.arange(256)
        total = tuple(old + int(count @ values) for old, count in zip(self.total, counts, strict=True))
        squares = tuple(old + int(count @ values**2) for old, count in zip(self.squares, counts, strict=True))
        return ChannelSums(self.pixels + len(flat), total, squares)

    def mean(self) -> list[float]:
        return [round(total / self.pixels / 255, 6) for total in self.total]

    def deviation(self) -> list[float]:
        """Never 0: a channel without any variation would be divided by it."""
        means = [total / self.pixels for total in self.total]
        variances = (square / self.pixels - mean**2 for square, mean in zip(self.squares, means, strict=True))
        return [round(max(variance, 1.0) ** 0.5 / 255, 6) for variance in variances]


def clear(folder: Path) -> None:
    """Removes what an earlier run left; the manifest first, so that nobody reads the rest."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MANIFEST).unlink(missing_ok=True)
    for old in [*folder.glob("*.arrow"), *folder.glob("*.partial")]:
        old.unlink()


def write(
    folder: Path, rows: Iterable[tuple[NDArray[np.uint8], int, str]], size: int, shard_bytes: int = SHARD_BYTES
) -> tuple[list[Shard], ChannelSums]:
    """Rows are (pixels of (size, size, 3), label, file name). Nothing counts before `publish`."""
    shards: list[Shard] = []
    sums = ChannelSums()
    capacity = max(1, shard_bytes // (size * size * 3))
    pending: list[tuple[NDArray[np.uint8], int, str]] = []
    for row in rows:
        pending.append(row)
        if len(pending) == capacity:
            shards.append(_write_shard(folder, len(shards), pending))
            sums = sums.plus(np.stack([pixels for pixels, _, _ in pending]))
            pending = []
    if pending:
        shards.append(_write_shard(folder, len(shards), pending))
        sums = sums.plus(np.stack([pixels for pixels, _, _ in pending]))
    return shards, sums


def publish(folder: Path, shards: list[Shard], manifest: dict[str, Any]) -> None:
    """Gives the shards their names, then writes the manifest: a folder with a manifest is a finished split."""
    for shard in shards:
        os.replace(folder / f"{shard.file}.partial", folder / shard.file)
    body = {"format": FORMAT, **manifest, "shards": [shard._asdict() for shard in shards]}
    jsonfile.write(folder / MANIFEST, body)


def _write_shard(folder: Path, number: int, rows: list[tuple[NDArray[np.uint8], int, str]]) -> Shard:
    pixels = np.ascontiguousarray(np.stack([pixels for pixels, _, _ in rows]))
    width = pixels[0].size
    image = pa.FixedSizeBinaryArray.from_buffers(pa.binary(width), len(rows), [None, pa.py_buffer(pixels)])
    columns = {
        "image": image,
        "label": pa.array([label for _, label, _ in rows], pa.int32()),
        "name": pa.array([name for _, _, name in rows], pa.string()),
    }
    batch = pa.record_batch(columns)
    name = f"{number:05d}.arrow"
    path = folder / f"{name}.partial"
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, batch.schema) as writer:
        writer.write_batch(batch)
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    return Shard(name, len(rows), path.stat().st_size, sha256)
