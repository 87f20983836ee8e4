"""The logs of a step: where they are, and their last lines."""

from __future__ import annotations

import glob
import os

from pipeline.errors import DarkroomError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

TAIL_BYTES = 64 * 1024
_RULES = "-debugger.log"  # of what judges a training job's rules


def paths(step: dict[str, Any]) -> list[str]:
    """One for each process of the step that wrote one: <step>.log, <step>-<n>.log. Only files that exist."""
    main = str((step.get("Darkroom") or {}).get("LogPath", ""))
    if not main:
        return []
    others = glob.glob(f"{glob.escape(main.removesuffix('.log'))}-*.log")
    return [path for path in (main, *sorted(others, key=_number)) if os.path.isfile(path)]


def of_program(step: dict[str, Any]) -> list[str]:
    """Those in which the step itself says why it failed: how its rules were judged says nothing of that."""
    found = paths(step)
    return [path for path in found if path == found[0] or not path.endswith(_RULES)]


def _number(path: str) -> tuple[int, str]:
    digits = path.removesuffix(".log").rpartition("-")[2]
    return (int(digits) if digits.isdigit() else 0, path)


def tail(path: str, count: int) -> list[str]:
    """The last `count` lines; of a huge log only the end is read."""
    with open(path, "rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - TAIL_BYTES))
        text = file.read().decode("utf-8", "replace")
    return text.splitlines()[-count:]


def step_named(steps: list[dict[str, Any]], name: str) -> dict[str, Any]:
    """Raises DarkroomError with the names there are."""
    for step in steps:
        if step["StepName"].lower() == name.lower():
            return step
    from pipeline.control.parameters import nearest

    names = [step["StepName"] for step in steps]
    raise DarkroomError(
        f"no step {name!r} has started in this execution{nearest(name, names)}",
        f"steps that have: {', '.join(names) or 'none'}",
    )


def lines(path: str, last: int | None) -> list[str]:
    """All of them, or the last ones."""
    if last is not None:
        return tail(path, last) if last > 0 else []
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read().splitlines()
