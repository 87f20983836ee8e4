"""Pipeline parameters: names, types, defaults, enums."""

from __future__ import annotations

import math
import re

from pipeline.validate import limits
from pipeline.validate.document import Document
from pipeline.validate.node import Node, duplicates, nearest, quote

MEMBERS = ("Name", "Type", "DefaultValue", "EnumValues")
TYPES: dict[str, tuple[type, ...]] = {"String": (str,), "Integer": (int,), "Float": (int, float), "Boolean": (bool,)}
NAME = re.compile(r"[A-Za-z0-9\-_]+")  # API reference, Parameter: Name


def check(document: Document) -> None:
    parameters = document.root["Parameters"]
    if parameters.there and not isinstance(parameters.value, list):
        parameters.error(f"Parameters is a list, not {quote(parameters.value)}", 'write "Parameters": []')
        return
    if parameters.there and len(parameters.value) > limits.PARAMETERS.value:
        count = len(parameters.value)
        parameters.error(
            f"{count} parameters, at most {limits.PARAMETERS.value} are allowed", "write fixed values instead"
        )
    for parameter in parameters:
        _check_parameter(parameter)
    for later, first in duplicates(parameter["Name"] for parameter in parameters):
        later.error(f"the parameter {later.value} is declared twice, first at {first.path}", "remove one")


def check_used(document: Document) -> None:
    """Needs the references of every step: run it last."""
    for name, parameter in document.parameters.items():
        if name not in document.used_parameters:
            parameter.warning(f"nothing uses the parameter {name}", "remove it, or refer to it")


def _check_parameter(parameter: Node) -> None:
    if not isinstance(parameter.value, dict):
        parameter.error(
            f"a parameter is an object, not {quote(parameter.value)}", 'write {"Name": …, "Type": "String"}'
        )
        return
    for key, member in parameter.members():
        if key not in MEMBERS:
            member.error(f"a parameter has no {quote(key)}: the service refuses it", nearest(key, MEMBERS, "remove it"))
    _check_name(parameter["Name"])
    kind = parameter["Type"].text
    if kind not in TYPES:
        parameter["Type"].error(
            f"{quote(parameter['Type'].value)} is no parameter type", "use one of " + ", ".join(TYPES)
        )
        return
    _check_values(parameter, kind)


def _check_name(name: Node) -> None:
    if name.text is None:
        name.error("a parameter has a Name", 'add "Name": "…"')
    elif len(name.text) > limits.PARAMETER_NAME.value or not NAME.fullmatch(name.text):
        name.error(
            f"{quote(name.text)} is no parameter name",
            f"use at most {limits.PARAMETER_NAME.value} letters, digits, - and _",
        )


def _check_values(parameter: Node, kind: str) -> None:
    default, enum = parameter["DefaultValue"], parameter["EnumValues"]
    if default.there:
        _check_value(default, kind, "the default")
    if not enum.there:
        return
    if not isinstance(enum.value, list) or not enum.value:
        enum.error("EnumValues is a list of at least one value", "write the values, or leave EnumValues out")
        return
    if len(enum.value) > limits.ENUM_VALUES.value:
        enum.error(f"{len(enum.value)} values, at most {limits.ENUM_VALUES.value} are allowed", "keep the ones in use")
    for item in enum:
        _check_value(item, kind, "the enum value")
    for later, _ in duplicates(enum):
        later.error(f"{quote(later.value)} stands twice in EnumValues", "remove one")
    if default.there and default.value not in enum.value:
        default.error(
            f"the default {quote(default.value)} is not among EnumValues",
            nearest(str(default.value), [str(item) for item in enum.value], "add it, or choose one of them"),
        )


def _check_value(node: Node, kind: str, what: str) -> None:
    value = node.value
    if not isinstance(value, TYPES[kind]) or (isinstance(value, bool) and kind != "Boolean"):
        node.error(f"{what} {quote(value)} is not of type {kind}", f"write a value of type {kind}, or change Type")
    elif isinstance(value, float) and not math.isfinite(value):
        node.error(f"{what} {value} is not a number in JSON", "write a finite number")
    elif isinstance(value, str) and len(value) > limits.PARAMETER_VALUE.value:
        node.error(
            f"{what} has {len(value)} characters, at most {limits.PARAMETER_VALUE.value} are allowed", "shorten it"
        )
