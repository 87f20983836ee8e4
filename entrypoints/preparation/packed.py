"""An archive's members read by position, none unpacked by name: a hostile name can reach no file of this machine."""

from __future__ import annotations

import re
import struct
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from images import Unreadable
from refusal import Refusal

STORED, DEFLATED = zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED
LOCAL_HEADER = struct.Struct("<4s22xHH")  # signature, lengths of name and extra field (APPNOTE.TXT 4.3.7)
DRIVE = re.compile(r"^[A-Za-z]:[\\/]")
# What zipfile and tarfile raise on damaged bytes, besides their own errors.
DAMAGED = (ValueError, EOFError, NotImplementedError, IndexError, struct.error, OverflowError, RecursionError)


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


@dataclass(frozen=True)
class Packed:
    """Opens the archive anew for each read: no position is shared with a forked process, and it can be pickled."""

    path: Path
    spans: dict[str, Span]

    def __call__(self, name: str) -> bytes:
        span = self.spans[name]
        with self.path.open("rb") as file:
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


def check(path: Path, name: str, number: int, plain: bool, limits: Limits) -> None:
    if number >= limits.members:
        raise Refusal(f"{path}: more than {limits.members:,} files: unpack it and give the folder instead")
    if not plain:
        raise Refusal(f"{path}: {name!r} is a link, a device or a sparse file: pack the files themselves")
    if name.startswith(("/", "\\")) or DRIVE.match(name) or ".." in name.split("/"):
        raise Refusal(f"{path}: {name!r} lies outside the archive's own folder: do not use this archive")


def within(path: Path, name: str, size: int, left: int, limits: Limits) -> int:
    if size > limits.file:
        raise Refusal(f"{path}: {name!r} has {size:,} bytes, more than {limits.file:,}: take it out of the archive")
    if size > left:
        raise Refusal(f"{path}: unpacks to more than {limits.ratio} times its size: refused as a bomb")
    return size


def enter(path: Path, listing: Listing, raw: str, folder: bool, span: Span) -> None:
    """`path` is the archive as it was given: a gzipped one is read from a copy."""
    name = "/".join(part for part in raw.split("/") if part not in ("", "."))
    if folder:
        listing.folders.add(name)
        return
    if name in listing.files or not name:
        raise Refusal(f"{path}: two files are called {name!r}: pack the data set again")
    listing.files[name] = name
    listing.packed.spans[name] = span
