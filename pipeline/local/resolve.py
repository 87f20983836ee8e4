"""Placeholders → values: {"Get"}, {"Std:Join"}, {"Std:JsonGet"}.

Whatever cannot be resolved is an UnresolvedReference that names step and JSON path; never a warning, never None.
"""

from __future__ import annotations

import json

from pipeline.definition import FUNCTIONS, parse_get
from pipeline.errors import ServiceError, StorageError, UnresolvedReference

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from pipeline.definition import Definition
    from pipeline.local.storage import Storage


class Scope:
    """What references of one execution resolve against. `properties` grows as steps succeed."""

    __slots__ = ("definition", "execution", "parameters", "properties", "storage")

    def __init__(
        self,
        definition: Definition,
        storage: Storage,
        parameters: Mapping[str, Any],
        execution: Mapping[str, str],
        properties: dict[str, dict[str, Any]],
    ) -> None:
        self.definition = definition
        self.storage = storage
        self.parameters = parameters
        self.execution = execution
        self.properties = properties

    def with_variable(self, name: str, value: str) -> Scope:
        """The same, with one more execution variable."""
        return Scope(self.definition, self.storage, self.parameters, {**self.execution, name: value}, self.properties)

    def resolve(self, value: Any, step: str, path: str) -> Any:
        """`value` with every placeholder at or below it replaced. Raises UnresolvedReference."""
        if isinstance(value, list):
            return [self.resolve(inner, step, f"{path}[{index}]") for index, inner in enumerate(value)]
        if not isinstance(value, dict):
            return value
        function = next((key for key in value if key == "Get" or key.startswith("Std:")), None)
        if function is None:
            return {key: self.resolve(inner, step, f"{path}.{key}") for key, inner in value.items()}
        if len(value) != 1:
            raise UnresolvedReference(
                step, path, f"{function} has to stand alone, not beside {sorted(set(value) - {function})}"
            )
        match function:
            case "Get":
                return self._get(value[function], step, path)
            case "Std:Join":
                return self._join(value[function], step, f"{path}.Std:Join")
            case "Std:JsonGet":
                return self._json_get(value[function], step, f"{path}.Std:JsonGet")
        raise UnresolvedReference(
            step, path, f"unknown function {function!r}", f"known functions: {', '.join(FUNCTIONS)}"
        )

    def _get(self, expression: Any, step: str, path: str) -> Any:
        try:
            target = parse_get(expression)
        except (TypeError, ValueError) as exc:
            raise UnresolvedReference(step, path, f"Get: {exc}") from exc
        match target.root:
            case "Parameters":
                found: Mapping[str, Any] = self.parameters
            case "Execution":
                found = self.execution
            case "Steps":
                found = self.properties
            case "PipelineExperimentConfig":
                config = self.definition.document.get("PipelineExperimentConfig") or {}
                found = self.resolve(config, step, "$.PipelineExperimentConfig")
            case _:
                hint = "a reference begins with Parameters., Execution. or Steps."
                raise UnresolvedReference(step, path, f"Get: {expression!r} begins with {target.root!r}", hint)
        if target.name not in found:
            raise UnresolvedReference(step, path, *_missing(target.root, target.name, expression, found))
        return _walk(found[target.name], target.tail, step, path, expression)

    def _join(self, body: Any, step: str, path: str) -> str:
        if not isinstance(body, dict) or not isinstance(body.get("Values"), list):
            raise UnresolvedReference(step, path, "Std:Join takes an object with On and Values")
        values = [self.resolve(value, step, f"{path}.Values[{index}]") for index, value in enumerate(body["Values"])]
        return str(body.get("On", "")).join(_text(value, step, path) for value in values)

    def _json_get(self, body: Any, step: str, path: str) -> Any:
        if not isinstance(body, dict) or not isinstance(body.get("Path"), str):
            raise UnresolvedReference(
                step, path, "Std:JsonGet takes an object with PropertyFile (or S3Uri) and a literal Path"
            )
        uri = (
            self.resolve(body["S3Uri"], step, f"{path}.S3Uri")
            if "S3Uri" in body
            else self._property_file(body, step, path)
        )
        try:
            document = json.loads(self.storage.get_bytes(uri))
        except (ServiceError, StorageError) as exc:
            raise UnresolvedReference(step, path, f"cannot read the property file {uri}: {exc.message}") from exc
        except ValueError as exc:
            raise UnresolvedReference(step, path, f"the property file {uri} is not JSON: {exc}") from exc
        expression = body["Path"].removeprefix("$").removeprefix(".")
        try:
            target = parse_get(f"file.{expression}" if not expression.startswith("[") else f"file.file{expression}")
        except ValueError as exc:
            raise UnresolvedReference(step, path, f"Path: {exc}") from exc
        tail = target.tail if expression.startswith("[") else (target.name, *target.tail)
        value = _walk(document, tail, step, f"{path}.Path", body["Path"])
        if isinstance(value, dict | list):
            raise UnresolvedReference(step, f"{path}.Path", f"{body['Path']!r} in {uri} is not a single value")
        return value

    def _property_file(self, body: dict[str, Any], step: str, path: str) -> str:
        reference = body.get("PropertyFile")
        try:
            target = parse_get(reference["Get"] if isinstance(reference, dict) else str(reference))
        except (KeyError, TypeError, ValueError) as exc:
            raise UnresolvedReference(step, path, f"PropertyFile: {exc}") from exc
        writer = self.definition.steps.get(target.name)
        files = {} if writer is None else {f.get("PropertyFileName"): f for f in writer.body.get("PropertyFiles") or ()}
        if target.root != "Steps" or target.tail[:1] != ("PropertyFiles",) or target.tail[-1] not in files:
            raise UnresolvedReference(
                step, path, f"there is no property file {reference!r}", f"known: {sorted(map(str, files))}"
            )
        if target.name not in self.properties:
            raise UnresolvedReference(
                step, path, f"step {target.name!r} has not run, so its property file does not exist"
            )
        file = files[target.tail[-1]]
        tail = ("ProcessingOutputConfig", "Outputs", file.get("OutputName"), "S3Output", "S3Uri")
        folder = _walk(
            self.properties[target.name], tail, step, path, f"{target.name}'s output {file.get('OutputName')!r}"
        )
        return f"{str(folder).rstrip('/')}/{file.get('FilePath')}"


def _walk(value: Any, tail: Sequence[str | int], step: str, path: str, expression: str) -> Any:
    for token in tail:
        match value, token:
            case dict(), _ if token in value:
                value = value[token]
            case list(), int() if token < len(value):
                value = value[token]
            case list(), _ if named := [item for item in value if _is_named(item, token)]:
                value = named[0]
            case _:
                known = _names(value)
                hint = f"there is: {', '.join(known[:20])}" if known else ""
                raise UnresolvedReference(step, path, f"{expression!r} has no {token!r}", hint)
    return value


def _is_named(item: Any, name: str | int) -> bool:
    """A list is looked into by name: Outputs['train'] is the item whose OutputName is train."""
    return isinstance(item, dict) and any(key.endswith("Name") and value == name for key, value in item.items())


def _names(value: Any) -> list[str]:
    if isinstance(value, dict):
        return sorted(value)
    if isinstance(value, list):
        return [str(v) for item in value if isinstance(item, dict) for k, v in item.items() if k.endswith("Name")]
    return []


def _missing(root: str, name: str, expression: str, found: Mapping[str, Any]) -> tuple[str, str]:
    if root == "Steps":
        return f"{expression!r}: step {name!r} has not succeeded, so it has no properties", ""
    return f"there is no {expression!r}", f"known: {', '.join(sorted(found))}"


def _text(value: Any, step: str, path: str) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int | float):
        return str(value)
    raise UnresolvedReference(
        step, path, f"Std:Join cannot join {json.dumps(value)[:80]}: only single values have a text"
    )
