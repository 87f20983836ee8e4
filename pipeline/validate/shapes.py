"""A step's Arguments against the shape of the request that they become."""

from __future__ import annotations

import math
from typing import Any

from pipeline.validate import limits, model
from pipeline.validate.document import Document, Step
from pipeline.validate.model import Shape
from pipeline.validate.node import Node, nearest, quote
from pipeline.validate.properties import ANY
from pipeline.validate.references import kind_of
from pipeline.validate.values import is_placeholder, literal_text

# The types of value that may stand where the model asks for one.
TAKES: dict[str, frozenset[str]] = {
    "string": frozenset({"string", "timestamp", ANY}),
    "integer": frozenset({"integer", "long", ANY}),
    "long": frozenset({"integer", "long", ANY}),
    "float": frozenset({"integer", "long", "float", "double", ANY}),
    "double": frozenset({"integer", "long", "float", "double", ANY}),
    "boolean": frozenset({"boolean", ANY}),
    "timestamp": frozenset({"string", "timestamp", ANY}),
    "blob": frozenset({"string", ANY}),
    "structure": frozenset({"structure"}),
    "map": frozenset({"structure", "map"}),
    "list": frozenset({"list"}),
}
WORDS = {
    "string": "a string",
    "integer": "an integer",
    "long": "an integer",
    "float": "a number",
    "double": "a number",
    "boolean": "true or false",
    "timestamp": "a time",
    "blob": "a string",
    "structure": "an object",
    "map": "an object",
    "list": "a list",
    "null": "null",
}


def check_step(document: Document, step: Step) -> None:
    request = model.REQUESTS.get(step.type)
    if request is None:
        return
    arguments = step.arguments
    if not isinstance(arguments.value, dict) or is_placeholder(arguments.value):
        arguments.error(f"Arguments is the request for {request.operation}: an object", 'write "Arguments": {…}')
        return
    _check_structure(document, arguments, model.request_shape(step.type), frozenset({request.name}))


def check(document: Document, node: Node, shape: Shape) -> None:
    kind = kind_of(document, node)
    if kind is None:
        return
    if kind not in TAKES[shape.type]:
        _wrong_type(node, kind, shape)
    elif is_placeholder(node.value):
        _check_possible(document, node, shape)
    elif shape.type == "structure":
        _check_structure(document, node, shape)
    elif shape.type == "map":
        _check_map(document, node, shape)
    elif shape.type == "list":
        _check_list(document, node, shape)
    else:
        _report(node, leaf_problem(node.value, shape), "")


def _wrong_type(node: Node, kind: str, shape: Shape) -> None:
    what = quote(node.value) if is_placeholder(node.value) or kind in ("structure", "list") else f"{quote(node.value)}"
    wanted = WORDS[shape.type]
    message = f"{what} is {WORDS.get(kind, kind)} where {wanted} belongs"
    node.error(message, _mend_type(node, kind, shape, wanted))


def _mend_type(node: Node, kind: str, shape: Shape, wanted: str) -> str:
    if kind == "null":
        return "leave the member out"
    if shape.type == "string" and kind in ("integer", "long", "float", "double", "boolean"):
        if is_placeholder(node.value):
            return 'make it text: {"Std:Join": {"On": "", "Values": [the reference]}}'
        return f'write "{str(node.value).lower()}" in quotes'
    if is_placeholder(node.value):
        return f"refer to {wanted}" + (", or declare the parameter as that type" if shape.type in model.SCALARS else "")
    return f"write {wanted}"


def _check_structure(document: Document, node: Node, shape: Shape, filled: frozenset[str] = frozenset()) -> None:
    for key, member in node.members():
        inner = shape.members.get(key)
        if inner is None:
            mend = nearest(key, shape.members, f"remove it; {shape.name} does not know it")
            member.error(f"{shape.name} has no member {quote(key)}", mend)
        else:
            check(document, member, inner)
    for key in sorted(shape.required - filled - node.value.keys()):
        node.error(f"{key} is missing", f"add {key}: {WORDS[shape.members[key].type]} ({shape.name} requires it)")


def _check_map(document: Document, node: Node, shape: Shape) -> None:
    _check_size(node, shape, "entries")
    for key, member in node.members():
        problem = leaf_problem(key, shape.map_key)
        if problem is not None:
            member.error(f"the key {problem[0]}", problem[1])
        check(document, member, shape.item)


def _check_list(document: Document, node: Node, shape: Shape) -> None:
    _check_size(node, shape, "elements")
    for item in node:
        check(document, item, shape.item)


def _check_size(node: Node, shape: Shape, what: str) -> None:
    size = len(node.value)
    if shape.maximum is not None and size > shape.maximum:
        node.error(f"{size} {what}, at most {shape.maximum:g} are allowed", f"remove {size - shape.maximum:g} of them")
    if shape.minimum is not None and size < shape.minimum:
        node.error(f"{size} {what}, at least {shape.minimum:g} needed", "add some, or leave the member out")


def _check_possible(document: Document, node: Node, shape: Shape) -> None:
    """What a parameter can hold, or what a Join always makes, has to fit the place where it stands."""
    if shape.type not in model.SCALARS:
        return
    text = literal_text(node.value)
    if text is not None:
        _report(node, leaf_problem(text, shape), "")
        return
    for value, words in document.possible(node.value):
        if isinstance(value, (str, int, float)):
            as_text = str(value) if shape.type == "string" and not isinstance(value, str) else value
            _report(node, leaf_problem(as_text, shape), words)


def _report(node: Node, problem: tuple[str, str] | None, words: str) -> None:
    if problem is not None:
        node.error(words + problem[0], problem[1])


def leaf_problem(value: Any, shape: Shape) -> tuple[str, str] | None:
    """(what is wrong, mend) for a scalar that has the right type."""
    if isinstance(value, str):
        return _text_problem(value, shape)
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return _number_problem(value, shape)
    return None


def _text_problem(value: str, shape: Shape) -> tuple[str, str] | None:
    if shape.enum and value not in shape.enum:
        return f"{quote(value)} is not one of the {len(shape.enum)} values of {shape.name}", nearest(
            value, shape.enum, "see the API reference of " + shape.name
        )
    if shape.type != "string":
        return None
    if shape.maximum is not None and len(value) > shape.maximum:
        return f"{quote(value)} has {len(value)} characters, at most {shape.maximum:g} are allowed", "shorten it"
    if shape.minimum is not None and len(value) < shape.minimum:
        return f"{quote(value)} has {len(value)} characters, at least {shape.minimum:g} needed", "lengthen it"
    if shape.pattern is not None and len(value) <= limits.PATTERN_TEXT.value and not shape.pattern.fullmatch(value):
        return f"{quote(value)} does not match {shape.source}", f"write it as {shape.name} asks: {shape.source}"
    return None


def _number_problem(value: float, shape: Shape) -> tuple[str, str] | None:
    if isinstance(value, float) and not math.isfinite(value):
        return f"{value} is not a number in JSON", "write a finite number"
    if shape.maximum is not None and value > shape.maximum:
        return f"{quote(value)} is above the maximum of {shape.maximum:g}", f"write at most {shape.maximum:g}"
    if shape.minimum is not None and value < shape.minimum:
        return f"{quote(value)} is below the minimum of {shape.minimum:g}", f"write at least {shape.minimum:g}"
    return None
