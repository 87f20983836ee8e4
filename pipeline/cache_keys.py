"""Step caching: which attributes of a request a hit compares, and for how long a result may be used.

The table is AWS's: https://docs.aws.amazon.com/sagemaker/latest/dg/pipelines-default-keys.html. Everything else
(instance type and count, role, tags, outputs, stopping condition, spot, profiler) is not compared: a changed instance
type is a hit. The local service goes by it, validation and the plan read it.
"""

from __future__ import annotations

import json
import re

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

_TRIALS = (
    "AlgorithmSpecification",
    "HyperParameterRanges",
    "InputDataConfig",
    "StaticHyperParameters",
    "TuningObjective",
)
# step type → attribute → the members of it that are compared (empty: all of it)
ATTRIBUTES: dict[str, dict[str, tuple[str, ...]]] = {
    "Processing": {"AppSpecification": (), "Environment": (), "ProcessingInputs": ()},
    "Training": {
        "AlgorithmSpecification": (),
        "CheckpointConfig": (),
        "DebugHookConfig": (),
        "DebugRuleConfigurations": (),
        "Environment": (),
        "HyperParameters": (),
        "InputDataConfig": (),
    },
    "Tuning": {
        "HyperParameterTuningJobConfig": (),
        "TrainingJobDefinition": _TRIALS,
        "TrainingJobDefinitions": _TRIALS,
    },
    "Transform": {"DataProcessing": (), "Environment": (), "ModelName": (), "TransformInput": ()},
}
_DURATION = re.compile(
    r"P?(?:(\d+)Y)?(?:(\d+)M)?(?:(\d+)W)?(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)S)?)?", re.IGNORECASE
)
_SECONDS = (365 * 86400, 30 * 86400, 7 * 86400, 86400, 3600, 60, 1)


def enabled(step: Mapping[str, Any]) -> bool:
    """Whether this step's definition asks for caching, and its type takes part in it."""
    return bool((step.get("CacheConfig") or {}).get("Enabled")) and step.get("Type") in ATTRIBUTES


def key(step_type: str, request: Mapping[str, Any]) -> str:
    """The compared part of a resolved request, as canonical JSON: equal keys are a hit."""
    return text(compared(step_type, request))


def compared(step_type: str, request: Mapping[str, Any]) -> dict[str, Any]:
    """The same as an object; of a request with placeholders, their compared part with them."""
    parts = {}
    for attribute, members in ATTRIBUTES[step_type].items():
        if attribute in request:
            parts[attribute] = _only(request[attribute], members)
    return parts


def text(parts: Mapping[str, Any]) -> str:
    """Canonical JSON."""
    return json.dumps(parts, sort_keys=True, separators=(",", ":"))


def differences(old: str, new: str) -> list[str]:
    """JSON paths at which two keys differ, sorted: `HyperParameters.lr`, `ProcessingInputs[1].S3Input.S3Uri`."""
    return paths(json.loads(old), json.loads(new))


def paths(old: Any, new: Any) -> list[str]:
    """The same of two objects. What is equal to everything differs nowhere."""
    return sorted(set(_differ(old, new, "")))


def expiry_seconds(expire_after: str) -> float:
    """'P30D', 'PT1H', '30d' → seconds; '' never expires. Months are 30 days, years 365. Raises ValueError."""
    if not expire_after:
        return float("inf")
    match = _DURATION.fullmatch(expire_after)
    if match is None or not any(match.groups()):
        raise ValueError(f"{expire_after!r} is not an ISO 8601 duration such as P30D or PT12H")
    return float(sum(int(count or 0) * seconds for count, seconds in zip(match.groups(), _SECONDS, strict=True)))


def _only(value: Any, members: tuple[str, ...]) -> Any:
    if not members:
        return value
    if isinstance(value, list):
        return [_only(item, members) for item in value]
    return {name: value[name] for name in members if name in value}


def _differ(old: Any, new: Any, path: str) -> Iterator[str]:
    if isinstance(old, dict) and isinstance(new, dict):
        for name in old.keys() | new.keys():
            where = f"{path}.{name}" if path else name
            if name not in old or name not in new:
                yield where
            else:
                yield from _differ(old[name], new[name], where)
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for index, (one, other) in enumerate(zip(old, new, strict=True)):
            yield from _differ(one, other, f"{path}[{index}]")
    elif old != new:
        yield path
