"""Code that is named by its content: two addresses → which files changed between them."""

from __future__ import annotations

import io
import re
import tarfile
import zipfile
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from pipeline.client import Clients
from pipeline.errors import ServiceError, StorageError
from pipeline.plan.difference import Field

# s3://bucket/prefix/code/train-0123456789abcdef/ and whatever follows: the address, the stem, the digest
_ADDRESS = re.compile(r"(s3://\S+/([^/\s]*?)-?([0-9a-f]{16,64})/)(\S*)")
LARGEST = 64 << 20  # bytes of a folder that are read, of an archive that are unpacked; code is far below


@dataclass(frozen=True)
class CodeChange:
    """`problem` says why the files could not be compared; the three lists are then empty."""

    step: str
    old: str
    new: str
    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    problem: str = ""


class Code:
    """Files below content-addressed folders: those that were compiled here, else what storage has."""

    def __init__(self, clients: Clients, compiled: Mapping[str, str]) -> None:
        """`compiled`: address → file on this machine. `hints`: what would let this caller read what was refused."""
        self.hints: list[str] = []
        self._clients = clients
        self._compiled = compiled
        self._seen: dict[str, dict[str, bytes] | str] = {}

    def change(self, step: str, old: str, new: str) -> CodeChange:
        before, after = self._files(old), self._files(new)
        if isinstance(before, str) or isinstance(after, str):
            problem = next(text for text in (before, after) if isinstance(text, str))
            return CodeChange(step, old, new, problem=problem)
        return CodeChange(
            *(step, old, new),
            added=tuple(sorted(after.keys() - before.keys())),
            removed=tuple(sorted(before.keys() - after.keys())),
            changed=tuple(sorted(name for name in before.keys() & after.keys() if before[name] != after[name])),
        )

    def _files(self, address: str) -> dict[str, bytes] | str:
        """By relative path, archives unpacked; or why there are none."""
        if address not in self._seen:
            self._seen[address] = self._read(address)
        return self._seen[address]

    def _read(self, address: str) -> dict[str, bytes] | str:
        found = {uri: path for uri, path in self._compiled.items() if uri.startswith(address)}
        bodies = {uri: _bytes(path) for uri, path in found.items()}
        try:
            if not bodies:
                listed = list(self._clients.storage.list(address))
                if sum(each.size for each in listed) > LARGEST:
                    return f"{address} holds more than {LARGEST:,} bytes"
                bodies = {each.uri: self._clients.storage.get_bytes(each.uri, LARGEST) for each in listed}
        except (ServiceError, StorageError) as exc:
            if isinstance(exc, ServiceError) and not exc.is_of_one_part:
                raise
            self.hints += [exc.hint] if exc.hint else []
            return f"{address} cannot be read: {exc.message}"
        if not bodies:
            return f"{address} is not in storage"
        files: dict[str, bytes] = {}
        for uri, body in bodies.items():
            try:
                files |= unpacked(uri.removeprefix(address), body)
            except (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError, OSError) as exc:
                return f"{uri} cannot be unpacked: {exc}"
        return files


def changes(fields: Iterable[tuple[str, Field]], code: Code) -> list[CodeChange]:
    """One for each pair of code addresses that a field of a step went from and to."""
    found: dict[tuple[str, str, str], CodeChange] = {}
    for step, field in fields:
        pair = addresses(field)
        if pair and (step, *pair) not in found:
            found[step, *pair] = code.change(step, *pair)
    return list(found.values())


def addresses(field: Field) -> tuple[str, str] | None:
    """The two folders, where a field went from one state of some content to another."""
    if not isinstance(field.old, str) or not isinstance(field.new, str):
        return None
    old, new = _ADDRESS.fullmatch(field.old), _ADDRESS.fullmatch(field.new)
    if old is None or new is None or old[2] != new[2] or old[4] != new[4] or old[3] == new[3]:
        return None
    return old[1], new[1]


def content_addressed(address: str) -> bool:
    """Whether a digest in the address says what lies there: then it is never new under an old address."""
    return _ADDRESS.fullmatch(address) is not None


def unpacked(name: str, body: bytes) -> dict[str, bytes]:
    """A file as it is; a tar or zip as the files in it, at most LARGEST bytes."""
    if name.endswith((".tar.gz", ".tgz")):
        with tarfile.open(fileobj=io.BytesIO(body), mode="r:gz") as tar:
            members = [(member.name, member.size, member) for member in tar if member.isfile()]
            _refuse_huge(sum(size for _, size, _ in members))
            return {_plain(path): (tar.extractfile(member) or io.BytesIO()).read() for path, _, member in members}
    if name.endswith(".zip"):
        with zipfile.ZipFile(io.BytesIO(body)) as archive:
            files = [info for info in archive.infolist() if not info.is_dir()]
            _refuse_huge(sum(info.file_size for info in files))
            return {_plain(info.filename): archive.read(info) for info in files}
    return {name: body}


def _refuse_huge(size: int) -> None:
    if size > LARGEST:
        raise tarfile.TarError(f"it holds {size:,} bytes")


def _plain(path: str) -> str:
    return PurePosixPath(path).as_posix()


def _bytes(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()
