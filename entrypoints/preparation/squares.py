"""Where the squares of a data set lie between decoding and the shards: raw in a file, as JPEGs, or in memory."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Protocol

import images
import numpy as np
from numpy.typing import NDArray
from refusal import naming

Indices = NDArray[np.int64]


class Squares(Protocol):
    """Processes write chunks of `rows` squares side by side; whoever started them notes their lengths and reads."""

    size: int
    rows: int  # squares a chunk
    encoding: str  # raw | jpeg

    def write(self, start: int, chunk: NDArray[np.uint8], readable: NDArray[np.bool_]) -> NDArray[np.int64]:
        """Keeps the squares of the rows from `start`, and returns the length of each in bytes."""

    def note(self, start: int, lengths: NDArray[np.int64]) -> None:
        """What `write` returned, told to this process."""

    def pixels(self, indices: Indices) -> NDArray[np.uint8]: ...

    def jpeg(self, index: int) -> bytes: ...


class Raw:
    """One sparse file of equal rows. It is read, not mapped: mapped pages would count as this process's memory."""

    encoding = "raw"

    def __init__(self, path: Path, size: int, count: int, rows: int) -> None:
        self.path, self.size, self.rows = path, size, rows
        self._row = size * size * 3
        path.touch()
        os.truncate(path, count * self._row)

    def write(self, start: int, chunk: NDArray[np.uint8], readable: NDArray[np.bool_]) -> NDArray[np.int64]:
        with naming(self.path), self.path.open("r+b") as file:
            file.seek(start * self._row)
            file.write(chunk.data)
        return np.where(readable, self._row, 0)

    def note(self, start: int, lengths: NDArray[np.int64]) -> None:
        pass

    def pixels(self, indices: Indices) -> NDArray[np.uint8]:
        found = np.empty((len(indices), self.size, self.size, 3), dtype=np.uint8)
        with self.path.open("rb", buffering=0) as file:
            for first, stop in _runs(indices):
                file.seek(int(indices[first]) * self._row)
                if file.readinto(found[first:stop].data) != (stop - first) * self._row:
                    raise OSError(f"{self.path}: cut short while it was in use")
        return found

    def jpeg(self, index: int) -> bytes:
        raise TypeError("these squares are raw")


class Jpegs:
    """One file of JPEGs for each chunk, so that it does not matter which process wrote it."""

    encoding = "jpeg"

    def __init__(self, folder: Path, size: int, count: int, rows: int) -> None:
        self.folder, self.size, self.rows = folder, size, rows
        self._lengths = np.zeros(count, dtype=np.int64)
        folder.mkdir()

    def write(self, start: int, chunk: NDArray[np.uint8], readable: NDArray[np.bool_]) -> NDArray[np.int64]:
        encoded = [images.jpeg(square) if good else b"" for square, good in zip(chunk, readable, strict=True)]
        with naming(self._path(start)):
            self._path(start).write_bytes(b"".join(encoded))
        return np.array([len(content) for content in encoded], dtype=np.int64)

    def note(self, start: int, lengths: NDArray[np.int64]) -> None:
        self._lengths[start : start + len(lengths)] = lengths

    def pixels(self, indices: Indices) -> NDArray[np.uint8]:
        found = np.zeros((len(indices), self.size, self.size, 3), dtype=np.uint8)
        for row, index in enumerate(indices):
            if content := self.jpeg(int(index)):
                found[row] = images.read(content, self.size)
        return found

    def jpeg(self, index: int) -> bytes:
        start = index - index % self.rows
        with self._path(start).open("rb", buffering=0) as file:
            file.seek(int(self._lengths[start:index].sum()))
            return file.read(int(self._lengths[index]))

    def _path(self, start: int) -> Path:
        return self.folder / f"{start:09d}.jpegs"


class Memory:
    """Pixels that the source holds already, at the right size: nothing is copied."""

    encoding = "raw"

    def __init__(self, pixels: NDArray[np.uint8], rows: int) -> None:
        self.size, self.rows = pixels.shape[1], rows
        self._pixels = pixels

    def write(self, start: int, chunk: NDArray[np.uint8], readable: NDArray[np.bool_]) -> NDArray[np.int64]:
        return np.full(len(chunk), self.size * self.size * 3)

    def note(self, start: int, lengths: NDArray[np.int64]) -> None:
        pass

    def pixels(self, indices: Indices) -> NDArray[np.uint8]:
        return self._pixels[indices]

    def jpeg(self, index: int) -> bytes:
        raise TypeError("these squares are raw")


def _runs(indices: Indices) -> list[tuple[int, int]]:
    """Places in `indices` between which they count up by one: each run is one read."""
    breaks = np.flatnonzero(np.diff(indices) != 1) + 1
    edges = [0, *breaks.tolist(), len(indices)]
    return [(first, stop) for first, stop in zip(edges, edges[1:], strict=False) if stop > first]
