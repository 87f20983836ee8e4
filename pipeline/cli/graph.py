"""The steps of an execution as a table on a terminal, with their graph at its left: see rails.py."""

from __future__ import annotations

from collections import namedtuple

from pipeline.cli.rails import ASCII, LINES, rows
from pipeline.cli.text import MARKS, on_one_line
from pipeline.control import executions, outcome
from pipeline.control.times import took
from pipeline.report.edges import direct, in_order
from pipeline.wording import cut

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import Any

    from pipeline.cli.text import Span
    from pipeline.definition import Step

    Said = Callable[[dict[str, Any]], str]

LEAST = 5  # characters that the column of the cache keeps on a narrow terminal: whether it missed, not why
REASON = 40  # characters of a failure's reason that shall stand in its row; the rest goes below
PLAIN_MARKS = {"Succeeded": "o", "Failed": "x", "Stopped": "#", "Stopping": "#", "Executing": ">"}
CONDITIONS = {"IfSteps": "if true", "ElseSteps": "if false"}
HEADER = ("STEP", "STATUS", "TOOK", "CACHE", "")
CACHE = HEADER.index("CACHE")

# One moment of an execution; `now`: when its running steps are looked at, or when it ended
Seen = namedtuple("Seen", "execution definition steps now ended")
# A line of the table: the graph's part, the step's status, the cells
_Row = namedtuple("_Row", "left right status cells")


def table(seen: Seen, said: Said, columns: int, unicode: bool) -> Iterator[list[Span]]:
    """`said`: what came of a step. `columns`: of the terminal; what does not fit there is cut, but for the reasons of
    failures. 0: nothing is.
    """
    found = list(_rows(seen, said, unicode))
    beside = len(found[0].left + found[0].right) + 2 if found else 0
    everything = [HEADER, *(row.cells for row in found)]
    widths = [max(len(cells[column]) for cells in everything) for column in range(CACHE + 1)]
    room = columns - beside - sum(widths[:CACHE]) - 2 * CACHE  # for the cache, and what is behind it
    if columns and found:
        behind = max(min(len(row.cells[-1]), REASON if row.status == "Failed" else columns) for row in found)
        widths[CACHE] = min(widths[CACHE], max(LEAST, room - behind - 2))
    yield [(" " * beside + _line(HEADER, widths), "soft")]
    marks, none = (MARKS, "·") if unicode else (PLAIN_MARKS, ".")
    for row in found:
        look = executions.LOOKS.get(row.status, "soft")
        text = _line(row.cells, widths)
        if columns and row.status != "Failed":
            text = cut(text, max(1, columns - beside))
        yield [
            *((row.left, "soft"), (marks.get(row.status, none), look), (f"{row.right} ", "soft")),
            (text, "" if look == "good" else look),
        ]


def _rows(seen: Seen, said: Said, unicode: bool) -> Iterator[_Row]:
    edges = direct(seen.definition)
    drawn = rows(edges, LINES if unicode else ASCII)
    for name, left, right in drawn or ((name, "", "") for name in in_order(seen.definition)):
        step = seen.definition.steps[name]
        only = CONDITIONS.get(step.branch, "") if step.parent in edges[name] else ""
        status, cells = _cells(seen, said, step, only)
        yield _Row(left, right, status, tuple(map(on_one_line, cells)))


def _cells(seen: Seen, said: Said, step: Step, only: str) -> tuple[str, Sequence[str]]:
    """Its status, empty where it has none; name, status, time, cache, and under which condition it says what."""
    ran: dict[str, Any] = seen.steps.get(step.name, {})
    if not ran:
        return "", (step.name, "not run" if seen.ended else "waiting", "", "", only)
    came = ran.get("FailureReason", "").strip().partition("\n")[0] or said(ran)
    status, how_long, cache = ran["StepStatus"], took(ran, seen.now), outcome.cache_phrase(ran)
    return status, (step.name, status, how_long, cache, ": ".join(filter(None, (only, came))))


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    padded = [cut(cell, width).ljust(width) for cell, width in zip(cells, widths, strict=False)]
    return "  ".join([*padded, cells[-1]]).rstrip()
