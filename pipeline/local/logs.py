"""Logs of steps as this machine keeps them: files, a position being a number of bytes."""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

TAIL_BYTES = 64 * 1024
MOST_BYTES = 32 << 20  # of a log's end
# members of a job's record: where its hosts write, with how much was there before; how much when it ended
BEGINS, ENDS = "_Logs", "_LogEnds"


def paths(step: dict[str, Any]) -> list[str]:
    """One for each process of the step that wrote one: <step>.log, <step>-<n>.log. Only files that exist."""
    main = str((step.get("Darkroom") or {}).get("LogPath", ""))
    if not main:
        return []
    import glob

    others = glob.glob(f"{glob.escape(main.removesuffix('.log'))}-*.log")
    return [path for path in (main, *sorted(others, key=_number)) if os.path.isfile(path)]


def read(path: str, last: int | None = None) -> tuple[list[str], int]:
    """All lines, or the last ones, and the position behind them. For the last ones only a huge log's end is read."""
    if last is not None:
        lines, size, _ = _ending(path, last, sys.maxsize)
        return lines[-last:] if last else [], size
    with open(path, "rb") as file:
        return file.read().decode("utf-8", "replace").splitlines(), file.tell()


def end(path: str, most: int) -> tuple[list[str], bool]:
    """The last `most` lines, and whether there are some before them; of lines that are long fewer may be all."""
    lines, _, left_out = _ending(path, most, MOST_BYTES)
    return lines[-most:], left_out or len(lines) > most


def _ending(path: str, least: int, most_bytes: int) -> tuple[list[str], int, bool]:
    """At least so many of the last lines, the position behind them, and whether something before them was not read."""
    room = TAIL_BYTES
    with open(path, "rb") as file:
        size = file.seek(0, os.SEEK_END)
        while True:
            start = max(0, size - room)
            file.seek(start)
            read = file.read(size - start)
            if start == 0 or read.count(b"\n") > least or room >= most_bytes:
                break
            room = min(4 * room, most_bytes)
    first = read.find(b"\n") + 1 if start else 0  # the rest of a line is none
    return read[first:].decode("utf-8", "replace").splitlines(), size, start > 0


def after(path: str, position: int) -> tuple[list[str], int]:
    """What was written since, and the position behind it."""
    with open(path, "rb") as file:
        file.seek(position)
        fresh = file.read()
    return fresh.decode("utf-8", "replace").splitlines(), position + len(fresh)


def fresh(path: str, position: int | None, most: int) -> tuple[list[str], int, bool]:
    """The last whole lines of what was written since, at most `most`; what lies far before the end is not read."""
    if not os.path.isfile(path):
        return [], position or 0, False
    with open(path, "rb") as file:
        size = file.seek(0, os.SEEK_END)
        begin = position if position and position <= size else 0
        start = max(begin, size - TAIL_BYTES)
        file.seek(start)
        read = file.read(size - start)
    behind = read.rfind(b"\n") + 1 or (len(read) if len(read) == TAIL_BYTES else 0)
    first = read.find(b"\n") + 1 if start > begin else 0  # the rest of a line is none
    lines = read[first:behind].decode("utf-8", "replace").splitlines()
    return lines[-most:], start + behind, start > begin or len(lines) > most


def of_host(path: str, index: int, count: int) -> str:
    """Where the host with this index writes: <step>.log if it is the only one, else <step>-<n>.log."""
    stem, extension = os.path.splitext(path)
    return path if count == 1 else f"{stem}-{index + 1}{extension}"


def begun(path: str, request: dict[str, Any]) -> dict[str, list[list[Any]]]:
    """Of a job that begins: its hosts' files, which an earlier attempt may have written to."""
    resources = (request.get("ProcessingResources") or {}).get("ClusterConfig") or request.get("ResourceConfig") or {}
    count = int(resources.get("InstanceCount") or 1)
    files = [of_host(path, index, count) for index in range(count)]
    return {BEGINS: [[file, _size(file)] for file in files]}


def ended(body: dict[str, Any]) -> dict[str, list[int]]:
    """Of a job that ends, by its record: what comes behind belongs to the next attempt."""
    return {ENDS: [_size(file) for file, _ in body.get(BEGINS) or ()]}


def _size(path: str) -> int:
    return os.path.getsize(path) if os.path.exists(path) else 0


def _number(path: str) -> tuple[int, str]:
    digits = path.removesuffix(".log").rpartition("-")[2]
    return (int(digits) if digits.isdigit() else 0, path)
