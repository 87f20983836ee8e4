"""Float32 arrays kept in a folder by digest, for several programs at once: whole or absent, the least used removed."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import math
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO

import numpy as np
import torch
from torch import Tensor

Rows = Callable[[], Iterable[Tensor]]
OWN = re.compile(r"[0-9a-f]{64}\.(array|partial)", re.ASCII)  # nothing else in the folder is ever removed
SEAL = 32  # bytes at the end of a file: SHA-256 of its name and all before
PIECE = 1 << 24  # bytes hashed at once


def kept(path: Path, shape: tuple[int, ...], believed: Callable[[Tensor], bool], rows: Rows, limit: int) -> Tensor:
    """The array at `path` when it is whole and `believed`; else the file is made of `rows()`, its parts in order.

    Of several programs that need it one computes, and the others wait for its lock, which ends with it. All files of
    the folder hold `limit` bytes at most. Raises OSError when the folder cannot hold this one.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if (found := _found(path, shape)) is not None and believed(found):
        return found
    with _alone(path.with_suffix(".partial")) as partial:
        if (found := _found(path, shape)) is not None and believed(found):
            os.unlink(partial.name)
            return found
        try:
            _make_room(path, math.prod(shape) * 4 + SEAL, limit)
            _write(partial, path.name, rows())
            os.replace(partial.name, path)
        except BaseException:
            os.unlink(partial.name)
            raise
        return _mapped(partial, shape)


def temporary(shape: tuple[int, ...], rows: Rows) -> Tensor:
    """The same in a file without a name below TMPDIR, gone with the program."""
    with tempfile.TemporaryFile(prefix="darkroom-") as file:
        _write(file, "", rows())
        return _mapped(file, shape)


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[IO[bytes]]:
    """The locked file. One that its last holder has renamed or removed meanwhile is nobody's: the next one is taken."""
    while True:
        with open(path, "r+b", opener=_created) as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            if _is_at(file, path):
                yield file
                return


def _created(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CREAT | os.O_NOFOLLOW, 0o600)


def _is_at(file: IO[bytes], path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.lstat())
    except FileNotFoundError:
        return False


def _found(path: Path, shape: tuple[int, ...]) -> Tensor | None:
    """None for whatever `_write` would not have left there. One that is used becomes the youngest."""
    size = math.prod(shape) * 4
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:  # none, a link, or nobody's to read: the one that is made now takes its place
        return None
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_size != size + SEAL:
            return None
        summed = hashlib.sha256(path.name.encode())
        for start in range(0, size, PIECE):
            summed.update(file.read(min(PIECE, size - start)))
        if file.read() != summed.digest():
            return None
        with contextlib.suppress(PermissionError):
            os.utime(descriptor)
        return _mapped(file, shape)


def _write(file: IO[bytes], name: str, rows: Iterable[Tensor]) -> None:
    """Not synchronised with the disk: what a power failure tears off, the seal tells."""
    file.truncate(0)
    file.seek(0)
    summed = hashlib.sha256(name.encode())
    for part in rows:
        content = part.numpy().tobytes()
        summed.update(content)
        file.write(content)
    file.write(summed.digest())
    file.flush()


def _mapped(file: IO[bytes], shape: tuple[int, ...]) -> Tensor:
    """Copy on write: torch wants memory that may be written to, and the file is everybody's."""
    return torch.from_numpy(np.memmap(file, np.float32, "c", 0, shape))  # type: ignore[call-overload,unused-ignore]


def _make_room(path: Path, size: int, limit: int) -> None:
    """Removes the least used files until this one fits. Files in use live on without a name."""
    others = sorted(_others(path), key=lambda entry: entry[0])
    room = min(limit - sum(length for _, length, _ in others), shutil.disk_usage(path.parent).free)
    for _, length, other in others:
        if room < size <= limit and _removed(other):
            room += length
    if room < size:
        raise OSError(f"{size} bytes, and there is room for {max(room, 0)} in {path.parent}")


def _others(path: Path) -> Iterator[tuple[float, int, Path]]:
    """When used, bytes, where: of all our files but the one that is being made."""
    for other in path.parent.iterdir():
        if OWN.fullmatch(other.name) and other != path.with_suffix(".partial"):
            with contextlib.suppress(FileNotFoundError):
                status = other.lstat()
                if stat.S_ISREG(status.st_mode):
                    yield status.st_mtime, status.st_size, other


def _removed(path: Path) -> bool:
    """Not a partial file that somebody is writing."""
    try:
        if path.suffix == ".partial":
            with path.open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink()
        else:
            path.unlink()
    except OSError:
        return False
    return True
