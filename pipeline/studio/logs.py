"""Logs of a step: their ends, and one of them, page by page."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pipeline.client import Clients
from pipeline.control import executions, logs
from pipeline.control.tails import LONGEST_LINE
from pipeline.errors import DarkroomError, ServiceError, Unavailable
from pipeline.studio import places
from pipeline.studio.asked import Asked, Page

TAIL = 200  # lines of the end that the step's page shows
LINES = 1000  # of a page of one log
MOST_LINES = 20_000  # of a log: each page reads it anew
MOST_FILES = 8  # whose ends are shown: a step of many hosts or trials has one for each


@dataclass(frozen=True)
class End:
    """`number`: of the file, from 1; `part`: host or trial. `trouble`: why the lines cannot be read."""

    number: int
    part: str
    lines: list[str]
    trouble: str = ""


def ends(clients: Clients, step: dict[str, Any]) -> list[End]:
    """Of the first files of the step; a log that cannot be read keeps nobody from learning how the step stands."""
    try:
        found = logs.paths(clients, step)
        return [_end(clients, number, path) for number, path in enumerate(found[:MOST_FILES], start=1)]
    except Unavailable:
        raise
    except ServiceError as exc:
        return [End(1, "", [], exc.message)]


def _end(clients: Clients, number: int, path: str) -> End:
    return End(number, logs.part(path), [line[:LONGEST_LINE] for line in logs.end(clients, path, TAIL)[0]])


def view(clients: Clients, asked: Asked) -> Page:
    """The lines of one file, the last MOST_LINES if it has more: `file` from 1, `page` from 1.

    Raises DarkroomError for one that there is not.
    """
    arn = places.arn(clients, asked.path["pipeline"], asked.path["execution"])
    step = logs.step_named(executions.steps(clients, arn), asked.path["step"])
    paths = logs.paths(clients, step)
    number, wanted = (_number(asked.query.get(name, "1"), name) for name in ("file", "page"))
    if number > len(paths):
        raise DarkroomError(f"{step['StepName']} has {len(paths)} logs, and no log {number}")
    lines, left_out = logs.end(clients, paths[number - 1], MOST_LINES)
    count = max(1, -(-len(lines) // LINES))
    first = (min(wanted, count) - 1) * LINES
    return Page(
        "log.html",
        {
            "arn": arn,
            "step": step,
            "number": number,
            "parts": [logs.part(path) for path in paths],
            "page": min(wanted, count),
            "count": count,
            "total": len(lines),
            "left_out": left_out,
            "whole": f"darkroom logs {executions.identifier(arn)} {step['StepName']}{clients.options}",
            "lines": list(_numbered(lines[first : first + LINES], first + 1)),
        },
    )


def _numbered(lines: list[str], first: int) -> Iterator[tuple[int, str]]:
    yield from enumerate((line[:LONGEST_LINE] for line in lines), start=first)


def _number(text: str, name: str) -> int:
    if text.isascii() and text.isdecimal() and int(text[:9]) > 0:
        return int(text[:9])
    raise DarkroomError(f"{name} is {text[:40]!r}, and no number from 1 on")
