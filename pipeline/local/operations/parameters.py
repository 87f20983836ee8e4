"""Values of a pipeline's parameters: texts as callers send them, typed as the definition declares them."""

from __future__ import annotations

import json

from pipeline.errors import ServiceError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from pipeline.definition import Definition


def typed(definition: Definition, given: list[dict[str, str]]) -> dict[str, Any]:
    """Every parameter's value, typed. Raises ServiceError ValidationException as StartPipelineExecution does."""
    values = {entry["Name"]: entry["Value"] for entry in given}
    if unknown := sorted(set(values) - set(definition.parameters)):
        raise ServiceError(
            "ValidationException",
            f"Unknown pipeline parameters: {', '.join(unknown)}",
            "StartPipelineExecution",
            f"this pipeline has: {', '.join(definition.parameters) or 'no parameters'}",
        )
    return {name: _typed(parameter, values) for name, parameter in definition.parameters.items()}


def text(value: Any) -> str:
    """As ListPipelineParametersForExecution tells it."""
    return json.dumps(value) if isinstance(value, bool) else str(value)


def _typed(parameter: dict[str, Any], values: dict[str, str]) -> Any:
    name = parameter["Name"]
    if name not in values and "DefaultValue" not in parameter:
        raise ServiceError("ValidationException", f"Pipeline parameter {name!r} has no default and got no value")
    value = values.get(name, parameter.get("DefaultValue"))
    try:
        found = _TYPES[parameter["Type"]](value)
    except (KeyError, TypeError, ValueError) as exc:
        raise ServiceError("ValidationException", f"{name}={value!r} is not of type {parameter['Type']}") from exc
    allowed = parameter.get("EnumValues") or []
    if allowed and str(value) not in [str(item) for item in allowed]:
        message = f"{name}={value!r} is not one of: {', '.join(map(str, allowed))}"
        raise ServiceError("ValidationException", message, "StartPipelineExecution")
    return found


def _integer(value: Any) -> int:
    if isinstance(value, float) and not value.is_integer():
        raise ValueError(value)
    return int(value)


def _boolean(value: Any) -> bool:
    return {"true": True, "false": False}[str(value).lower()]


_TYPES: dict[str, Callable[[Any], Any]] = {"Integer": _integer, "Float": float, "Boolean": _boolean, "String": str}
