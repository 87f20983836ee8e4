"""How many machines of which kind run at the same time, by the parameters in use: what quotas have to allow."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pipeline.definition import Definition, Step
from pipeline.preflight.setting import Setting

PROCESSING, TRAINING, SPOT, ENDPOINT = "processing job", "training job", "spot training job", "endpoint"


@dataclass(frozen=True)
class Use:
    """What one step takes while it runs; `parallel`: trials at once, 0 for what is no tuning."""

    step: str
    kind: str
    machine: str
    count: int
    parallel: int


@dataclass(frozen=True)
class Need:
    """`steps` run at the same time."""

    kind: str
    machine: str
    count: int
    steps: tuple[str, ...]


def uses(setting: Setting) -> list[Use]:
    found = [_of_step(step, setting.values) for step in setting.definition.steps.values()]
    return [use for use in found if use is not None]


def needs(setting: Setting) -> Iterator[Need]:
    """The most of each kind and machine; with machine "" the most of each kind on all machines together."""
    found = uses(setting)
    together = [replace(use, machine="") for use in found]
    groups: dict[tuple[str, str], list[Use]] = {}
    for use in (*found, *together):
        groups.setdefault((use.kind, use.machine), []).append(use)
    for (kind, machine), several in groups.items():
        most = _most(several, setting.definition)
        yield Need(kind, machine, sum(use.count for use in most), tuple(use.step for use in most))


def _of_step(step: Step, values: Mapping[str, Any]) -> Use | None:
    request = filled(step.arguments, values)
    match step.type:
        case "Processing":
            cluster = request["ProcessingResources"]["ClusterConfig"]
            return Use(step.name, PROCESSING, cluster["InstanceType"], cluster["InstanceCount"], 0)
        case "Training":
            return _training(step.name, request, 0)
        case "Tuning":
            limits = request["HyperParameterTuningJobConfig"]["ResourceLimits"]
            return _training(step.name, request["TrainingJobDefinition"], limits["MaxParallelTrainingJobs"])
        case _:
            return None


def _training(step: str, request: Mapping[str, Any], parallel: int) -> Use:
    resources = request["ResourceConfig"]
    kind = SPOT if request.get("EnableManagedSpotTraining") else TRAINING
    return Use(step, kind, resources["InstanceType"], resources["InstanceCount"] * max(1, parallel), parallel)


def filled(value: Any, values: Mapping[str, Any]) -> Any:
    """With parameters in their places; what refers to steps stays as it is."""
    if isinstance(value, list):
        return [filled(each, values) for each in value]
    if not isinstance(value, dict):
        return value
    name = str(value.get("Get", "")).removeprefix("Parameters.")
    if len(value) == 1 and name in values:
        return values[name]
    return {key: filled(each, values) for key, each in value.items()}


def _most(found: Sequence[Use], definition: Definition) -> list[Use]:
    """Those that need most together, none of which waits for another of them. Few steps share a kind of machine."""
    if not found:
        return []
    first, *rest = found
    beside = [use for use in rest if not _wait(definition, first.step, use.step)]
    with_first, without = [first, *_most(beside, definition)], _most(rest, definition)
    return max(with_first, without, key=lambda several: sum(use.count for use in several))


def _wait(definition: Definition, one: str, other: str) -> bool:
    return one in _before(definition, other) or other in _before(definition, one)


def _before(definition: Definition, step: str) -> set[str]:
    found: set[str] = set()
    waiting = [step]
    while waiting:
        new = definition.dependencies(waiting.pop()) - found
        found |= new
        waiting += new
    return found
