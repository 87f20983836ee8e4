"""A read-only view of a compiled pipeline definition: its steps, their order, the references between them.

Imports nothing but `json` and `re`: the local runner starts with this module and has a budget of milliseconds.
"""

from __future__ import annotations

import json
import re
from collections import namedtuple

from pipeline.errors import DefinitionError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

BRANCHES = ("IfSteps", "ElseSteps")
FUNCTIONS = ("Get", "Std:Join", "Std:JsonGet")
_TOKEN = re.compile(r"\.?([A-Za-z_][\w\-]*)|\['([^']*)'\]|\[\"([^\"]*)\"\]|\[(\d+)\]")

# `node` is the whole placeholder ({"Get": …}); `path` its JSON path inside the definition.
Reference = namedtuple("Reference", "function path node")
# `root` is Parameters, Execution, Steps or something unknown; `name` what follows it; `tail` the property path.
Target = namedtuple("Target", "root name tail")


class Step:
    """One step as it stands in the document; `parent` and `branch` say which condition decides whether it runs."""

    __slots__ = ("body", "branch", "name", "parent", "path", "type")

    def __init__(self, body: dict[str, Any], path: str, parent: str = "", branch: str = "") -> None:
        self.body = body
        self.name: str = body["Name"]
        self.type: str = body["Type"]
        self.path = path
        self.parent = parent
        self.branch = branch

    @property
    def arguments(self) -> dict[str, Any]:
        """The request, without the steps that a Condition holds."""
        arguments: dict[str, Any] = self.body.get("Arguments") or {}
        if self.type != "Condition":
            return arguments
        return {key: value for key, value in arguments.items() if key not in BRANCHES}

    def references(self) -> Iterator[Reference]:
        """Every placeholder in what this step sends, outermost first; not those of steps inside its branches."""
        for key, value in self.body.items():
            if key == "Arguments":
                for name, argument in self.arguments.items():
                    yield from references(argument, f"{self.path}.Arguments.{name}")
            elif isinstance(value, dict | list):
                yield from references(value, f"{self.path}.{key}")


class Definition:
    """`steps` holds every step by name, those inside conditions too, in document order."""

    __slots__ = ("_dependencies", "document", "parameters", "steps")

    def __init__(self, document: dict[str, Any]) -> None:
        """Raises DefinitionError when the document has no list of named, typed steps, or a name twice."""
        self.document = document
        self.parameters: dict[str, dict[str, Any]] = {p["Name"]: p for p in document.get("Parameters", ())}
        self.steps: dict[str, Step] = {}
        self._dependencies: dict[str, frozenset[str]] = {}
        self._add(document.get("Steps"), "$.Steps", "", "")

    @classmethod
    def parse(cls, text: str | bytes) -> Definition:
        """Raises DefinitionError for anything that is not a JSON object with steps."""
        try:
            document = json.loads(text)
        except ValueError as exc:
            raise DefinitionError(f"the definition is not JSON: {exc}", "darkroom compile -o definition.json") from exc
        if not isinstance(document, dict):
            raise DefinitionError(f"a definition is a JSON object, not {type(document).__name__}")
        return cls(document)

    def _add(self, bodies: Any, path: str, parent: str, branch: str) -> None:
        if not isinstance(bodies, list):
            raise DefinitionError(f"{path}: a list of steps is missing")
        for index, body in enumerate(bodies):
            here = f"{path}[{index}]"
            if not isinstance(body, dict) or not all(isinstance(body.get(key), str) for key in ("Name", "Type")):
                raise DefinitionError(f"{here}: a step is an object with Name and Type")
            step = Step(body, here, parent, branch)
            if step.name in self.steps:
                raise DefinitionError(f"{here}: the name {step.name!r} is taken by {self.steps[step.name].path}")
            self.steps[step.name] = step
            if step.type == "Condition":
                for name in BRANCHES:
                    inner = (body.get("Arguments") or {}).get(name) or []
                    self._add(inner, f"{here}.Arguments.{name}", step.name, name)

    def dependencies(self, name: str) -> frozenset[str]:
        """The steps that have to end before this one starts: DependsOn, references, the condition around it."""
        if name not in self._dependencies:
            step = self.steps[name]
            names = {str(other) for other in step.body.get("DependsOn") or ()}
            names.update(step_name for reference in step.references() for step_name in _steps_in(reference))
            if step.parent:
                names.add(step.parent)
            self._dependencies[name] = frozenset(names - {name})
        return self._dependencies[name]


def references(value: Any, path: str) -> Iterator[Reference]:
    """Every placeholder at or below `value`, outermost first."""
    if isinstance(value, dict):
        for function in FUNCTIONS:
            if function in value and len(value) == 1:
                yield Reference(function, path, value)
        for key, inner in value.items():
            if isinstance(inner, dict | list):
                yield from references(inner, f"{path}.{key}")
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            if isinstance(inner, dict | list):
                yield from references(inner, f"{path}[{index}]")


def parse_get(expression: str) -> Target:
    """'Steps.T.Outputs["x"].S3Uri' → Target('Steps', 'T', ('Outputs', 'x', 'S3Uri')). Raises ValueError."""
    tokens: list[str | int] = []
    position = 0
    while position < len(expression):
        match = _TOKEN.match(expression, position)
        if match is None or (match.group(1) and bool(position) != expression.startswith(".", position)):
            raise ValueError(f"cannot read {expression!r} at character {position + 1}")
        word, single, double, index = match.groups()
        tokens.append(int(index) if index is not None else next(t for t in (word, single, double) if t is not None))
        position = match.end()
    if len(tokens) < 2:
        raise ValueError(f"{expression!r} names nothing: expected Parameters.X, Execution.X or Steps.X.property")
    return Target(str(tokens[0]), str(tokens[1]), tuple(tokens[2:]))


def _steps_in(reference: Reference) -> Iterator[str]:
    expression = reference.node.get("Get")
    if isinstance(expression, str) and expression.startswith("Steps."):
        yield expression.split(".", 2)[1].split("[", 1)[0]
