"""Placeholders → values as far as they are known before an execution; the others say which steps they wait for."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Mapping
from typing import Any

from pipeline.definition import FUNCTIONS, Definition, parse_get, references
from pipeline.errors import ConfigError, UnresolvedReference
from pipeline.local.resolve import Scope

# what an execution calls itself has no value yet; it differs from that of every other execution
_OWN = ("PipelineExecutionId", "PipelineExecutionArn", "CurrentDateTime", "StartDateTime", "TrainingJobName")
OWN_VARIABLES = (*_OWN, "ProcessingJobName")
_MARK = "\ue000{}\ue001"  # private characters, which stand in no request


class Unknown:
    """Equal to everything: a comparison then finds only what differs for certain. `steps`: whom it waits for."""

    def __init__(self, steps: frozenset[str]) -> None:
        self.steps = steps

    def __eq__(self, _other: object) -> bool:
        return True

    __hash__ = None  # type: ignore[assignment]


def own_variables(owner: str) -> dict[str, str]:
    """Stand-ins for what an execution calls itself: `owner` makes those of two executions differ, or not."""
    return {name: _MARK.format(f"{owner}:{name}") for name in OWN_VARIABLES}


def names_execution(value: Any) -> bool:
    """Whether a resolved value holds something that only this one execution has."""
    if isinstance(value, str):
        return _MARK[0] in value
    items = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return any(names_execution(item) for item in items)


def readable(value: Any) -> Any:
    """The same with `<PipelineExecutionId>` in place of a stand-in."""
    if isinstance(value, str):
        parts = value.split(_MARK[0])
        cut = [part.partition(_MARK[-1]) for part in parts[1:]]
        return parts[0] + "".join(f"<{inner.rpartition(':')[2]}>{rest}" for inner, _, rest in cut)
    if isinstance(value, list):
        return [readable(item) for item in value]
    return {key: readable(item) for key, item in value.items()} if isinstance(value, dict) else value


def resolve(value: Any, scope: Scope, step: str, path: str, anew: Container[str] = ()) -> Any:
    """`value` with every placeholder replaced, by Unknown where a step that it refers to has no properties yet.

    `anew`: steps whose files will be written again: what the files hold now is no answer.
    Raises UnresolvedReference for a placeholder that refers to no step: it would never resolve.
    """
    if isinstance(value, list):
        return [resolve(item, scope, step, f"{path}[{index}]", anew) for index, item in enumerate(value)]
    if not isinstance(value, dict):
        return value
    if len(value) == 1 and next(iter(value)) in FUNCTIONS:
        waits = frozenset(referred(value))
        if any(name in anew for name in _read_from(value)):
            return Unknown(waits)
        try:
            return scope.resolve(value, step, path)
        except UnresolvedReference:
            if not waits:
                raise
            return Unknown(waits)
    return {key: resolve(item, scope, step, f"{path}.{key}", anew) for key, item in value.items()}


def _read_from(value: Any) -> Iterator[str]:
    """Steps whose property files a placeholder reads."""
    for reference in references(value, ""):
        if reference.function == "Std:JsonGet":
            yield from referred(reference.node)


def unknowns(value: Any) -> frozenset[str]:
    """The steps that everything unknown in a value waits for."""
    if isinstance(value, Unknown):
        return value.steps
    items = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return frozenset().union(*(unknowns(item) for item in items))


def referred(value: Any) -> Iterator[str]:
    """Names of the steps in a value's placeholders."""
    for reference in references(value, ""):
        inner = reference.node.get("Std:JsonGet")
        for text in (reference.node.get("Get"), inner.get("PropertyFile") if isinstance(inner, dict) else None):
            if isinstance(text, str) and text.startswith("Steps."):
                yield parse_get(text).name


def typed(definition: Definition, given: Mapping[str, str]) -> dict[str, Any]:
    """Every parameter's value as an execution has it. Raises ConfigError for those without value."""
    missing = [name for name, body in definition.parameters.items() if name not in given and "DefaultValue" not in body]
    if missing:
        problems = [f"{name} has no default and got no value" for name in missing]
        raise ConfigError("--set", problems, f"write it as --set {missing[0]}=value")
    return {
        name: _TYPES.get(body.get("Type", ""), str)(given.get(name, body.get("DefaultValue")))
        for name, body in definition.parameters.items()
    }


def _boolean(value: Any) -> bool:
    return str(value).lower() == "true"


def _integer(value: Any) -> int:
    return int(float(value)) if isinstance(value, float) else int(value)


_TYPES: dict[str, Callable[[Any], Any]] = {"Integer": _integer, "Float": float, "Boolean": _boolean}
