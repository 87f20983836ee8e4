"""EventBridge's matching in small: https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-event-patterns.html"""

from __future__ import annotations

from typing import Any

_ABSENT = object()


def matches(pattern: dict[str, Any], event: dict[str, Any]) -> bool:
    """Every key of the pattern holds; of the values below it one is enough, and so is one of an array in the event."""
    for key, wanted in pattern.items():
        if key == "$or":
            if not any(matches(each, event) for each in wanted):
                return False
        elif isinstance(wanted, dict):
            inner = event.get(key)
            if not (isinstance(inner, dict) and matches(wanted, inner)):
                return False
        elif not any(_fits(each, event.get(key, _ABSENT)) for each in wanted):
            return False
    return True


def _fits(wanted: Any, value: Any) -> bool:
    values = value if isinstance(value, list) else [] if value is _ABSENT else [value]
    match wanted:
        case {"exists": bool(there)}:
            return bool(values) == there
        case dict():
            raise AssertionError(f"{wanted}: no such comparison here")
    return wanted in values
