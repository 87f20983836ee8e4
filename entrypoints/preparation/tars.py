"""A tar archive's headers: what lies where, checked before anything is read; a gzipped one becomes a plain one."""

from __future__ import annotations

import gzip
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path

from refusal import Refusal, naming

from preparation import packed

BLOCK = 512
CHUNK = 2**20
DAMAGED = (tarfile.TarError, *packed.DAMAGED)
GZIP_DAMAGED = (gzip.BadGzipFile, EOFError, zlib.error)


class Header(tarfile.TarInfo):
    """A negative size sends Python's tarfile back in the archive, for ever (CVE-2025-8194)."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Header:
        header = super().frombuf(buf, encoding, errors)
        if header.size < 0:
            raise tarfile.InvalidHeaderError("negative size")  # type: ignore[attr-defined]
        return header


def open_tar(path: Path, scratch: Path, limits: packed.Limits) -> packed.Listing:
    """A gzipped one is unpacked into one file in `scratch`; members are read there by position."""
    plain = path
    if _starts(path) == b"\x1f\x8b":
        plain = scratch / "archive.tar"
        _gunzip(path, plain, limits)
    total = plain.stat().st_size
    listing = packed.Listing({}, set(), packed.Packed(plain, {}))
    for number, entry in enumerate(_tar_entries(path, plain)):
        packed.check(path, entry.name, number, (entry.isreg() and entry.sparse is None) or entry.isdir(), limits)
        packed.within(path, entry.name, entry.size, total, limits)
        if entry.size < 0 or entry.offset_data + entry.size > total:
            raise Refusal(
                f"{path}: {entry.name!r} lies beyond its end: the archive is cut short or damaged; copy it again"
            )
        span = packed.Span(entry.offset_data, entry.size, entry.size)
        packed.enter(path, listing, entry.name, entry.isdir(), span)
    return listing


def _tar_entries(path: Path, plain: Path) -> Iterator[tarfile.TarInfo]:
    try:
        with tarfile.open(plain, "r:", tarinfo=Header) as archive:
            while (entry := archive.next()) is not None:
                archive.members.clear()  # type: ignore[attr-defined]  # it keeps every entry, 1 KB each
                yield entry
            end = archive.offset
    except DAMAGED as error:
        raise Refusal(f"{path}: damaged, cut short, or no tar archive ({error}): copy it again") from None
    with plain.open("rb") as file:
        file.seek(end)
        # tarfile stops without a word at a damaged header; a whole archive ends in blocks of zeros.
        if file.read(BLOCK) != bytes(BLOCK):
            raise Refusal(f"{path}: damaged or cut short at byte {end:,} of the tar archive: copy it again")


def _gunzip(path: Path, plain: Path, limits: packed.Limits) -> None:
    left = limits.ratio * path.stat().st_size + limits.slack
    try:
        with naming(plain), gzip.open(path) as source, plain.open("wb") as target:
            while content := source.read(CHUNK):
                left -= len(content)
                if left < 0:
                    raise Refusal(f"{path}: unpacks to more than {limits.ratio} times its size: refused as a bomb")
                target.write(content)
    except GZIP_DAMAGED as error:
        raise Refusal(f"{path}: damaged or cut short ({error}): copy it again") from None


def _starts(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(2)
