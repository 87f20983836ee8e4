"""A value inside the document together with where it stands, so that a finding can name its JSON path."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator
from typing import Any

from pipeline.validate.finding import Finding
from pipeline.wording import cut

PLAIN_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
QUOTED = 80  # characters of a value that a message quotes
SUGGESTED_FROM = 2000  # names: above that no nearest one is looked for (difflib is quadratic)


class Node:
    """Safe to walk: a missing member is a Node of None, a wrong type has no members. Paths are made when asked for."""

    __slots__ = ("key", "parent", "report", "step", "value")

    def __init__(
        self, value: Any, report: list[Finding], parent: Node | None = None, key: str | int = "$", step: str = ""
    ) -> None:
        self.value = value
        self.report = report
        self.parent = parent
        self.key = key
        self.step = step

    def __getitem__(self, key: str | int) -> Node:
        value = self.value
        if isinstance(key, str):
            found = value.get(key) if isinstance(value, dict) else None
        else:
            found = value[key] if isinstance(value, list) and key < len(value) else None
        return Node(found, self.report, self, key, self.step)

    def at(self, *keys: str | int) -> Node:
        node = self
        for key in keys:
            node = node[key]
        return node

    def __iter__(self) -> Iterator[Node]:
        """The elements, when this is a list; else nothing."""
        if isinstance(self.value, list):
            for index, value in enumerate(self.value):
                yield Node(value, self.report, self, index, self.step)

    def members(self) -> Iterator[tuple[str, Node]]:
        """The members, when this is an object; else nothing."""
        if isinstance(self.value, dict):
            for key, value in self.value.items():
                yield key, Node(value, self.report, self, key, self.step)

    def __contains__(self, key: str) -> bool:
        return isinstance(self.value, dict) and key in self.value

    @property
    def there(self) -> bool:
        return self.value is not None

    @property
    def text(self) -> str | None:
        return self.value if isinstance(self.value, str) else None

    @property
    def path(self) -> str:
        parts: list[str] = []
        node: Node | None = self
        while node is not None:
            parts.append(_segment(node.key))
            node = node.parent
        return "".join(reversed(parts)).removeprefix(".")

    def error(self, message: str, mend: str) -> None:
        self.report.append(Finding(self.step, self.path, message, mend))

    def warning(self, message: str, mend: str) -> None:
        self.report.append(Finding(self.step, self.path, message, mend, "warning"))


def _segment(key: str | int) -> str:
    if isinstance(key, int):
        return f"[{key}]"
    if key == "$":
        return "$"
    return f".{key}" if PLAIN_KEY.fullmatch(key) else f"[{quote(key)}]"


def quote(value: object) -> str:
    """The value as a message shows it: one line, cut."""
    return cut(repr(value), QUOTED)


def nearest(name: str, known: Iterable[str], fallback: str) -> str:
    """What to type next: the nearest known name, or all of them while they are few, or `fallback`."""
    names = [item for item in known if isinstance(item, str)]
    close = difflib.get_close_matches(name[:256], names, n=1) if len(names) <= SUGGESTED_FROM else []
    if close:
        return f"did you mean {close[0]}?"
    if 0 < len(names) <= 12:
        return "use one of " + ", ".join(sorted(names))
    return fallback


def duplicates(nodes: Iterable[Node]) -> Iterator[tuple[Node, Node]]:
    """(later, first) for each string that stands twice."""
    first: dict[str, Node] = {}
    for node in nodes:
        if node.text is None:
            continue
        if node.text in first:
            yield node, first[node.text]
        else:
            first[node.text] = node
