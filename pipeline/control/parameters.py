"""Values for a pipeline's parameters, checked before anything starts: names, types, enums; all problems at once."""

from __future__ import annotations

import re

from pipeline.definition import Definition
from pipeline.errors import ConfigError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import Any

BOOLEANS = ("true", "false")
LONGEST = 1024  # characters that StartPipelineExecution takes of a value
_INTEGER = range(-(2**31), 2**31)  # every Integer in SageMaker's API model is one of 32 bits


def parse(assignments: Sequence[str]) -> dict[str, str]:
    """['Name=value', …] → {'Name': 'value'}. Raises ConfigError for one without `=`, or a name that is given twice."""
    values: dict[str, str] = {}
    problems = []
    for assignment in assignments:
        name, equals, value = assignment.partition("=")
        if not equals or not name:
            problems.append(f"{assignment!r} is not of the form Parameter=value")
        elif name in values:
            problems.append(f"{name} is given twice: {values[name]!r} and {value!r}")
        values[name] = value
    if problems:
        raise ConfigError("--set", problems, "write it as --set AccuracyThreshold=0.9")
    return values


def text(value: Any, kind: str = "") -> str:
    """A default as StartPipelineExecution takes values; empty for None. Of a Boolean one spelling: Python writes True,
    the SageMaker SDK sends it so, and definitions have true.
    """
    written = "" if value is None else str(value)
    boolean = isinstance(value, bool) or kind == "Boolean"
    return written.lower() if boolean and written.lower() in BOOLEANS else written


def told(declared: Mapping[str, Mapping[str, Any]], given: Mapping[str, str]) -> list[tuple[str, str, str]]:
    """(name, value, default if it is another one) of every parameter."""
    rows = []
    for name, body in declared.items():
        kind = str(body.get("Type", ""))
        default = text(body.get("DefaultValue"), kind)
        value = text(given.get(name, default), kind)
        rows.append((name, value, default if value != default else ""))
    return rows


def meanings(about: str, names: Iterable[str]) -> dict[str, str]:
    """Out of a pipeline's description, as darkroom writes it: '… Parameters: Epochs: epochs of each trial; Rate: …'.

    Empty for a pipeline of somebody else, and for parameters that it does not explain.
    """
    known = "|".join(re.escape(name) for name in names)
    found = list(re.finditer(rf"(?:\bParameters: |; )({known}): ", about)) if known else []
    ends = [*(each.start() for each in found), len(about.removesuffix("."))][1:]
    return {each[1]: about[each.end() : end] for each, end in zip(found, ends, strict=True)}


def declared(definition: str) -> dict[str, dict[str, Any]]:
    """By name. Raises DefinitionError."""
    return Definition.parse(definition).parameters


def check(declared: Mapping[str, Mapping[str, Any]], given: Mapping[str, str]) -> list[dict[str, str]]:
    """`given` as StartPipelineExecution takes it. Raises ConfigError with everything that is wrong."""
    problems = [problem for name, value in given.items() for problem in _problems(declared, name, value)]
    if problems:
        known = ", ".join(f"{name} ({body['Type']})" for name, body in declared.items()) or "none"
        raise ConfigError("--set", problems, f"parameters of this pipeline: {known}")
    return [{"Name": name, "Value": value} for name, value in given.items()]


def _problems(declared: Mapping[str, Mapping[str, Any]], name: str, value: str) -> Iterable[str]:
    if name not in declared:
        yield f"there is no parameter {name!r}{nearest(name, declared)}"
        return
    parameter = declared[name]
    if len(value) > LONGEST:
        yield f"{name} has {len(value)} characters; SageMaker takes {LONGEST}"
        return
    if not _is_a(parameter["Type"], value):
        yield f"{name} is of type {parameter['Type']}: {value!r} is not{_example(parameter['Type'])}"
        return
    allowed = [text(item) for item in parameter.get("EnumValues") or ()]
    if allowed and text(value, parameter["Type"]) not in allowed:
        yield f"{name} cannot be {value!r}{nearest(value, allowed)}; allowed: {', '.join(allowed)}"


def _is_a(kind: str, value: str) -> bool:
    match kind:
        case "Integer":
            digits = value.removeprefix("-")
            return digits.isascii() and digits.isdigit() and int(value) in _INTEGER
        case "Float":
            return _is_finite(value)
        case "Boolean":
            return value.lower() in BOOLEANS
        case _:
            return True


def _is_finite(value: str) -> bool:
    if not value.isascii() or "_" in value or value != value.strip():
        return False  # Python's own liberties
    try:
        number = float(value)
    except ValueError:
        return False
    return number - number == 0  # not nan, not inf


def _example(kind: str) -> str:
    return {"Integer": " (write 3)", "Float": " (write 0.9)", "Boolean": " (write true or false)"}.get(kind, "")


def nearest(word: str, words: Iterable[str]) -> str:
    """'; did you mean X?' or an empty string."""
    from difflib import get_close_matches

    by_lower = {other.lower(): other for other in words}
    found = get_close_matches(word.lower(), by_lower, n=1)
    return f"; did you mean {by_lower[found[0]]!r}?" if found else ""
