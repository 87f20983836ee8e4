"""The steps of an execution: the picture of them, when each ran, what it cost."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from markupsafe import Markup

from pipeline.control import executions, outcome
from pipeline.control.times import duration
from pipeline.report import graph
from pipeline.report.charges import Charge
from pipeline.report.collect import Run


def view(run: Run) -> dict[str, Any]:
    known = [charge.usd for charge in run.charges.values() if charge.usd is not None]
    return {
        "graph": drawn(run),
        "rows": _rows(run),
        "took": took(run),
        "usd": sum(known) if known else None,
        "unknown": [name for name, charge in run.charges.items() if charge.usd is None],
        "sources": list(dict.fromkeys(price for charge in run.charges.values() for price in charge.prices)),
    }


def took(run: Run) -> str:
    span = _span(run)
    return duration(span[1]) if span else ""


def drawn(run: Run) -> Markup:
    notes = {step["StepName"]: _note(step, run.charges.get(step["StepName"])) for step in run.steps}
    return graph.draw(run.definition, states(run.steps), notes)


def states(steps: list[dict[str, Any]]) -> dict[str, str]:
    """Step → its classes in the picture."""
    return {
        step["StepName"]: f"{executions.LOOKS.get(step['StepStatus'], '')}{' hit' if 'CacheHitResult' in step else ''}"
        for step in steps
    }


def _note(step: dict[str, Any], charge: Charge | None) -> str:
    """A success needs no word: the time alone says it."""
    if "CacheHitResult" in step:
        return "cache hit"
    words = [] if step["StepStatus"] == "Succeeded" else [step["StepStatus"]]
    words.append(duration(_seconds(step)))
    if charge and charge.usd is not None:
        words.append(f"{charge.usd:.2f} USD")
    return ", ".join(words)


def _seconds(step: dict[str, Any]) -> float:
    start, end = step.get("StartTime"), step.get("EndTime")
    return max(0.0, (end - start).total_seconds()) if start and end else 0.0


def _span(run: Run) -> tuple[datetime, float] | None:
    """When the first step started, and how long it took until the last one ended."""
    starts = [step["StartTime"] for step in run.steps if step.get("StartTime")]
    ends = [step["EndTime"] for step in run.steps if step.get("EndTime")]
    if not starts or not ends:
        return None
    return min(starts), max((max(ends) - min(starts)).total_seconds(), 1e-3)


def _rows(run: Run) -> list[dict[str, Any]]:
    """With the place of each step on the time line, in percent."""
    span = _span(run)
    rows = []
    for step in run.steps:
        left = width = 0.0
        if span and step.get("StartTime"):
            left = 100 * (step["StartTime"] - span[0]).total_seconds() / span[1]
            width = 100 * _seconds(step) / span[1]
        rows.append(
            {
                "step": step,
                "type": run.definition.steps[step["StepName"]].type,
                "state": executions.LOOKS.get(step["StepStatus"], ""),
                "cache": outcome.cache_phrase(step),
                "took": duration(_seconds(step)),
                "left": f"{min(left, 99.5):.2f}",
                "width": f"{max(width, 0.5):.2f}",
                "log": run.logs.get(step["StepName"], []),
                "charge": run.charges.get(step["StepName"]),
            }
        )
    return rows
