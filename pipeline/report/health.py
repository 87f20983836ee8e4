"""What the page says of training's health: the rules' verdicts, issues first, and the profile of the job."""

from __future__ import annotations

from typing import Any

from markupsafe import escape

from pipeline.control import health, managed
from pipeline.control.health import ERROR, FINE, FOUND, NOT_EVALUATED, Health, Rule

ORDER = (FOUND, ERROR, NOT_EVALUATED, FINE)
STATES = {FOUND: "bad", ERROR: "bad", NOT_EVALUATED: "stopped", FINE: "good"}
WAITING = "stopped"  # the look of what is neither good nor bad: in progress, stopped, not evaluated
OPEN = 25  # rules; the rest is folded
# characters of the profile as an attribute; a larger one stays where it lies: the page is mailed
LARGEST_PAGE = 900_000


def view(found: Health | None) -> dict[str, Any]:
    """Empty where no training has rules."""
    if found is None:
        return {}
    rows = [_row(each) for each in sorted(found.rules, key=lambda rule: ORDER.index(rule.status))]
    return {
        "step": found.step,
        "asked": found.asked,
        "summary": health.told_of_ours(found),
        "managed_summary": managed.told(found.managed).removeprefix("managed: "),
        "unknown": found.unknown,
        "issues": [each.rule for each in found.rules if each.status == FOUND],
        "rows": rows[:OPEN],
        "more": rows[OPEN:],
        "recorded": _recorded(found),
        "page": found.page if found.page and len(escape(found.page)) <= LARGEST_PAGE else None,
        "file": health.PAGE,
        "address": found.address,
        "managed": _managed(found),
    }


def _managed(found: Health) -> list[dict[str, str]]:
    """Debugger's own rules, issues first; then those of SageMaker's profiler."""
    return [
        {**row._asdict(), "state": WAITING if managed.is_missing(row) else STATES.get(row.status, WAITING)}
        for rows in found.managed
        for row in sorted(rows, key=lambda row: ORDER.index(row.status) if row.status in ORDER else 2)
    ]


def _row(rule: Rule) -> dict[str, Any]:
    return {
        "rule": rule.rule,
        "status": rule.status,
        "state": STATES[rule.status],
        "stops": rule.on_issue == "stop",
        "message": rule.message,
        "advice": rule.advice,
        "where": _where(rule),
        "points": f"{rule.points:,}",
        "ours": rule.ours,
    }


def _where(rule: Rule) -> str:
    parts = [f"step {rule.step:,}"] if rule.step is not None else []
    parts += [rule.tensor] if rule.tensor else []
    if rule.value is not None:
        limit = "" if rule.threshold is None else f", threshold {_figure(rule.threshold)}"
        parts.append(f"{_figure(rule.value)}{limit}")
    return " · ".join(parts)


def _figure(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:.4g}"


def _recorded(found: Health) -> str:
    if found.steps is None:
        return ""
    steps = f"{found.steps:,} step{'s' * (found.steps != 1)}"
    return f"{steps}, tensors of every {found.every:,}." if found.every and found.every > 1 else f"{steps}."
