"""A request over HTTP against botocore's model of its operation, in the words of AWS's own validation.

Types that cannot be converted are a SerializationException, as the service's parser finds them first; everything else
(missing, too long, out of range, no such value, no match) comes together in one ValidationException. Two things differ
from AWS, which docs/local.md tells: members that the model does not know are refused, where AWS passes over them, and
very long texts are not matched against patterns.
"""

from __future__ import annotations

import math

from pipeline import api_model
from pipeline.errors import ServiceError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from pipeline.api_model import Shape

_DEEPEST = 100  # requests nest about 15 deep
_LONGEST_MATCHED = 4096  # characters; longer texts are not matched: a pattern may take its time
_LONGEST_SHOWN = 256
_BITS = {"integer": 31, "long": 63}
_TAKES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "blob": (str, bytes),
    "boolean": (bool,),
    "integer": (int, float),
    "long": (int, float),
    "float": (int, float),
    "double": (int, float),
    "timestamp": (int, float),
    "structure": (dict,),
    "map": (dict,),
    "list": (list,),
}
_NAMES = {"structure": "structure or map", "map": "structure or map", "list": "list"}


def checked(service: str, operation: str, body: dict[str, Any]) -> dict[str, Any]:
    """The request without members that are null. Raises ServiceError SerializationException or ValidationException."""
    shape = api_model.request(service, operation)
    if shape is None:
        return {}
    value: dict[str, Any] = _typed(operation, shape, body, 0)
    problems = list(_problems(shape, value, ""))
    if problems:
        count = f"{len(problems)} validation error{'s' if len(problems) > 1 else ''} detected: "
        raise ServiceError("ValidationException", count + "; ".join(problems), operation)
    return value


def _typed(operation: str, shape: Shape, value: Any, depth: int) -> Any:
    """The value in the model's types; members that are null count as left out, members not in the model stay."""
    if depth > _DEEPEST:
        raise ServiceError("SerializationException", f"the request nests more than {_DEEPEST} deep", operation)
    if not _fits(shape, value):
        raise ServiceError("SerializationException", _conversion(value, shape), operation)
    match shape.type:
        case "structure":
            given = {key: member for key, member in value.items() if member is not None}
            known = shape.members
            return {k: _typed(operation, known[k], v, depth + 1) if k in known else v for k, v in given.items()}
        case "map":
            return {k: _typed(operation, shape.item, v, depth + 1) for k, v in value.items() if v is not None}
        case "list":
            return [item if item is None else _typed(operation, shape.item, item, depth + 1) for item in value]
        case "string":
            return _text(operation, value)
        case "integer" | "long":
            return _whole(operation, shape, value)
        case "float" | "double" | "timestamp":
            return _number(operation, shape, value)
    return value


def _number(operation: str, shape: Shape, value: Any) -> float:
    """Also of integers that no float holds."""
    if (isinstance(value, int) and abs(value) >> 1023) or not math.isfinite(value):
        raise ServiceError("SerializationException", _conversion(value, shape), operation)
    return float(value)


def _fits(shape: Shape, value: Any) -> bool:
    """In Python True is a number; in JSON it is none."""
    return isinstance(value, _TAKES[shape.type]) and (shape.type == "boolean" or not isinstance(value, bool))


def _text(operation: str, value: str) -> str:
    """Half a character (an escaped surrogate alone) can be written nowhere."""
    try:
        value.encode()
    except UnicodeEncodeError as exc:
        raise ServiceError("SerializationException", f"no Unicode text: {exc.reason}", operation) from exc
    return value


def _whole(operation: str, shape: Shape, value: Any) -> int:
    if isinstance(value, float) and not (math.isfinite(value) and value.is_integer()):
        raise ServiceError("SerializationException", _conversion(value, shape), operation)
    if not -(1 << _BITS[shape.type]) <= value < 1 << _BITS[shape.type]:
        raise ServiceError("SerializationException", _conversion(value, shape), operation)
    return int(value)


def _conversion(value: Any, shape: Shape) -> str:
    if isinstance(value, dict | list):
        kind = "structure or map" if isinstance(value, dict) else "list"
        return f"Start of {kind} found where not expected."
    if shape.type in _NAMES:
        return f"Expected {_NAMES[shape.type]} or null"
    kind = {bool: f"{str(value).upper()}_VALUE", str: "STRING_VALUE", type(None): "NULL_VALUE"}.get(
        type(value), "NUMBER_VALUE"
    )
    return f"{kind} can not be converted to {shape.type.capitalize()}"


def _problems(shape: Shape, value: Any, path: str) -> Iterator[str]:
    match shape.type:
        case "structure":
            yield from _of_structure(shape, value, path)
        case "map":
            yield from _of_size(shape, len(value), value, path)
            for key, member in value.items():
                yield from _problems(shape.map_key, key, f"{path}.{key}.key")
                yield from _problems(shape.item, member, f"{path}.{key}.value")
        case "list":
            yield from _of_size(shape, len(value), value, path)
            for number, item in enumerate(value, 1):
                inner = f"{path}.{number}.member"
                yield from [_said(None, inner, "not be null")] if item is None else _problems(shape.item, item, inner)
        case "string":
            yield from _of_text(shape, value, path)
        case "integer" | "long" | "float" | "double":
            if shape.minimum is not None and value < shape.minimum:
                yield _said(value, path, f"have value greater than or equal to {shape.minimum:g}")
            if shape.maximum is not None and value > shape.maximum:
                yield _said(value, path, f"have value less than or equal to {shape.maximum:g}")


def _of_structure(shape: Shape, value: dict[str, Any], path: str) -> Iterator[str]:
    for key in sorted(shape.required - value.keys()):
        yield _said(None, _member(path, key), "not be null")
    for key, member in value.items():
        if key in shape.members:
            yield from _problems(shape.members[key], member, _member(path, key))
        else:
            where = f" of {path}" if path else ""
            yield f'Unknown parameter "{_short(key)}"{where}, must be one of: {", ".join(shape.members)}'


def _of_size(shape: Shape, size: int, value: Any, path: str) -> Iterator[str]:
    if shape.minimum is not None and size < shape.minimum:
        yield _said(value, path, f"have length greater than or equal to {shape.minimum:g}")
    if shape.maximum is not None and size > shape.maximum:
        yield _said(value, path, f"have length less than or equal to {shape.maximum:g}")


def _of_text(shape: Shape, value: str, path: str) -> Iterator[str]:
    yield from _of_size(shape, len(value), value, path)
    if shape.enum and value not in shape.enum:
        yield _said(value, path, f"satisfy enum value set: [{', '.join(sorted(shape.enum))}]")
    if len(value) <= _LONGEST_MATCHED and shape.pattern is not None and not shape.pattern.fullmatch(value):
        yield _said(value, path, f"satisfy regular expression pattern: {shape.source}")


def _member(path: str, name: str) -> str:
    """As the service spells it: `tags.1.member.key`."""
    lower = name[:1].lower() + name[1:]
    return f"{path}.{lower}" if path else lower


def _said(value: Any, path: str, constraint: str) -> str:
    shown = "null" if value is None else f"'{_short(str(value))}'"
    return f"Value {shown} at '{path}' failed to satisfy constraint: Member must {constraint}"


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}…"
