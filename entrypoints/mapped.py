"""Shards of a split, mapped into memory and checked: squares by row, raw or decoded when they are asked for."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from manifest import AGAIN
from numpy.typing import NDArray
from refusal import Refusal

HEADER = 64 * 2**10  # bytes of a JPEG within which its size has to stand; ours says it within 1,000
FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # SOF markers: not DHT, JPG, DAC
COLUMNS = {"label": pa.int32(), "name": pa.string()}


def open_shard(
    path: Path, shard: dict[str, Any], body: dict[str, Any]
) -> tuple[RawShard | JpegShard, NDArray[np.int64], list[str]]:
    """Squares, labels and names; raises Refusal for a file that is not the one that the manifest `body` describes."""
    if not path.is_file():
        raise Refusal(f"{path}: the manifest names it, and it is not there: {AGAIN}")
    if path.stat().st_size != shard["bytes"]:
        raise Refusal(f"{path}: {path.stat().st_size} bytes, and the manifest says {shard['bytes']}: {AGAIN}")
    size = body["stored_size"]
    batch = _batch(path)
    _refuse_columns(path, batch, {"image": _image_type(body["encoding"], size), **COLUMNS}, shard["rows"])
    image = batch.column("image")
    # pyarrow's to_numpy would import pandas for this: half a second of every job.
    labels = np.frombuffer(batch.column("label").buffers()[1], dtype=np.int32, count=len(batch)).astype(np.int64)
    names = batch.column("name").to_pylist()
    if body["encoding"] == "jpeg":
        offsets = np.frombuffer(image.buffers()[1], dtype=np.int32, count=len(batch) + 1)
        content = np.frombuffer(image.buffers()[2], dtype=np.uint8) if offsets[-1] else np.zeros(0, np.uint8)
        return JpegShard(content, offsets, size, path), labels, names
    pixels = np.frombuffer(image.buffers()[1], dtype=np.uint8, count=len(batch) * size * size * 3)
    return RawShard(pixels.reshape(-1, size, size, 3)), labels, names


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
        from torchvision.io import ImageReadMode, decode_jpeg  # splits of raw squares do without

        file = self.content[self.offsets[row] : self.offsets[row + 1]]
        self._refuse_other_size(file, row)
        try:
            decoded = decode_jpeg(torch.from_numpy(file.copy()), ImageReadMode.RGB)
        except (RuntimeError, ValueError) as error:
            reason = " ".join(str(error).split())[:200]
            raise Refusal(f"{self.path}: row {row} is no readable JPEG picture ({reason}): {AGAIN}") from None
        pixels: NDArray[np.uint8] = decoded.permute(1, 2, 0).numpy()
        return pixels

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


def jpeg_size(header: bytes) -> tuple[int, int] | None:
    """Width and height from the frame header, found by walking over the segments before it (ITU T.81, B.2)."""
    place = 2
    while header[:2] == b"\xff\xd8" and place + 9 <= len(header) and header[place] == 0xFF:
        if header[place + 1] in FRAMES:
            height, width = struct.unpack_from(">HH", header, place + 5)
            return width, height
        place += 2 + int.from_bytes(header[place + 2 : place + 4], "big")
    return None


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
