"""tar.gz in and out: packed so that equal files give equal bytes, unpacked as if a stranger had sent it."""

from __future__ import annotations

import os
import shutil
import zlib

from pipeline.errors import StorageError
from pipeline.local.jobs import JobFailed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from tarfile import TarInfo

MAX_BYTES = 32 << 30  # unpacked; a model that a laptop can serve is far below
MAX_FILES = 200_000
_CHUNK = 1 << 20


def contents(folders: Sequence[str]) -> list[tuple[str, str]]:
    """(relative path, path) of every file below the folders, sorted; where two hold the same name the first one counts.

    A link to a file inside its folder counts as that file; any other link is left out.
    """
    found: dict[str, str] = {}
    for folder in folders:
        inside = os.path.realpath(folder) + os.sep
        for where, _, files in os.walk(folder):
            for name in files:
                path = os.path.join(where, name)
                if os.path.isfile(path) and os.path.realpath(path).startswith(inside):
                    found.setdefault(os.path.relpath(path, folder).replace(os.sep, "/"), path)
    return sorted(found.items())


def pack(files: Sequence[tuple[str, str]], target: str) -> None:
    """Writes a .tar.gz without times, owners or folders. Level 1: weights hardly shrink at any, and 6 takes longer."""
    try:
        _write_tar(files, target)
    except OSError as exc:
        raise StorageError(f"cannot write {target}: {exc.strerror}", "free some disk space") from exc


def _write_tar(files: Sequence[tuple[str, str]], target: str) -> None:
    import gzip
    import tarfile

    with (
        open(target, "wb") as raw,
        gzip.GzipFile(filename="", mode="wb", compresslevel=1, fileobj=raw, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.GNU_FORMAT) as tar,
    ):
        for name, path in files:
            info = tarfile.TarInfo(name)
            info.size = os.path.getsize(path)
            info.mode = 0o755 if os.access(path, os.X_OK) and os.stat(path).st_mode & 0o100 else 0o644
            with open(path, "rb") as file:
                tar.addfile(info, file)


def unpack(archive: str, folder: str, what: str, max_bytes: int = MAX_BYTES) -> None:
    """Unpacks files and folders below `folder`. Raises JobFailed for links, devices, names that climb out, and bombs.

    Nothing but plain files is ever made, so no later entry can be written through an earlier one.
    """
    import tarfile

    left, count = max_bytes, 0
    try:
        with tarfile.open(archive, "r:*") as tar:
            for member in tar:
                count += 1
                left -= max(member.size, 0)
                if left < 0 or count > MAX_FILES:
                    raise JobFailed(f"ClientError: {what}: unpacks to more than {max_bytes} bytes or {MAX_FILES} files")
                target = _target(member, folder, what)
                if target:
                    _write(tar, member, target)
    except (tarfile.TarError, EOFError, zlib.error) as exc:
        raise JobFailed(f"ClientError: {what}: not a readable .tar.gz: {exc}") from exc
    except OSError as exc:
        if exc.errno is None:  # gzip's own complaints are OSErrors without a number
            raise JobFailed(f"ClientError: {what}: not a readable .tar.gz: {exc}") from exc
        raise StorageError(f"cannot unpack {what} to {folder}: {exc.strerror}", "free some disk space") from exc


def _target(member: TarInfo, folder: str, what: str) -> str:
    """Where an entry goes; '' for the folder itself."""
    name = member.name
    if not (member.isreg() or member.isdir()):
        raise JobFailed(
            f"ClientError: {what}: {name!r} is a link or a device; an archive may hold only files and folders"
        )
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if name.startswith("/") or ".." in parts or "\\" in name or "\0" in name:
        raise JobFailed(f"ClientError: {what}: {name!r} would be written outside of its folder")
    return os.path.join(folder, *parts) if parts else ""


def _write(tar: object, member: TarInfo, target: str) -> None:
    import tarfile

    assert isinstance(tar, tarfile.TarFile)
    if member.isdir():
        os.makedirs(target, exist_ok=True)
        return
    os.makedirs(os.path.dirname(target), exist_ok=True)
    source = tar.extractfile(member)
    assert source is not None  # only for what is no file
    with source, open(target, "wb") as file:
        shutil.copyfileobj(source, file, _CHUNK)
    os.chmod(target, 0o755 if member.mode & 0o100 else 0o644)
