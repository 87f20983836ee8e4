"""A zip archive's directory: what lies where, checked before anything is read."""

from __future__ import annotations

import contextlib
import stat
import zipfile
from pathlib import Path

from refusal import Refusal

from preparation import packed

ENCRYPTED = 0x1
UTF_8 = 0x800
WINDOWS = 0  # made by MS-DOS or Windows, where old packers wrote "\\" between folders
DAMAGED = (zipfile.BadZipFile, *packed.DAMAGED)


def open_zip(path: Path, limits: packed.Limits) -> packed.Listing:
    total = path.stat().st_size
    listing = packed.Listing({}, set(), packed.Packed(path, {}))
    left = limits.ratio * total + limits.slack
    for number, entry in enumerate(_zip_entries(path)):
        name = _name(entry)
        kind = stat.S_IFMT(entry.external_attr >> 16)
        packed.check(path, name, number, kind in (0, stat.S_IFREG, stat.S_IFDIR), limits)
        if entry.flag_bits & ENCRYPTED:
            raise Refusal(f"{path}: {name!r} is encrypted: pack the data set again without a password")
        if entry.compress_type not in (packed.STORED, packed.DEFLATED):
            raise Refusal(f"{path}: {name!r} is compressed in a rare way: pack the data set again with plain deflate")
        if entry.header_offset < 0 or entry.header_offset + entry.compress_size > total:
            raise Refusal(f"{path}: {name!r} lies beyond its end: the archive is cut short or damaged; copy it again")
        left -= packed.within(path, name, entry.file_size, left, limits)
        method = entry.compress_type
        span = packed.Span(entry.header_offset, entry.compress_size, entry.file_size, method, entry.CRC)
        packed.enter(path, listing, name, name.endswith("/"), span)
    return listing


def _name(entry: zipfile.ZipInfo) -> str:
    """macOS and Info-ZIP write UTF-8 without the flag that says so, and zipfile takes it for code page 437."""
    name = entry.filename
    if not entry.flag_bits & UTF_8:
        with contextlib.suppress(UnicodeError):  # a name that is no UTF-8 is what zipfile took it for
            name = name.encode("cp437").decode()
    return name.replace("\\", "/") if entry.create_system == WINDOWS else name


def _zip_entries(path: Path) -> list[zipfile.ZipInfo]:
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.infolist()
    except DAMAGED as error:
        raise Refusal(f"{path}: damaged, cut short, or no zip archive ({error}): copy it again") from None
