"""Reads a prepared split: raw squares are mapped and copied once, on use; JPEG squares are decoded then."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, chain
from pathlib import Path
from typing import Any

import manifest
import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from refusal import Refusal
from torchvision.io import ImageReadMode, decode_jpeg

HASHED_ON_OPENING = 64 * 2**20  # bytes: about 50 ms of SHA-256; larger splits are checked by size, and by `verify`
AGAIN = manifest.AGAIN
HEADER = 64 * 2**10  # bytes of a JPEG within which its size has to stand; ours says it within 1,000
FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # SOF markers: not DHT, JPG, DAC
COLUMNS = {"label": pa.int32(), "name": pa.string()}


@dataclass(frozen=True)
class RawShard:
    """(n, stored, stored, 3), a view of the mapped file."""

    pixels: NDArray[np.uint8]

    def square(self, row: int) -> NDArray[np.uint8]:
        return np.asarray(self.pixels[row])

    def __len__(self) -> int:
        return len(self.pixels)


@dataclass(frozen=True)
class JpegShard:
    """JPEG files one after another in the mapped file: row i is content[offsets[i]:offsets[i + 1]]."""

    content: NDArray[np.uint8]
    offsets: NDArray[np.int32]
    size: int
    path: Path

    def square(self, row: int) -> NDArray[np.uint8]:
        """Raises Refusal for a row that is no JPEG of `size` x `size` pixels."""
        file = self.content[self.offsets[row] : self.offsets[row + 1]]
        self._refuse_other_size(file, row)
        try:
            pixels = decode_jpeg(torch.from_numpy(file.copy()), ImageReadMode.RGB)
        except (RuntimeError, ValueError) as error:
            reason = " ".join(str(error).split())[:200]
            raise Refusal(f"{self.path}: row {row} is no readable JPEG picture ({reason}): {AGAIN}") from None
        return pixels.permute(1, 2, 0).numpy()

    def _refuse_other_size(self, file: NDArray[np.uint8], row: int) -> None:
        """Before decoding: a header may promise 65,535 x 65,535 pixels."""
        found = jpeg_size(file[:HEADER].tobytes())
        if found is None:
            raise Refusal(f"{self.path}: row {row} is no readable JPEG picture (no size in its header): {AGAIN}")
        if found != (self.size, self.size):
            raise Refusal(
                f"{self.path}: row {row} is a picture of {found[0]} x {found[1]}, and the manifest says {self.size} x "
                f"{self.size}: {AGAIN}"
            )

    def __len__(self) -> int:
        return len(self.offsets) - 1


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
        """A copy of these stored squares, in this order, whatever shards they lie in."""
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
        """One square of `side` from each picture, cut while it is copied: the margin is never moved."""
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
        """Compares every shard's SHA-256 with the manifest."""
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
    parts = [_open_shard(folder / shard["file"], shard, body) for shard in body["shards"]]
    shards, labels, names = zip(*parts, strict=True)
    split = Split(folder, body, shards, np.concatenate(labels), tuple(chain.from_iterable(names)))
    if split.labels.min() < 0 or split.labels.max() >= len(split.classes):
        raise Refusal(f"{folder}: a label lies outside the {len(split.classes)} classes of the manifest: {AGAIN}")
    if sum(shard["bytes"] for shard in body["shards"]) <= HASHED_ON_OPENING:
        split.verify()
    return split


def jpeg_size(header: bytes) -> tuple[int, int] | None:
    """Width and height from the frame header, found by walking over the segments before it (ITU T.81, B.2)."""
    place = 2
    while header[:2] == b"\xff\xd8" and place + 9 <= len(header) and header[place] == 0xFF:
        if header[place + 1] in FRAMES:
            height, width = struct.unpack_from(">HH", header, place + 5)
            return width, height
        place += 2 + int.from_bytes(header[place + 2 : place + 4], "big")
    return None


def _open_shard(
    path: Path, shard: dict[str, Any], body: dict[str, Any]
) -> tuple[RawShard | JpegShard, NDArray[np.int64], list[str]]:
    if not path.is_file():
        raise Refusal(f"{path}: the manifest names it, and it is not there: {AGAIN}")
    if path.stat().st_size != shard["bytes"]:
        raise Refusal(f"{path}: {path.stat().st_size} bytes, and the manifest says {shard['bytes']}: {AGAIN}")
    size = body["stored_size"]
    batch = _batch(path)
    _refuse_columns(path, batch, {"image": _image_type(body["encoding"], size), **COLUMNS}, shard["rows"])
    image = batch.column("image")
    labels = batch.column("label").to_numpy().astype(np.int64)
    names = batch.column("name").to_pylist()
    if body["encoding"] == "jpeg":
        offsets = np.frombuffer(image.buffers()[1], dtype=np.int32, count=len(batch) + 1)
        content = np.frombuffer(image.buffers()[2], dtype=np.uint8) if offsets[-1] else np.zeros(0, np.uint8)
        return JpegShard(content, offsets, size, path), labels, names
    pixels = np.frombuffer(image.buffers()[1], dtype=np.uint8, count=len(batch) * size * size * 3)
    return RawShard(pixels.reshape(-1, size, size, 3)), labels, names


def _batch(path: Path) -> pa.RecordBatch:
    """Validated in full: offsets and lengths of a damaged file would point outside of it."""
    try:
        reader = pa.ipc.open_file(pa.memory_map(str(path)))
        if reader.num_record_batches != 1:
            raise Refusal(f"{path}: {reader.num_record_batches} record batches, and a shard has one: {AGAIN}")
        batch = reader.get_batch(0)
        batch.validate(full=True)
        _ = batch.schema.names  # are decoded here: bytes that are no UTF-8 would end in UnicodeDecodeError later
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise Refusal(f"{path}: not an Arrow file, or damaged ({reason}): {AGAIN}") from None
    return batch


def _image_type(encoding: str, size: int) -> pa.DataType:
    return pa.binary() if encoding == "jpeg" else pa.binary(size * size * 3)


def _refuse_columns(path: Path, batch: pa.RecordBatch, types: dict[str, pa.DataType], rows: int) -> None:
    found = {field.name: field.type for field in batch.schema}
    for name, kind in types.items():
        if found.get(name) != kind or batch.schema.names.count(name) != 1:
            raise Refusal(f"{path}: column {name} is {found.get(name, 'missing')}, and has to be {kind}: {AGAIN}")
        if batch.column(name).null_count or batch.column(name).offset:
            raise Refusal(f"{path}: column {name} has gaps: {AGAIN}")
    if len(batch) != rows:
        raise Refusal(f"{path}: {len(batch)} pictures, and the manifest says {rows}: {AGAIN}")
