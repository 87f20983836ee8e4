"""Values of parameters, checked where the definition uses them: the service answers bad bounds with an opaque text."""

from __future__ import annotations

import json

from pipeline import verdict
from pipeline.errors import ConfigError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any


def check(text: str, given: Mapping[str, str], home: str) -> None:
    """`given`: names and types are checked already. Raises ConfigError with all that the definition cannot take."""
    if not given:
        return
    document = json.loads(text)
    for parameter in document.get("Parameters", ()):
        if parameter["Name"] in given:
            parameter["DefaultValue"] = _typed(parameter["Type"], given[parameter["Name"]])
    known = {str(finding) for finding in _errors(text, home)}
    problems = [str(found) for found in _errors(json.dumps(document), home) if str(found) not in known]
    if problems:
        raise ConfigError("--set", problems, f"with {' '.join(f'{name}={value}' for name, value in given.items())}")


def _errors(text: str, home: str) -> list[Any]:
    return [finding for finding in verdict.check(text, home) if finding.severity == "error"]


def _typed(kind: str, value: str) -> Any:
    match kind:
        case "Integer":
            return int(value)
        case "Float":
            return float(value)
        case "Boolean":
            return value.lower() == "true"
        case _:
            return value
