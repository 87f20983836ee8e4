"""Zip and tar archives read by position, nothing unpacked by name: a hostile name can reach no file of this machine."""

from __future__ import annotations

import gzip
import re
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from images import Unreadable
from refusal import Refusal

STORED, DEFLATED = zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED
LOCAL_HEADER = struct.Struct("<4s22xHH")  # signature, lengths of name and extra field (APPNOTE.TXT 4.3.7)
ENCRYPTED = 0x1
WINDOWS = 0  # made by MS-DOS or Windows, where old packers wrote "\" between folders
DRIVE = re.compile(r"^[A-Za-z]:[\\/]")
BLOCK = 512
CHUNK = 2**20
# What zipfile and tarfile raise on damaged bytes (found by fuzzing), besides their own errors.
DAMAGED = (ValueError, EOFError, NotImplementedError, IndexError, struct.error, OverflowError, RecursionError)
ZIP_DAMAGED = (zipfile.BadZipFile, *DAMAGED)
TAR_DAMAGED = (tarfile.TarError, *DAMAGED)
GZIP_DAMAGED = (gzip.BadGzipFile, EOFError, zlib.error)


class Limits(NamedTuple):
    """Pictures hardly shrink when packed; bitmaps of one colour do, hence the wide ratio and the free first part."""

    members: int = 1_000_000
    ratio: int = 100
    slack: int = 256 * 2**20
    file: int = 512 * 2**20  # one member; 64 million pixels of 8 bytes


class Span(NamedTuple):
    """Where a member lies. Of a zip `start` is its local header and `check` its CRC-32; a tar has no check."""

    start: int
    packed: int
    size: int
    method: int = STORED
    check: int | None = None


class Packed(NamedTuple):
    """Opens the archive anew for each read: no position is shared with a forked process, and it can be pickled."""

    path: Path
    spans: dict[str, Span]

    def __call__(self, name: str) -> bytes:
        span = self.spans[name]
        with self.path.open("rb", buffering=0) as file:
            file.seek(span.start)
            if span.check is not None:
                header = file.read(LOCAL_HEADER.size)
                if len(header) < LOCAL_HEADER.size or header[:4] != b"PK\x03\x04":
                    raise Unreadable("damaged in its archive: no header where the directory says")
                file.seek(sum(LOCAL_HEADER.unpack(header)[1:]), 1)
            content = file.read(span.packed)
        return content if span.check is None else self._unpacked(name, span, content)

    def _unpacked(self, name: str, span: Span, content: bytes) -> bytes:
        if span.method == DEFLATED:
            try:
                content = zlib.decompressobj(-zlib.MAX_WBITS).decompress(content, span.size + 1)
            except zlib.error as error:
                raise Unreadable(f"damaged in its archive ({error})") from None
        if len(content) > span.size:
            raise Refusal(
                f"{self.path}: {name!r} unpacks to more than the {span.size:,} bytes that the archive's directory "
                "states: damaged or a bomb; pack the data set again"
            )
        if len(content) < span.size or zlib.crc32(content) != span.check:
            raise Unreadable("damaged in its archive: its length or checksum is another")
        return content


class Listing(NamedTuple):
    """Names are cleaned and checked: no `..`, no `.`, no doubled or leading slash; folders end in none."""

    files: dict[str, str]  # name → key for `packed`
    folders: set[str]
    packed: Packed


def open_zip(path: Path, limits: Limits) -> Listing:
    total = path.stat().st_size
    listing = Listing({}, set(), Packed(path, {}))
    left = limits.ratio * total + limits.slack
    for number, entry in enumerate(_zip_entries(path)):
        name = entry.filename.replace("\\", "/") if entry.create_system == WINDOWS else entry.filename
        kind = stat.S_IFMT(entry.external_attr >> 16)
        _check(path, name, number, kind in (0, stat.S_IFREG, stat.S_IFDIR), limits)
        if entry.flag_bits & ENCRYPTED:
            raise Refusal(f"{path}: {name!r} is encrypted: pack the data set again without a password")
        if entry.compress_type not in (STORED, DEFLATED):
            raise Refusal(f"{path}: {name!r} is compressed in a rare way: pack the data set again with plain deflate")
        if entry.header_offset < 0 or entry.header_offset + entry.compress_size > total:
            raise Refusal(f"{path}: {name!r} lies beyond its end: the archive is cut short or damaged; copy it again")
        left -= _within(path, name, entry.file_size, left, limits)
        method = entry.compress_type
        span = Span(entry.header_offset, entry.compress_size, entry.file_size, method, entry.CRC)
        _enter(listing, name, name.endswith("/"), span)
    return listing


def open_tar(path: Path, scratch: Path, limits: Limits) -> Listing:
    """A gzipped one is unpacked into one file in `scratch`; members are read there by position."""
    plain = path
    if _starts(path) == b"\x1f\x8b":
        plain = scratch / "archive.tar"
        _gunzip(path, plain, limits)
    total = plain.stat().st_size
    listing = Listing({}, set(), Packed(plain, {}))
    for number, entry in enumerate(_tar_entries(path, plain)):
        _check(path, entry.name, number, (entry.isreg() and entry.sparse is None) or entry.isdir(), limits)
        _within(path, entry.name, entry.size, total, limits)
        if entry.offset_data + entry.size > total:
            raise Refusal(f"{path}: {entry.name!r} lies beyond its end: the archive is cut short; copy it again")
        _enter(listing, entry.name, entry.isdir(), Span(entry.offset_data, entry.size, entry.size))
    return listing


def _zip_entries(path: Path) -> list[zipfile.ZipInfo]:
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.infolist()
    except ZIP_DAMAGED as error:
        raise Refusal(f"{path}: damaged, cut short, or no zip archive ({error}): copy it again") from None


def _tar_entries(path: Path, plain: Path) -> Iterator[tarfile.TarInfo]:
    try:
        with tarfile.open(plain, "r:") as archive:
            while (entry := archive.next()) is not None:
                archive.members.clear()  # it keeps every entry, 1 KB each
                yield entry
            end = archive.offset
    except TAR_DAMAGED as error:
        raise Refusal(f"{path}: damaged, cut short, or no tar archive ({error}): copy it again") from None
    with plain.open("rb") as file:
        file.seek(end)
        # tarfile stops without a word at a damaged header; a whole archive ends in blocks of zeros.
        if file.read(BLOCK) != bytes(BLOCK):
            raise Refusal(f"{path}: damaged or cut short at byte {end:,} of the tar archive: copy it again")


def _gunzip(path: Path, plain: Path, limits: Limits) -> None:
    left = limits.ratio * path.stat().st_size + limits.slack
    try:
        with gzip.open(path) as source, plain.open("wb") as target:
            while content := source.read(CHUNK):
                left -= len(content)
                if left < 0:
                    raise Refusal(f"{path}: unpacks to more than {limits.ratio} times its size: refused as a bomb")
                target.write(content)
    except GZIP_DAMAGED as error:
        raise Refusal(f"{path}: damaged or cut short ({error}): copy it again") from None


def _check(path: Path, name: str, number: int, plain: bool, limits: Limits) -> None:
    if number >= limits.members:
        raise Refusal(f"{path}: more than {limits.members:,} files: unpack it and give the folder instead")
    if not plain:
        raise Refusal(f"{path}: {name!r} is a link, a device or a sparse file: pack the files themselves")
    if name.startswith(("/", "\\")) or DRIVE.match(name) or ".." in name.split("/"):
        raise Refusal(f"{path}: {name!r} lies outside the archive's own folder: do not use this archive")


def _within(path: Path, name: str, size: int, left: int, limits: Limits) -> int:
    if size > limits.file:
        raise Refusal(f"{path}: {name!r} has {size:,} bytes, more than {limits.file:,}: take it out of the archive")
    if size > left:
        raise Refusal(f"{path}: unpacks to more than {limits.ratio} times its size: refused as a bomb")
    return size


def _enter(listing: Listing, raw: str, folder: bool, span: Span) -> None:
    name = "/".join(part for part in raw.split("/") if part not in ("", "."))
    if folder:
        listing.folders.add(name)
        return
    if name in listing.files or not name:
        raise Refusal(f"{listing.packed.path}: two files are called {name!r}: pack the data set again")
    listing.files[name] = name
    listing.packed.spans[name] = span


def _starts(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(2)
