"""The logs of a step: which there are, and their lines, wherever the client keeps them."""

from __future__ import annotations

import re

from pipeline.errors import DarkroomError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pipeline.client import Clients

_RULES = "-debugger.log"  # of what judges a training job's rules
# the host or trial of a log: <step>-3.log; <tuning job>-003-0a1b2c3d/algo-1-17, <job>/algo-3-17
_PART = re.compile(r"-(\d+|debugger)\.log$|-0*(\d+)-[0-9a-f]{8}/[^/]+$|/algo-(\d+)-[^/]*$")


def paths(clients: Clients, step: dict[str, Any]) -> list[str]:
    """One for each process or host of the step that wrote one, the first one first."""
    return list(clients.logs.paths(step))


def of_program(clients: Clients, step: dict[str, Any]) -> list[str]:
    """Those in which the step itself says why it failed: how its rules were judged says nothing of that."""
    found = paths(clients, step)
    return [path for path in found if path == found[0] or not path.endswith(_RULES)]


def tail(clients: Clients, path: str, count: int) -> list[str]:
    """The last `count` lines."""
    return read(clients, path, count)[0]


def end(clients: Clients, path: str, most: int) -> tuple[list[str], bool]:
    """The last `most` lines, and whether there are some before them: of a huge log only its end is read.

    Fewer, and some before them, where these lines are so long that they would be too much to read.
    """
    lines, left_out = clients.logs.end(path, most)
    return lines, left_out


def read(clients: Clients, path: str, last: int | None = None) -> tuple[list[str], Any]:
    """All lines, or the last ones, and the position behind them: what `after` goes on from."""
    lines, position = clients.logs.read(path, last)
    return lines, position


def after(clients: Clients, path: str, position: Any) -> tuple[list[str], Any]:
    """What was written since, and the position behind it."""
    lines, behind = clients.logs.after(path, position)
    return lines, behind


def fresh(clients: Clients, path: str, position: Any, most: int) -> tuple[list[str], Any, bool]:
    """At most the last `most` of the lines since, the position behind them, and whether lines before them are missing.

    In one or a few calls, however much was written: what a glance costs is bounded. `position` is None at first.
    """
    lines, behind, left_out = clients.logs.fresh(path, position, most)
    return lines, behind, left_out


def part(path: str) -> str:
    """The number of the host or trial that writes this log; empty for a step's only one."""
    found = _PART.search(path)
    return next(filter(None, found.groups()), "") if found else ""


def step_named(steps: list[dict[str, Any]], name: str) -> dict[str, Any]:
    """However it is capitalised, where no other one is. Raises DarkroomError with the names there are."""
    alike = [step for step in steps if step["StepName"].lower() == name.lower()]
    for step in (*(step for step in alike if step["StepName"] == name), *alike):
        return step
    from pipeline.control.parameters import nearest

    names = [step["StepName"] for step in steps]
    raise DarkroomError(
        f"no step {name!r} has started in this execution{nearest(name, names)}",
        f"steps that have: {', '.join(names) or 'none'}",
    )
