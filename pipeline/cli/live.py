"""A table on the terminal that follows an execution: step, status, elapsed, what it says now."""

from __future__ import annotations

import time
from collections import deque
from datetime import UTC, datetime
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from pipeline.cli.text import MARKS, tame
from pipeline.client import Clients
from pipeline.control import executions, outcome
from pipeline.control.tails import Tails
from pipeline.control.times import elapsed
from pipeline.definition import Definition

REFRESH_S = 0.2
LOOK_S = 0.5  # between two looks at a running job's metrics
STYLES = {"good": "green", "bad": "bold red", "stopped": "yellow", "running": "cyan"}  # rich's words for how it looks
TAIL_ROWS, FEWEST_ROWS = 12, 4  # of logs below the table: at most, and where the table fills the terminal
MOST_ROWS = 30  # of a long definition the steps that matter now: the last ones that started


class LiveView:
    """Shows every step of the definition in its order, also those that have not started; with `tails` also logs."""

    def __init__(self, clients: Clients, tails: Tails | None = None) -> None:
        self._clients = clients
        self._tails = tails
        self._logged: deque[tuple[str, str]] = deque(maxlen=TAIL_ROWS)  # (which log, line)
        self._live = Live(console=Console(stderr=True), refresh_per_second=1 / REFRESH_S, transient=False)
        self._order: list[str] = []
        self._phrases: dict[str, tuple[float, str]] = {}

    def __enter__(self) -> LiveView:
        self._live.__enter__()
        return self

    def __exit__(self, *raised: Any) -> None:
        self._live.__exit__(*raised)

    def __call__(self, execution: dict[str, Any], steps: list[dict[str, Any]]) -> None:
        if not self._order:
            text = executions.definition(self._clients, execution["PipelineExecutionArn"])
            self._order = list(Definition.parse(text).steps)
        for excerpt in self._tails.look(steps) if self._tails else ():
            self._logged.extend((excerpt.source, line) for line in excerpt.lines)
        table = self._table(execution, {step["StepName"]: step for step in steps})
        self._live.update(Group(table, *self._log(table.row_count)) if self._logged else table)

    def _log(self, rows: int) -> list[Text]:
        """As much as there is room for below a table of so many rows."""
        console = self._live.console
        room = max(FEWEST_ROWS, min(TAIL_ROWS, console.height - rows - 4))
        shown = [("", ""), *list(self._logged)[-room:]]
        return [
            Text.assemble((f"{source} │ " if source else "", "cyan"), (tame(line, console.width), "dim"), no_wrap=True)
            for source, line in shown
        ]

    def _table(self, execution: dict[str, Any], steps: dict[str, dict[str, Any]]) -> Table:
        ended = execution["PipelineExecutionStatus"] in executions.ENDED
        table = Table(box=None, pad_edge=False, header_style="dim")
        for heading, justify in (("step", "left"), ("status", "left"), ("elapsed", "right"), ("", "left")):
            table.add_column(heading, justify=justify, no_wrap=True)  # type: ignore[arg-type]
        hidden = max(0, len(self._order) - MOST_ROWS)
        started = [name for name in self._order if name in steps]
        shown = self._order if not hidden else (started + [n for n in self._order if n not in steps])[-MOST_ROWS:]
        if hidden:
            done = sum(step["StepStatus"] == "Succeeded" for step in steps.values())
            table.add_row(Text(f"… {done} of {len(self._order)} steps have succeeded", "dim"))
        for name in shown:
            table.add_row(*self._row(name, steps.get(name), ended))
        return table

    def _row(self, name: str, step: dict[str, Any] | None, ended: bool) -> list[Text]:
        if step is None:
            return [Text(f"  {name}", "dim"), Text("not run" if ended else "waiting", "dim"), Text(), Text()]
        status = step["StepStatus"]
        style = STYLES.get(executions.LOOKS.get(status, ""), "")
        word = "cache hit" if "CacheHitResult" in step else status
        phrase = self._phrase(step) if status != "Failed" else _first_line(step.get("FailureReason", ""))
        return [
            Text(f"{MARKS.get(status, ' ')} {name}", style if status != "Succeeded" else ""),
            Text(word, style),
            Text(elapsed(step, datetime.now(UTC))),
            Text(phrase, "red" if status == "Failed" else ""),
        ]

    def _phrase(self, step: dict[str, Any]) -> str:
        """Asked again now and then while the step runs, and once more when it has ended."""
        key = f"{step['StepName']} {step['StepStatus']} {step.get('AttemptCount', 0)}"
        looked, phrase = self._phrases.get(key, (0.0, ""))
        running = step["StepStatus"] == "Executing"
        if key not in self._phrases or (running and time.monotonic() - looked > LOOK_S):
            phrase = outcome.now(self._clients, step)
            self._phrases[key] = (time.monotonic(), phrase)
        return phrase


def _first_line(text: str) -> str:
    return text.strip().partition("\n")[0]
