"""Objects of S3 as files of a folder: each whole or absent, inside the folder, never all of one in memory."""

from __future__ import annotations

import errno
import hashlib
import os

from pipeline.errors import StorageError
from pipeline.whole_file import whole

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


def _unnoted(size: int, digest: str) -> None:
    """Nobody keeps a record of what was fetched."""


def place(folder: str, file: str) -> str:
    """`file` is relative, with slashes. Raises StorageError for what would lie elsewhere: keys are other people's."""
    parts = file.split("/")
    found = os.path.join(folder, *parts)
    inside = os.path.realpath(folder)
    real = os.path.realpath(os.path.dirname(found))
    if any(part in ("", ".", "..") or "\0" in part or os.sep in part for part in parts):
        raise refused(file, folder)
    if os.path.commonpath([inside, real]) != inside:
        raise StorageError(f"{found} leads out of {folder} by a link", "name another folder")
    return found


def refused(file: str, folder: str) -> StorageError:
    return StorageError(f"{file!r} is no file below {folder}", "fetch it by its s3:// address")


def put(blocks: Iterable[bytes], path: str, note: Callable[[int, str], None] = _unnoted) -> tuple[int, str]:
    """Size and SHA-256, which `note` hears of before the file is there. Raises StorageError."""
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with whole(path) as aside:
            size, digest = _written(blocks, aside)
            note(size, digest)
    except OSError as exc:
        full = exc.errno in (errno.ENOSPC, errno.EDQUOT)
        said = f"the disk is full: cannot write {path}" if full else f"cannot write {path}: {exc.strerror}"
        raise StorageError(said, "free some space, or name another folder") from exc
    return size, digest


def _written(blocks: Iterable[bytes], path: str) -> tuple[int, str]:
    size, digest = 0, hashlib.sha256()
    with open(path, "wb") as file:
        for block in blocks:
            file.write(block)
            digest.update(block)
            size += len(block)
        file.flush()
        os.fsync(file.fileno())
    return size, digest.hexdigest()
