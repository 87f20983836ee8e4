"""The pictures of a data set, fetched from the report of the job that prepared it, as data: addresses."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from pipeline.client import Clients

LARGEST = 3 * 2**20  # bytes of one picture; one above is left out
BUDGET = 2 * 2**20  # characters that all pictures take in the page, which goes by mail; the rest stays in storage
KINDS = {".svg": "image/svg+xml", ".jpg": "image/jpeg"}
# As entrypoints/preparation/drawings.py names them.
NAME = re.compile(r"((contact|duplicates)/)?[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}\.(svg|jpg)")


@dataclass(frozen=True)
class Pictures:
    """`shown`: name below `folder` → data: address. `left_out` are names for which there was no room."""

    folder: str = ""
    shown: dict[str, str] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)


def fetch(clients: Clients, folder: str, dataset: dict[str, Any]) -> Pictures:
    """What dataset.json names and the folder holds; charts and pairs first. A picture that is gone is no error.

    The job may have run anybody's code. Its pictures are therefore shown by <img> alone, where an SVG runs no script
    and loads nothing (https://www.w3.org/TR/SVG2/conform.html#secure-static-mode).
    """
    folder = folder.rstrip("/")
    sizes = {entry.uri.removeprefix(f"{folder}/"): entry.size for entry in clients.storage.list(f"{folder}/")}
    found = Pictures(folder)
    room = BUDGET
    for name in dict.fromkeys(_named(dataset.get("pictures") or {})):
        if not NAME.fullmatch(name) or sizes.get(name, LARGEST) >= LARGEST:
            continue
        room -= _length(name, sizes[name])
        if room < 0 or found.left_out:
            found.left_out.append(name)
        else:
            found.shown[name] = _address(name, clients.storage.get_bytes(f"{folder}/{name}"))
    return found


def _named(pictures: dict[str, Any]) -> Iterator[str]:
    yield from pictures.get("classes", ())
    yield from [pictures["sizes"]] if "sizes" in pictures else ()
    yield from (pair["file"] for pair in pictures.get("duplicates", ()))
    yield from pictures.get("contact", ())


def _address(name: str, content: bytes) -> str:
    return f"data:{_kind(name)};base64,{base64.b64encode(content).decode()}"


def _length(name: str, size: int) -> int:
    return len(_address(name, b"")) + (size + 2) // 3 * 4


def _kind(name: str) -> str:
    return KINDS[name[-4:]]
