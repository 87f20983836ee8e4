"""Plain text for people, JSON for programs."""

from __future__ import annotations

import json
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from typing import Any


def print_json(value: Any) -> None:
    """Times as ISO 8601."""
    json.dump(value, sys.stdout, indent=2, default=lambda other: other.isoformat(), ensure_ascii=False)
    print()


def print_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Columns as wide as their widest cell; the last one is left as it is."""
    table = [list(header), *(list(row) for row in rows)]
    widths = [max(len(row[column]) for row in table) for column in range(len(header))]
    for row in table:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def duration(seconds: float) -> str:
    """0.4 → '0.4 s', 75 → '1 m 15 s', 4000 → '1 h 06 m'."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes} m {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} m"


def moment(when: datetime | None) -> str:
    """Local time."""
    return when.astimezone().strftime("%Y-%m-%d %H:%M:%S") if when else ""


def elapsed(step: dict[str, Any], now: datetime | None = None) -> str:
    """Between a step's (or execution's) start and its end; until `now` while it runs."""
    start, end = step.get("StartTime"), step.get("EndTime") or now
    return duration(max(0.0, (end - start).total_seconds())) if start and end else ""


def print_error(text: str = "") -> None:
    """Control characters of other people's logs must not reach the terminal; tabs and line ends may."""
    print(_harmless(text), file=sys.stderr)


def print_log(lines: Sequence[str]) -> None:
    """As it is where a program reads; on a terminal without what could drive it."""
    for line in lines:
        print(_harmless(line) if sys.stdout.isatty() else line)


def _harmless(text: str) -> str:
    return "".join(character if character.isprintable() or character in "\n\t" else "�" for character in text)
