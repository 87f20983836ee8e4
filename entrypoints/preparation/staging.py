"""Every picture is decoded once and its square kept in scratch files, in flat memory."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import images
import numpy as np
from numpy.typing import NDArray
from refusal import Refusal
from threadpoolctl import threadpool_limits

from preparation import fingerprints, workers
from preparation.items import Source
from preparation.squares import Jpegs, Memory, Raw, Squares

RAW_LIMIT = 8 * 2**30  # bytes of raw pixels, above which squares are kept as JPEGs
MARGIN = (8, 7)  # stored to trained side, room for random crops: 256 to 224, as is usual for ImageNet
NATIVE = {"digits": 8, "cifar10": 32, "cifar100": 32}  # sides of kinds whose pictures are tiny
CHUNK_ROWS = 64  # pictures that a process reads before it reports
CHUNK_BYTES = 2**24  # and the pixels that it holds meanwhile
LARGER = "take a larger processing.instance_type in pipeline.yaml (on this machine: end other programs)"


class Rows(NamedTuple):
    """All that is known of the pictures from `start` on, but for their squares."""

    start: int
    width: NDArray[np.int32]
    height: NDArray[np.int32]
    digest: NDArray[np.uint8]
    hash: NDArray[np.uint64]
    problem: list[str]
    length: NDArray[np.int64]


class Staged:
    """Rows as in the source's items; `pixels` and `jpeg` read the scratch files, which have to stay meanwhile."""

    def __init__(self, squares: Squares, count: int) -> None:
        self.size = squares.size
        self.encoding = squares.encoding
        self.width = np.zeros(count, dtype=np.int32)  # of the original, upright; 0 where unreadable
        self.height = np.zeros(count, dtype=np.int32)
        self.digest = np.zeros((count, 32), dtype=np.uint8)  # SHA-256 of the file, or of the pixels where none is
        self.hash = np.zeros(count, dtype=np.uint64)  # fingerprints.of the square; 0 where unreadable
        self.problem = [""] * count  # one sentence why a picture is unreadable
        self._squares = squares

    def pixels(self, indices: Sequence[int] | NDArray[np.integer[Any]]) -> NDArray[np.uint8]:
        """(n, size, size, 3); black where unreadable."""
        return self._squares.pixels(np.asarray(indices, dtype=np.int64))

    def jpeg(self, index: int) -> bytes:
        """The square as it was encoded; only where `encoding` is "jpeg", and empty where unreadable."""
        return self._squares.jpeg(index)

    def put(self, rows: Rows) -> None:
        where = slice(rows.start, rows.start + len(rows.problem))
        for name in ("width", "height", "digest", "hash", "problem"):
            getattr(self, name)[where] = getattr(rows, name)
        self._squares.note(rows.start, rows.length)


def stored_size(kind: str, image_size: int) -> int:
    """8/7 of the side trained on, so that training can take random crops; never to enlarge tiny pictures."""
    wanted = (image_size * MARGIN[0] + MARGIN[1] // 2) // MARGIN[1]
    return image_size if wanted > NATIVE.get(kind, wanted) else wanted


def stage(
    source: Source, scratch: Path, size: int, square: str = "crop", raw_limit: int = RAW_LIMIT, processes: int = 0
) -> Staged:
    """Raises Refusal for a file that the disk does not give, and for a process that dies; OSError for a full disk.

    A picture's row does not depend on the number of processes (0: one for each core).
    """
    count = len(source.items)
    rows = max(1, min(CHUNK_ROWS, CHUNK_BYTES // (size * size * 3)))
    raw = count * size * size * 3 <= raw_limit
    if source.pixels is not None and raw and source.pixels.shape[1:3] == (size, size):
        squares: Squares = Memory(source.pixels, rows)
    else:
        squares = (Raw if raw else Jpegs)(scratch / "squares", size, count, rows)
    staged = Staged(squares, count)
    for done in _chunks(Chunks(source, squares, square), range(0, count, rows), processes):
        staged.put(done)
    return staged


class Chunks:
    """The work, in whichever process: the squares of the pictures from `start` on are kept, the rest is returned."""

    def __init__(self, source: Source, squares: Squares, square: str) -> None:
        self.source, self.squares, self.square = source, squares, square

    def __call__(self, start: int, note: Callable[[int], None] = lambda index: None) -> Rows:
        stop = min(start + self.squares.rows, len(self.source.items))
        return self._decode(start, stop, note) if self.source.pixels is None else self._take(start, stop)

    def _decode(self, start: int, stop: int, note: Callable[[int], None]) -> Rows:
        count, size = stop - start, self.squares.size
        pixels = np.zeros((count, size, size, 3), dtype=np.uint8)
        sides = np.zeros((2, count), dtype=np.int32)
        digests = np.zeros((count, 32), dtype=np.uint8)
        problems = [""] * count
        for row in range(count):
            note(start + row)
            try:
                content = self._content(start + row)
                digests[row] = np.frombuffer(hashlib.sha256(content).digest(), dtype=np.uint8)
                found = images.picture(content, size, self.square)
            except images.Unreadable as reason:
                problems[row] = str(reason)
            except MemoryError:
                name = self.source.items[start + row].name
                raise Refusal(f"{name}: too little memory to read it: {LARGER}") from None
            else:
                pixels[row], sides[:, row] = found.pixels, (found.width, found.height)
        return self._kept(start, pixels, sides, digests, problems)

    def _take(self, start: int, stop: int) -> Rows:
        assert self.source.pixels is not None
        taken = np.ascontiguousarray(self.source.pixels[start:stop])
        digests = b"".join(hashlib.sha256(picture).digest() for picture in taken)
        sides = np.repeat(np.array(taken.shape[2:0:-1], dtype=np.int32)[:, None], len(taken), axis=1)
        size = self.squares.size
        if taken.shape[1:3] != (size, size):
            taken = np.stack([images.squared(picture, size, self.square) for picture in taken])
        return self._kept(start, taken, sides, np.frombuffer(digests, np.uint8).reshape(-1, 32), [""] * len(taken))

    def _kept(
        self,
        start: int,
        pixels: NDArray[np.uint8],
        sides: NDArray[np.int32],
        digests: NDArray[np.uint8],
        problems: list[str],
    ) -> Rows:
        readable = sides[0] > 0
        hashes = np.zeros(len(pixels), dtype=np.uint64)
        hashes[readable] = fingerprints.of(pixels[readable])
        lengths = self.squares.write(start, pixels, readable)
        return Rows(start, sides[0], sides[1], digests, hashes, problems, lengths)

    def _content(self, index: int) -> bytes:
        assert self.source.read is not None
        try:
            return self.source.read(index)
        except OSError as error:
            reason = f"{self.source.items[index].name}: cannot be read from disk ({error.strerror or error})"
            raise Refusal(f"{reason}: see that it is there and may be read, then start again") from error


def _chunks(work: Chunks, starts: range, processes: int) -> Iterator[Rows]:
    if work.source.pixels is not None:  # nothing to decode: processes would cost more than they bring
        with threadpool_limits(1):  # as in workers.py: 0.35 s instead of up to 4.8 s for CIFAR-10 on two busy cores
            yield from map(work, starts)
        return
    if work.squares.encoding == "jpeg" or _torch_needed(work.source, work.squares.size):
        import torchvision.io  # noqa: F401  # once here, not once in every child
    try:
        yield from workers.spread(work, starts, processes)
    except workers.Lost as lost:
        raise Refusal(_lost(work, lost)) from lost


def _torch_needed(source: Source, size: int) -> bool:
    """By a look at three pictures; where it is wrong, the children import torch by themselves."""
    assert source.read is not None
    sides = [size]
    for index in {0, len(source.items) // 2, len(source.items) - 1} if source.items else ():
        with contextlib.suppress(images.Unreadable, OSError, MemoryError):  # told when its turn comes
            sides += images.dimensions(source.read(index))
    return max(sides) > images.SMALL


def _lost(work: Chunks, lost: workers.Lost) -> str:
    """The chunk's names as well: memory runs out anywhere, and what a crash wrote last may not have been the cause."""
    items = work.source.items
    at = max(lost.at, 0)
    first = at - at % work.squares.rows
    last = min(first + work.squares.rows, len(items)) - 1
    where = f"{items[first].name} to {items[last].name}: the process that read them {lost.end} at {items[at].name}"
    return f"{where}: if that was for memory, {LARGER}; if it is always the same picture, remove it"
