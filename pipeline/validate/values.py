"""Placeholders: telling them from plain data, finding them, and the text that they make."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pipeline.validate.node import Node

OPAQUE = "\x00"  # stands around what only an execution knows; JSON text of a request never holds it
GET, JOIN, JSON_GET = "Get", "Std:Join", "Std:JsonGet"


def is_placeholder(value: object) -> bool:
    """{"Get": …} or {"Std:…": …}; also a malformed one, so that it is reported as such."""
    return (
        isinstance(value, dict)
        and len(value) > 0
        and (
            (len(value) == 1 and GET in value) or any(isinstance(key, str) and key.startswith("Std:") for key in value)
        )
    )


def placeholders(node: Node, skip: tuple[str, ...] = ()) -> Iterator[Node]:
    """Every placeholder below the node, outermost first; `skip` names members that are left out."""
    if is_placeholder(node.value):
        yield node
    if isinstance(node.value, dict):
        for key, member in node.members():
            if key not in skip and isinstance(member.value, (dict, list)):
                yield from placeholders(member)
    elif isinstance(node.value, list):
        for item in node:
            if isinstance(item.value, (dict, list)):
                yield from placeholders(item)


def render(value: Any) -> str | None:
    """The text of a value, with opaque marks for what only an execution knows; None when it makes no text."""
    match value:
        case str():
            return value
        case bool():
            return str(value).lower()
        case int() | float():
            return str(value)
        case {"Get": str(target)}:
            return f"{OPAQUE}{target}{OPAQUE}"
        case {"Std:Join": {"On": str(glue), "Values": list(parts)}}:
            texts = [render(part) for part in parts]
            return glue.join("" if text is None else text for text in texts)
        case {"Std:JsonGet": dict(call)}:
            return f"{OPAQUE}JsonGet {call!r}{OPAQUE}"
        case _:
            return None


def literal_text(value: Any) -> str | None:
    """The text of a value that is the same in every execution; None otherwise."""
    text = render(value)
    return None if text is None or OPAQUE in text else text


def number(value: object) -> float | None:
    """The number that a literal is or spells; None for a placeholder, a bool or another word."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        return float(value)
    except (ValueError, OverflowError):
        return None
