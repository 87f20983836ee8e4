"""Files on this machine → digests of what they hold: the names of their folders in S3."""

from __future__ import annotations

import hashlib
import os
from collections import namedtuple

from pipeline.errors import DarkroomError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import NoReturn

# `stamp` is [size, mtime in ns]: while it stays, the content is taken to be the same
File = namedtuple("File", "relative path stamp")
# A file that changed this shortly before it was read may change again within its mtime's resolution.
RACY_NS = 2_000_000_000


def file_at(path: str, relative: str) -> File:
    """Raises DarkroomError for a file that is not there or cannot be looked at."""
    try:
        return File(relative, path, stamp(path))
    except OSError as exc:
        refuse(exc)


def files_below(folder: str) -> Iterator[File]:
    """Links are followed, as PrepareData does; hidden files (.DS_Store, .git) belong to nobody's data.

    A link to a folder above it would go on for ever, and is left out. Any other counts, also the second to one folder:
    which of two is met first is the file system's affair. Raises DarkroomError for broken links, pipes and devices, and
    for names that S3 cannot hold.
    """
    above = {folder: frozenset({os.path.realpath(folder)})}
    for where, folders, names in os.walk(folder, onerror=refuse, followlinks=True):
        chain = above.pop(where)
        real = {name: os.path.realpath(os.path.join(where, name)) for name in folders if not name.startswith(".")}
        folders[:] = [name for name in real if real[name] not in chain]
        above.update((os.path.join(where, name), chain | {real[name]}) for name in folders)
        for name in names:
            path = os.path.join(where, name)
            if not name.startswith("."):
                relative = os.path.relpath(path, folder).replace(os.sep, "/")
                _refuse_unnameable(relative, folder)
                _refuse_special(path)
                yield file_at(path, relative)


def stamp(path: str) -> list[int]:
    stat = os.stat(path)
    return [stat.st_size, stat.st_mtime_ns]


def sha256(path: str) -> str:
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as exc:
        exc.filename = path  # reading, unlike opening, does not say what
        refuse(exc)


def folder_name(digests: Mapping[str, str]) -> str:
    """32 hex digits of relative paths and the SHA-256 of each: the same wherever the files lie."""
    lines = "".join(f"{digest} {relative}\n" for relative, digest in sorted(digests.items()))
    return hashlib.sha256(lines.encode()).hexdigest()[:32]


def refuse(exc: OSError) -> NoReturn:
    """What cannot be read must not go missing silently."""
    raise DarkroomError(f"{exc.filename} cannot be read: {exc.strerror}", "make it readable, or move it away") from exc


def _refuse_unnameable(relative: str, folder: str) -> None:
    try:
        relative.encode()
    except UnicodeEncodeError as exc:
        problem = f"{folder}: the name {ascii(relative)} is not UTF-8, and keys in S3 are"
        raise DarkroomError(problem, "rename the file or folder") from exc


def _refuse_special(path: str) -> None:
    if not os.path.isfile(path):
        raise DarkroomError(f"{path} is a broken link, a pipe or a device", "remove it, or put the file there")
