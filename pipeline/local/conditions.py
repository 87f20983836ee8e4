"""Condition steps: does a list of conditions hold? The list is ANDed; `Not`, `Or` and `In` nest.

Operands arrive resolved. Numbers compare as numbers, also when one of them comes as text (tuned hyperparameters and
Lambda outputs do); text compares with text for Equals and In only. Anything else is an error: a wrong branch is worse
than a stop.
"""

from __future__ import annotations

import operator

from pipeline.errors import UnresolvedReference

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

_ORDER = {
    "GreaterThan": operator.gt,
    "GreaterThanOrEqualTo": operator.ge,
    "LessThan": operator.lt,
    "LessThanOrEqualTo": operator.le,
}
TYPES = ("Equals", *_ORDER, "In", "Not", "Or")


def holds(conditions: Any, step: str, path: str) -> bool:
    """Whether every condition of the list holds. Raises UnresolvedReference for what cannot be decided."""
    if not isinstance(conditions, list) or not conditions:
        raise UnresolvedReference(step, path, "a list of conditions is missing")
    # every condition is evaluated: an error behind a false one must not depend on the data
    return all([_holds(condition, step, f"{path}[{index}]") for index, condition in enumerate(conditions)])


def _holds(condition: Any, step: str, path: str) -> bool:
    kind = condition.get("Type") if isinstance(condition, dict) else None
    match kind:
        case "Equals":
            left, right = _pair(condition, step, path)
            return _equal(left, right, step, path)
        case "In":
            values = _member(condition, "Values", step, path)
            query = _member(condition, "QueryValue", step, path)
            return any([_equal(query, value, step, path) for value in values])
        case "Not":
            return not _holds(_member(condition, "Condition", step, path), step, f"{path}.Condition")
        case "Or":
            inner = _member(condition, "Conditions", step, path)
            return any([_holds(c, step, f"{path}.Conditions[{i}]") for i, c in enumerate(inner)])
        case str() if kind in _ORDER:
            left, right = _pair(condition, step, path)
            low, high = _number(left), _number(right)
            if low is None or high is None:
                raise UnresolvedReference(step, path, f"{kind} compares numbers, not {left!r} and {right!r}")
            return bool(_ORDER[kind](low, high))
    raise UnresolvedReference(step, path, f"unknown condition {kind!r}", f"known conditions: {', '.join(TYPES)}")


def _pair(condition: Mapping[str, Any], step: str, path: str) -> tuple[Any, Any]:
    return _member(condition, "LeftValue", step, path), _member(condition, "RightValue", step, path)


def _member(condition: Mapping[str, Any], name: str, step: str, path: str) -> Any:
    if name not in condition:
        raise UnresolvedReference(step, path, f"{condition['Type']} has no {name}")
    return condition[name]


def _equal(left: Any, right: Any, step: str, path: str) -> bool:
    if isinstance(left, bool) or isinstance(right, bool):
        return str(left).lower() == str(right).lower()
    if isinstance(left, str) and isinstance(right, str):
        return left == right
    low, high = _number(left), _number(right)
    if low is not None and high is not None:
        return low == high
    if isinstance(left, str | int | float) and isinstance(right, str | int | float):
        return False  # a number and a text that is none
    raise UnresolvedReference(step, path, f"cannot compare {left!r} with {right!r}")


def _number(value: Any) -> float | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return value
    try:
        return float(value)
    except (TypeError, ValueError):
        return None
