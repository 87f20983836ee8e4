"""Files of this machine become S3 folders named by their content: never a stale cache hit."""

from __future__ import annotations

import hashlib
import json
import os
import time

from pipeline.content import RACY_NS, file_at, files_below, folder_name, sha256, stamp
from pipeline.errors import DarkroomError
from pipeline.whole_file import whole

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pipeline.client import Clients
    from pipeline.compiled import CompiledOnDisk
    from pipeline.content import File


def put(clients: Clients, source: str, destination: str) -> str:
    """Uploads what is not there yet of a folder, or a file, below `<destination><digest>/`; returns that address.

    Raises DarkroomError for a folder without files, for what cannot be read, and for what changes meanwhile.
    """
    files = _files(source)
    digests = _digests(files, _memory(clients.home, source))
    address = f"{destination}{folder_name(digests)}/"
    present = {entry.uri for entry in clients.storage.list(address)}
    for file in files:
        uri = address + file.relative
        if uri not in present:
            clients.storage.put_file(uri, file.path)
            if stamp(file.path) != file.stamp:
                clients.storage.delete(uri)
                raise DarkroomError(
                    f"{file.path} changed while it was being copied", "run again when nothing writes there"
                )
    return address


def address(home: str, source: str, destination: str) -> str:
    """Where `put` would have it; nothing is uploaded, and nothing is written here either."""
    return f"{destination}{folder_name(_digests(_files(source), _memory(home, source), remember=False))}/"


def put_model_files(clients: Clients, compiled: CompiledOnDisk) -> None:
    """What model.weights and model.warm_start name, at the addresses that the definition holds.

    They are named by content: what is there already is right already. Raises DarkroomError for a file that is not what
    it was when the definition was compiled.
    """
    for uri, path in compiled.model_files():
        if clients.storage.exists(uri):
            continue
        folder = uri.removesuffix(f"/{os.path.basename(path)}")
        if put(clients, path, folder.rpartition("/")[0] + "/") != f"{folder}/":
            raise DarkroomError(f"{path} changed after it was compiled", "run the command again")


def _files(source: str) -> list[File]:
    """Sorted, at least one. Raises DarkroomError."""
    files = [file_at(source, os.path.basename(source))] if os.path.isfile(source) else sorted(files_below(source))
    if not files:
        raise DarkroomError(f"{source} holds no files", "name a folder that holds the pictures, or an archive of them")
    return files


def _digests(files: list[File], memory: str, remember: bool = True) -> dict[str, str]:
    """Relative path → SHA-256. Files whose stamp did not change since the last time are not read again."""
    known = _load(memory)
    digests: dict[str, str] = {}
    remembered: dict[str, list[Any]] = {}
    for file in files:
        digest, *seen = known.get(file.relative, ("",))
        if seen != file.stamp:
            digest = sha256(file.path)
        digests[file.relative] = digest
        if time.time_ns() - file.stamp[1] > RACY_NS:
            remembered[file.relative] = [digest, *file.stamp]
    if remember and remembered != known:
        _save(memory, remembered)
    return digests


def _memory(home: str, source: str) -> str:
    name = hashlib.sha256(os.path.realpath(source).encode()).hexdigest()[:16]
    return os.path.join(home, "uploads", f"{name}.json")


def _load(memory: str) -> dict[str, list[Any]]:
    """Only a memory: if it cannot be read, everything is read anew."""
    try:
        with open(memory, encoding="utf-8") as file:
            return dict(json.load(file))
    except (OSError, ValueError):
        return {}


def _save(memory: str, remembered: dict[str, list[Any]]) -> None:
    os.makedirs(os.path.dirname(memory), exist_ok=True)
    with whole(memory) as aside, open(aside, "w", encoding="utf-8") as file:
        json.dump(remembered, file)
