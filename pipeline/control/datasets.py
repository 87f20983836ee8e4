"""Local pictures, a folder or an archive, become an S3 folder named by its content: never a stale cache hit."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections import namedtuple

from pipeline.errors import DarkroomError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any, NoReturn

    from pipeline.client import Clients

# `stamp` is [size, mtime in ns]: while it stays, the content is taken to be the same
File = namedtuple("File", "relative path stamp")
RACY_NS = (
    2_000_000_000  # a file that changed this shortly before it was read may change again within its mtime's resolution
)


def put(clients: Clients, source: str, destination: str) -> str:
    """Uploads what is not there yet of a folder, or an archive, below `<destination><digest>/`; returns that address.

    Raises DarkroomError for a folder without files, for what cannot be read, and for what changes meanwhile.
    """
    files = [_file(source, os.path.basename(source))] if os.path.isfile(source) else sorted(_files(source))
    if not files:
        raise DarkroomError(f"{source} holds no files", "name a folder that holds the pictures, or an archive of them")
    digests = _digests(files, _memory(clients.home, source))
    address = f"{destination}{_total(digests)}/"
    present = {entry.uri for entry in clients.storage.list(address)}
    for file in files:
        uri = address + file.relative
        if uri not in present:
            clients.storage.put_file(uri, file.path)
            if _stamp(file.path) != file.stamp:
                clients.storage.delete(uri)
                raise DarkroomError(
                    f"{file.path} changed while it was being copied", "run again when nothing writes there"
                )
    return address


def _files(folder: str) -> Iterator[File]:
    """Links to folders are followed, once; hidden files (.DS_Store, .git) are no pictures."""
    seen = set()
    for where, folders, names in os.walk(folder, onerror=_refuse, followlinks=True):
        real = os.path.realpath(where)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            path = os.path.join(where, name)
            if not name.startswith(".") and os.path.isfile(path):
                yield _file(path, os.path.relpath(path, folder).replace(os.sep, "/"))


def _refuse(exc: OSError) -> NoReturn:
    """What cannot be read must not go missing silently."""
    raise DarkroomError(f"{exc.filename} cannot be read: {exc.strerror}", "make it readable, or move it away") from exc


def _file(path: str, relative: str) -> File:
    return File(relative, path, _stamp(path))


def _stamp(path: str) -> list[int]:
    stat = os.stat(path)
    return [stat.st_size, stat.st_mtime_ns]


def _digests(files: list[File], memory: str) -> dict[str, str]:
    """Relative path → SHA-256. Files whose stamp did not change since the last time are not read again."""
    known = _load(memory)
    digests: dict[str, str] = {}
    remembered: dict[str, list[Any]] = {}
    for file in files:
        digest, *stamp = known.get(file.relative, ("",))
        if stamp != file.stamp:
            digest = _sha256(file.path)
        digests[file.relative] = digest
        if time.time_ns() - file.stamp[1] > RACY_NS:
            remembered[file.relative] = [digest, *file.stamp]
    if remembered != known:
        _save(memory, remembered)
    return digests


def _total(digests: dict[str, str]) -> str:
    lines = "".join(f"{digest} {relative}\n" for relative, digest in sorted(digests.items()))
    return hashlib.sha256(lines.encode()).hexdigest()[:32]


def _sha256(path: str) -> str:
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as exc:
        exc.filename = path  # reading, unlike opening, does not say what
        _refuse(exc)


def _memory(home: str, source: str) -> str:
    name = hashlib.sha256(os.path.realpath(source).encode()).hexdigest()[:16]
    return os.path.join(home, "datasets", f"{name}.json")


def _load(memory: str) -> dict[str, list[Any]]:
    """Only a memory: if it cannot be read, everything is read anew."""
    try:
        with open(memory, encoding="utf-8") as file:
            return dict(json.load(file))
    except (OSError, ValueError):
        return {}


def _save(memory: str, remembered: dict[str, list[Any]]) -> None:
    os.makedirs(os.path.dirname(memory), exist_ok=True)
    aside = f"{memory}.{os.getpid()}"
    with open(aside, "w", encoding="utf-8") as file:
        json.dump(remembered, file)
    os.replace(aside, memory)
