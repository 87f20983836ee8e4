"""Reads a prepared split: raw squares are mapped and copied once, on use; JPEG squares are decoded then."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, chain
from pathlib import Path
from typing import Any

import manifest
import numpy as np
import torch
from mapped import JpegShard, RawShard, open_shard
from numpy.typing import NDArray
from refusal import Refusal

HASHED_ON_OPENING = 64 * 2**20  # bytes: about 50 ms of SHA-256; larger splits are checked by size, and by `verify`
AGAIN = manifest.AGAIN


@dataclass(frozen=True)
class Split:
    """Pictures of one split, in order of name; stored squares have room for crops of `image_size`."""

    folder: Path
    manifest: dict[str, Any]
    shards: tuple[RawShard | JpegShard, ...]
    labels: NDArray[np.int64]
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def classes(self) -> tuple[str, ...]:
        return tuple(self.manifest["classes"])

    @property
    def image_size(self) -> int:
        """Side of what the model sees."""
        return int(self.manifest["image_size"])

    @property
    def stored_size(self) -> int:
        return int(self.manifest["stored_size"])

    @property
    def margin(self) -> int:
        return self.stored_size - self.image_size

    @cached_property
    def images(self) -> NDArray[np.uint8]:
        """All stored squares, (N, stored, stored, 3). One raw shard is a view of the file; others are copied."""
        only = self.shards[0]
        return only.pixels if len(self.shards) == 1 and isinstance(only, RawShard) else self.take(np.arange(len(self)))

    def take(self, indices: NDArray[np.int64]) -> NDArray[np.uint8]:
        """(n, stored, stored, 3): a copy of these stored squares, in this order, whatever shards they lie in."""
        corners = np.zeros(len(indices), dtype=np.int64)
        return self.crops(indices, corners, corners, self.stored_size)

    def centred(self, start: int, stop: int) -> NDArray[np.uint8]:
        """(n, image_size, image_size, 3): the middle of these squares, as the endpoint sees pictures."""
        indices = np.arange(start, min(stop, len(self)))
        corners = np.full(len(indices), self.margin // 2)
        return self.crops(indices, corners, corners, self.image_size)

    def crops(
        self, indices: NDArray[np.int64], tops: NDArray[np.int64], lefts: NDArray[np.int64], side: int
    ) -> NDArray[np.uint8]:
        """(n, side, side, 3): a square cut out of each picture while it is copied, so that the margin is never moved.

        Raises Refusal for a row that is no readable JPEG.
        """
        only = self.shards[0]
        if len(self.shards) == 1 and isinstance(only, RawShard) and side == self.stored_size:
            return only.pixels[indices]
        taken = np.empty((len(indices), side, side, 3), dtype=np.uint8)
        numbers = np.searchsorted(self._starts, indices, side="right") - 1
        places = zip(numbers.tolist(), (indices - self._starts[numbers]).tolist(), strict=True)
        work = list(zip(taken, places, tops.tolist(), lefts.tolist(), strict=True))

        def copy(first: int, last: int) -> None:
            for out, (number, row), top, left in work[first:last]:
                out[...] = self.shards[number].square(row)[top : top + side, left : left + side]

        self._each(copy, len(work))
        return taken

    def verify(self) -> None:
        """Raises Refusal where a shard's SHA-256 is not the manifest's."""
        for shard in self.manifest["shards"]:
            path = self.folder / shard["file"]
            with path.open("rb") as file:
                if hashlib.file_digest(file, "sha256").hexdigest() != shard["sha256"]:
                    raise Refusal(f"{path}: its content does not match the manifest: {AGAIN}")

    @cached_property
    def _starts(self) -> NDArray[np.int64]:
        return np.array([0, *accumulate(len(shard) for shard in self.shards)][:-1], dtype=np.int64)

    def _each(self, work: Callable[[int, int], None], count: int) -> None:
        """JPEGs are decoded by as many threads as torch may use (the decoder lets go of the GIL); copies by one."""
        threads = min(torch.get_num_threads(), count) if isinstance(self.shards[0], JpegShard) else 1
        if threads < 2:
            work(0, count)
            return
        edges = [count * number // threads for number in range(threads + 1)]
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(work, edges[:-1], edges[1:]))


def open_split(folder: str | Path) -> Split:
    """Raises Refusal when the folder holds no finished split, or not the one that its manifest describes."""
    folder = Path(folder)
    body = manifest.read(folder / manifest.NAME)
    parts = [open_shard(folder / shard["file"], shard, body) for shard in body["shards"]]
    shards, labels, names = zip(*parts, strict=True)
    split = Split(folder, body, shards, np.concatenate(labels), tuple(chain.from_iterable(names)))
    if split.labels.min() < 0 or split.labels.max() >= len(split.classes):
        raise Refusal(f"{folder}: a label lies outside the {len(split.classes)} classes of the manifest: {AGAIN}")
    if sum(shard["bytes"] for shard in body["shards"]) <= HASHED_ON_OPENING:
        split.verify()
    return split
