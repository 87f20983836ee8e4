"""Plain text for people, JSON for programs."""

from __future__ import annotations

import json
import re
import sys

from pipeline.cli.home import darkroom
from pipeline.wording import cut

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import Any, TextIO

MARKS = {"Succeeded": "✓", "Failed": "✗", "Stopped": "■", "Stopping": "■", "Executing": "▸"}  # of a step's status
LONGEST_PRINTED = 2000  # characters of a line, where no terminal says how wide it is
_COLOURS = {"good": "32", "bad": "1;31", "stopped": "33", "running": "36", "soft": "2", "strong": "1"}
# of a terminal: CSI (colours, cursor), OSC and its kin (titles, links, clipboard), the short ones; in 8 bits, too
_ESCAPES = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"
    r"|(?:\x1b[\]PX^_]|[\x9d\x90\x98\x9e\x9f])[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)?"
    r"|\x1b[ -/]*[0-~]"
)


Span = tuple[str, str]  # text, and how it looks: a key of _COLOURS, or nothing


def print_json(value: Any) -> None:
    """Times as ISO 8601."""
    json.dump(value, sys.stdout, indent=2, default=lambda other: other.isoformat(), ensure_ascii=False)
    print()


def print_nothing(as_json: bool, place: str = "", first: str = "run") -> int:
    """A list where nothing was ever done. Returns the exit code."""
    if as_json:
        print_json([])
    else:
        print(f"nothing has been executed yet{place}; {darkroom()} {first}", file=sys.stderr)
    return 0


def print_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Columns as wide as their widest cell; the last one is not filled up. Each cell is one line, whoever wrote it."""
    table = [list(header), *([on_one_line(cell) for cell in row] for row in rows)]
    widths = [max(len(row[column]) for row in table) for column in range(len(header))]
    for row in table:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def print_spans(spans: Iterable[Span]) -> None:
    """One line, in colours where a person looks who did not refuse them (https://no-color.org)."""
    import os
    from itertools import groupby

    colours = sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    line = ""
    for look, some in groupby(spans, key=lambda span: span[1]):
        text = "".join(text for text, _ in some)
        line += f"\x1b[{_COLOURS[look]}m{text}\x1b[0m" if colours and look and text else text
    encoding = sys.stdout.encoding or "ascii"
    print(line.rstrip().encode(encoding, "replace").decode(encoding))


def takes_unicode() -> bool:
    """Whether box characters and braille can be printed: the console of Linux has no braille in its font."""
    import codecs
    import os

    try:
        utf8 = codecs.lookup(sys.stdout.encoding or "ascii").name == "utf-8"
    except LookupError:
        return False
    return utf8 and os.environ.get("TERM") not in ("linux", "dumb")


def whole(least: int, most: int = sys.maxsize) -> Callable[[str], int]:
    """The `type` of an argparse option that takes a whole number."""

    def number(text: str) -> int:
        if text.isdecimal() and least <= int(text) <= most:
            return int(text)
        from argparse import ArgumentTypeError

        raise ArgumentTypeError(
            f"{text!r} is no whole number from {least} {'on' if most == sys.maxsize else f'to {most}'}"
        )

    return number


def say(line: str) -> None:
    """Progress, at once: what follows may take long."""
    print(line, file=sys.stderr, flush=True)


def print_error(text: str = "") -> None:
    print(harmless(text), file=sys.stderr)


def print_log(lines: Sequence[str]) -> None:
    """As it is where a program reads; on a terminal without what could drive it."""
    for line in lines:
        print(harmless(line) if sys.stdout.isatty() else line)


def on_one_line(text: str) -> str:
    """Other people's notes and names, without what could drive the terminal or end the line."""
    return harmless(" ".join(text.splitlines()).replace("\t", " "))


def print_line(text: str, out: TextIO) -> None:
    """One line of other people's logs, cut where a terminal would wrap it; sent at once."""
    import shutil

    width = shutil.get_terminal_size().columns if out.isatty() else LONGEST_PRINTED
    print(tame(text, width), file=out, flush=True)


def tame(text: str, width: int) -> str:
    """One line without escape sequences and control characters, at most `width` characters long."""
    return cut(harmless(_ESCAPES.sub("", text).replace("\n", " ").expandtabs(4)), width)


def harmless(text: str) -> str:
    """Control characters of other people's names and logs must not reach the terminal; tabs and line ends may."""
    return "".join(character if character.isprintable() or character in "\n\t" else "�" for character in text)
