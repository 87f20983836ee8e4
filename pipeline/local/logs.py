"""Logs of steps as this machine keeps them: files, a position being a number of bytes."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

TAIL_BYTES = 64 * 1024


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
    with open(path, "rb") as file:
        if last is not None:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - TAIL_BYTES))
        lines = file.read().decode("utf-8", "replace").splitlines()
        end = file.tell()
    if last is None:
        return lines, end
    return lines[-last:] if last else [], end


def after(path: str, position: int) -> tuple[list[str], int]:
    """What was written since, and the position behind it."""
    with open(path, "rb") as file:
        file.seek(position)
        fresh = file.read()
    return fresh.decode("utf-8", "replace").splitlines(), position + len(fresh)


def _number(path: str) -> tuple[int, str]:
    digits = path.removesuffix(".log").rpartition("-")[2]
    return (int(digits) if digits.isdigit() else 0, path)
