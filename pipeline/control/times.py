"""Moments and durations in words."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from typing import Any


def duration(seconds: float) -> str:
    """0.04 → '40 ms', 7.5 → '7.5 s', 75 → '1 m 15 s', 4000 → '1 h 06 m'."""
    if seconds < 1:
        return f"{1000 * seconds:.0f} ms"
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


def took(step: dict[str, Any], now: datetime | None = None) -> str:
    """`elapsed`; empty for a cache hit, whose times are those of looking it up."""
    return "" if "CacheHitResult" in step else elapsed(step, now)


def span(steps: Sequence[dict[str, Any]], now: datetime) -> str:
    """From the start of the first of these steps to the end of the last one; until `now` while one runs."""
    starts = [step["StartTime"] for step in steps if step.get("StartTime")]
    ends = [step.get("EndTime") or now for step in steps]
    return duration(max(0.0, (max(ends) - min(starts)).total_seconds())) if starts else ""
