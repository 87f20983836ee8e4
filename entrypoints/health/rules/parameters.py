"""Types and ranges of what rules take: a text becomes a value, or is refused in words."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import NamedTuple

from health.rules.tensor_rows import COLLECTIONS

Value = float | int | bool | str | tuple[str, ...] | tuple[float, float]


class Type(NamedTuple):
    """`words` ends the sentence "take …"; `parse` raises ValueError."""

    words: str
    parse: Callable[[str], Value]


def number(low: float, high: float, above: bool = False) -> Type:
    """`above`: `low` itself is out."""

    def parse(text: str) -> float:
        value = float(text)
        if not math.isfinite(value) or not low <= value <= high or (above and value == low):
            raise ValueError
        return value

    return Type(f"a number {'above' if above else 'from'} {low:g} to {high:g}", parse)


def whole(low: int, high: int) -> Type:
    def parse(text: str) -> int:
        if not re.fullmatch("[0-9]{1,10}", text) or not low <= int(text) <= high:
            raise ValueError
        return int(text)

    return Type(f"{low}" if low == high else f"a whole number from {low} to {high}", parse)


def only(value: float) -> Type:
    """AWS's default, which the recorder has built in."""

    def parse(text: str) -> float:
        if float(text) != value:
            raise ValueError
        return value

    return Type(f"{value:g}, which is measured while recording, or leave it out", parse)


def one_of(*words: str) -> Type:
    def parse(text: str) -> str:
        if text not in words:
            raise ValueError
        return text

    return Type(" or ".join(words), parse)


def show(value: object) -> str:
    """As `parse` takes it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (tuple, list)):
        return ",".join(show(each) for each in value)
    return repr(value) if isinstance(value, float) else str(value)


def _yes(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise ValueError
    return text.lower() == "true"


def _range(text: str) -> tuple[float, float]:
    """AWS's "(-23, 16.99999)"; one number stands for both sides."""
    values = [float(part) for part in text.strip("()[] ").split(",")]
    low, high = (-abs(values[0]), abs(values[0])) if len(values) == 1 else values
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise ValueError
    return low, high


def _patterns(text: str) -> tuple[str, ...]:
    """AWS's comma-separated string; a pattern holds no comma."""
    parts = tuple(part.strip() for part in text.split(","))
    for part in parts:
        try:
            re.compile(part)
        except re.error as error:
            raise ValueError from error
    if not all(parts):
        raise ValueError
    return parts


def _collections(text: str) -> tuple[str, ...]:
    parts = tuple(part.strip() for part in text.split(","))
    if not set(parts) <= set(COLLECTIONS):
        raise ValueError
    return parts


YES = Type("true or false", _yes)
RANGE = Type('a minimum and a maximum, such as "-23, 16.99999"', _range)
PATTERNS = Type("regular expressions with commas between them", _patterns)
NAMES = Type(f"some of {', '.join(COLLECTIONS)}, with commas between them", _collections)
