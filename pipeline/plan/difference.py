"""Two definitions → what an upsert would change: parameters, steps, fields with their old and new values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Any

from pipeline.definition import Definition, Step

ADDED, REMOVED, CHANGED = "added", "removed", "changed"
_DOCUMENT = ("Parameters", "Steps")  # what is told by name


class Absent:
    """Stands where the other side has a value and this one has none."""

    def __repr__(self) -> str:
        return "nothing"


ABSENT = Absent()


@dataclass(frozen=True)
class Field:
    """`path` below its parameter or step: `Arguments.ResourceConfig.InstanceType`."""

    path: str
    old: Any
    new: Any


@dataclass(frozen=True)
class Change:
    """A parameter or step that is `added`, `removed` or `changed`; `kind` is its type."""

    name: str
    kind: str
    what: str
    fields: tuple[Field, ...] = ()


@dataclass(frozen=True)
class Difference:
    """`settings`: fields of the pipeline itself (role, description) and of the document outside its lists."""

    settings: tuple[Field, ...]
    parameters: tuple[Change, ...]
    steps: tuple[Change, ...]

    def __bool__(self) -> bool:
        return bool(self.settings or self.parameters or self.steps)


def compare(old: Definition | None, new: Definition, settings: tuple[Field, ...] = ()) -> Difference:
    """`settings`: what the caller knows to differ beside the definition."""
    document = _rest(old) if old else _rest(new)
    around = tuple(fields(document, _rest(new), ""))
    parameters = _changes(old.parameters if old else {}, new.parameters)
    steps = _changes(_bodies(old) if old else {}, _bodies(new))
    return Difference((*settings, *around), parameters, steps)


def fields(old: Any, new: Any, path: str) -> Iterator[Field]:
    """Where two values differ, deepest places. Items of lists are told by their names where they have some."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in dict.fromkeys((*old, *new)):
            yield from fields(old.get(key, ABSENT), new.get(key, ABSENT), f"{path}.{key}" if path else key)
    elif isinstance(old, list) and isinstance(new, list) and (old or new):
        yield from _items(old, new, path)
    elif type(old) is not type(new) or old != new:
        yield Field(path, old, new)


def _items(old: list[Any], new: list[Any], path: str) -> Iterator[Field]:
    before, after = _named(old), _named(new)
    if before is not None and after is not None and (before or after):
        for name in dict.fromkeys((*before, *after)):
            yield from fields(before.get(name, ABSENT), after.get(name, ABSENT), f"{path}[{name!r}]")
    elif len(old) == len(new):
        for index, (one, other) in enumerate(zip(old, new, strict=True)):
            yield from fields(one, other, f"{path}[{index}]")
    else:
        yield from _runs(old, new, path)


def _runs(old: list[Any], new: list[Any], path: str) -> Iterator[Field]:
    """Lists of different lengths, such as arguments of a program: only the stretches that differ."""
    texts = [repr(item) for item in old], [repr(item) for item in new]
    for tag, begin, end, start, stop in SequenceMatcher(None, *texts, autojunk=False).get_opcodes():
        if tag != "equal":
            where = f"{path}[{begin}]" if end - begin == 1 else f"{path}[{begin}:{end}]"
            yield Field(where, old[begin:end] or ABSENT, new[start:stop] or ABSENT)


def _named(items: list[Any]) -> dict[str, Any] | None:
    """Items by their name (InputName, ChannelName, Name …), where each has one of its own."""
    found: dict[str, Any] = {}
    for item in items:
        names = [value for key, value in item.items() if key.endswith("Name")] if isinstance(item, dict) else []
        if len(names) != 1 or not isinstance(names[0], str) or names[0] in found:
            return None
        found[names[0]] = item
    return found


def _changes(old: Mapping[str, dict[str, Any]], new: Mapping[str, dict[str, Any]]) -> tuple[Change, ...]:
    """In the order of the new definition; those that are gone stand last."""
    return tuple(filter(None, (_change(name, old.get(name), new.get(name)) for name in dict.fromkeys((*new, *old)))))


def _change(name: str, old: dict[str, Any] | None, new: dict[str, Any] | None) -> Change | None:
    kind = str((new or old or {}).get("Type", ""))
    if old is None or new is None:
        return Change(name, kind, ADDED if old is None else REMOVED)
    found = tuple(fields(old, new, ""))
    return Change(name, kind, CHANGED, found) if found else None


def _bodies(definition: Definition) -> dict[str, dict[str, Any]]:
    return {name: _body(step) for name, step in definition.steps.items()}


def _body(step: Step) -> dict[str, Any]:
    """Without the steps that a condition holds, which are told on their own; with the place where it stands."""
    body = dict(step.body)
    if "Arguments" in body:
        body["Arguments"] = step.arguments
    return {**body, "Branch": f"{step.parent}.{step.branch}"} if step.parent else body


def _rest(definition: Definition) -> dict[str, Any]:
    return {key: value for key, value in definition.document.items() if key not in _DOCUMENT}
