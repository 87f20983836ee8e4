"""Which kind of answer a request's Accept header asks for (RFC 9110, section 12.5.1)."""

from __future__ import annotations

import re

from serving.answers import TYPES
from serving.bad_request import BadRequest

LONGEST = 1000  # characters of a header that is looked at
_WEIGHT = re.compile(r"(?:0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)")


def chosen(accept: str | None) -> str:
    """The offered type with the highest weight, the first of equals; without a header JSON.

    Of several ranges that match a type the most exact one says its weight. Raises BadRequest 406 when none is wanted.
    """
    ranges = list(filter(None, map(_range, (accept or "")[:LONGEST].split(","))))
    if not (accept or "").strip():
        return TYPES[0]
    weights = {name: _weight(name, ranges) for name in TYPES}
    best = max(TYPES, key=lambda name: weights[name])  # of equals, max takes the first
    if not weights[best]:
        wanted = (accept or "")[:100]
        raise BadRequest(f"answers are {', '.join(TYPES)}, and the request accepts only {wanted!r}", 406)
    return best


def _range(part: str) -> tuple[str, float] | None:
    """`text/csv;q=0.5` → ("text/csv", 0.5). What is no media range says nothing."""
    name, *parameters = (word.strip().lower() for word in part.split(";"))
    if name.count("/") != 1:
        return None
    for parameter in parameters:
        key, _, value = parameter.partition("=")
        if key.strip() == "q":
            return (name, float(value)) if _WEIGHT.fullmatch(value.strip()) else None
    return name, 1.0


def _weight(name: str, ranges: list[tuple[str, float]]) -> float:
    family = name.partition("/")[0]
    for pattern in (name, f"{family}/*", "*/*"):
        if matching := [weight for given, weight in ranges if given == pattern]:
            return max(matching)
    return 0.0
