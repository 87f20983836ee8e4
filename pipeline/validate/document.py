"""What the families of rules look at: the parameters and the steps of a document, each at its place."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from pipeline.validate.node import Node
from pipeline.validate.values import JOIN, is_placeholder

BRANCHES = ("IfSteps", "ElseSteps")


@dataclass(frozen=True)
class Step:
    """`branch`: the (condition step, "IfSteps" or "ElseSteps") pairs that it stands in, outermost first."""

    name: str
    type: str
    node: Node
    branch: tuple[tuple[str, str], ...] = ()

    @property
    def arguments(self) -> Node:
        return self.node["Arguments"]

    def excludes(self, other: Step) -> bool:
        """Whether the two stand in different branches of one condition: at most one of them runs."""
        sides = dict(other.branch)
        return any(sides.get(condition, side) != side for condition, side in self.branch)


@dataclass
class Document:
    root: Node
    steps: list[Step] = field(default_factory=list)
    by_name: dict[str, Step] = field(default_factory=dict)
    parameters: dict[str, Node] = field(default_factory=dict)
    used_parameters: set[str] = field(default_factory=set)
    edges: dict[str, dict[str, Node]] = field(default_factory=dict)  # step → step it needs → where it says so

    def possible(self, value: Any) -> list[tuple[Any, str]]:
        """The values that a literal or a parameter can have, as far as the document knows, each with words for it."""
        if not is_placeholder(value):
            return [(value, "")]
        parameter = self.parameter(value)
        if parameter is None:
            return []
        found = [
            (item, f"parameter {parameter['Name'].value} allows ") for item in _list(parameter["EnumValues"].value)
        ]
        default = parameter["DefaultValue"].value
        if default is not None and all(default != item for item, _ in found):
            found.append((default, f"parameter {parameter['Name'].value} defaults to "))
        return found

    def default(self, value: Any) -> Any:
        """The literal, or the default of the parameter that stands for it; None for all else."""
        if not is_placeholder(value):
            return value
        parameter = self.parameter(value)
        return None if parameter is None else parameter["DefaultValue"].value

    def parameter(self, value: Any) -> Node | None:
        """The parameter that a placeholder stands for, also through a Join of that one value."""
        match value:
            case {"Get": str(target)} if target.startswith("Parameters."):
                return self.parameters.get(target.removeprefix("Parameters."))
            case {"Std:Join": {"Values": [only]}} if len(value) == 1 and JOIN in value:
                return self.parameter(only)
            case _:
                return None


def read(root: Node) -> Document:
    """Takes what is well-formed; what isn't, the envelope rules report."""
    document = Document(root)
    for parameter in root["Parameters"]:
        name = parameter["Name"].text
        if name is not None:
            document.parameters.setdefault(name, parameter)
    for step in _steps(root["Steps"], ()):
        document.steps.append(step)
        document.by_name.setdefault(step.name, step)
    return document


def _steps(steps: Node, branch: tuple[tuple[str, str], ...]) -> Iterator[Step]:
    for node in steps:
        if not isinstance(node.value, dict):
            continue
        name = node["Name"].text or f"(step {node.key} without a name)"
        node.step = name
        step = Step(name, node["Type"].text or "", node, branch)
        yield step
        if step.type == "Condition":
            for side in BRANCHES:
                yield from _steps(step.arguments[side], (*branch, (name, side)))


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
