"""The S3 addresses that a definition's steps read and write, as IAM's patterns: what differs between runs is `*`."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any, NamedTuple

from pipeline.definition import Definition, Step, parse_get
from pipeline.errors import DefinitionError

ANY = "*"
S3 = "s3://"


class Access(NamedTuple):
    """`pattern`: bucket and key, `*` where a run decides; the key is the beginning of those that are meant."""

    step: str
    use: str
    pattern: str


READ, WRITE, KEEP, TENSORS = "read", "write", "keep", "tensors"
_DATA = (
    ("InputDataConfig.*.DataSource.S3DataSource.S3Uri", READ),
    ("OutputDataConfig.S3OutputPath", WRITE),
    ("CheckpointConfig.S3Uri", KEEP),
)
_DEBUGGER = (
    ("DebugHookConfig.S3OutputPath", TENSORS),
    ("ProfilerConfig.S3OutputPath", TENSORS),
)
# step type → where its request has addresses, and what happens there
PLACES: dict[str, tuple[tuple[str, str], ...]] = {
    "Processing": (
        ("ProcessingInputs.*.S3Input.S3Uri", READ),
        ("ProcessingOutputConfig.Outputs.*.S3Output.S3Uri", WRITE),
    ),
    "Training": (*_DATA, *_DEBUGGER),
    "Tuning": tuple((f"TrainingJobDefinition.{path}", use) for path, use in _DATA),
    "RegisterModel": (("InferenceSpecification.Containers.*.ModelDataUrl", READ), ("ModelMetrics.*.*.S3Uri", READ)),
    **dict.fromkeys(("Lambda", "Condition", "Fail"), ()),
}


def accesses(definition: Definition) -> list[Access]:
    """Raises DefinitionError for a step type without a row, and for an address whose bucket only a run knows."""
    found = [access for step in definition.steps.values() for access in _of_step(definition, step)]
    return list(dict.fromkeys(found))


def _of_step(definition: Definition, step: Step) -> Iterator[Access]:
    if step.type not in PLACES:
        known = ", ".join(PLACES)
        raise DefinitionError(f"{step.name}: no policy is known for steps of type {step.type}", f"known are {known}")
    for path, use in PLACES[step.type]:
        for value in at(step.arguments, path):
            for pattern in patterns(definition, value):
                yield Access(step.name, use, _bucket_and_key(step.name, path, pattern))


def at(value: Any, path: str) -> Iterator[Any]:
    """Everything at a dotted path, where `*` stands for all members of a list or an object."""
    name, _, rest = path.partition(".")
    if isinstance(value, dict):
        inner = list(value.values()) if name == ANY else [value[name]] if name in value else []
    else:
        inner = value if isinstance(value, list) and name == ANY else []
    for each in inner:
        if rest:
            yield from at(each, rest)
        else:
            yield each


def patterns(definition: Definition, value: Any) -> list[str]:
    """Every text that a member of a request can be; `*` for what only a run knows."""
    match value:
        case {"Std:Join": {"On": str(on), "Values": list(values)}}:
            parts = [patterns(definition, each) for each in values]
            return [escaped(on).join(combination) for combination in product(*parts)]
        case {"Get": str(expression)}:
            return _referenced(definition, expression)
        case dict() | list():
            return [ANY]
        case _:
            return [escaped(str(value))]


def escaped(text: str) -> str:
    """IAM's own characters as themselves: a file may be called `a*b`."""
    return "".join(f"${{{letter}}}" if letter in "*?$" else letter for letter in text)


def _referenced(definition: Definition, expression: str) -> list[str]:
    target = parse_get(expression)
    if target.root == "Parameters":
        parameter = definition.parameters.get(target.name, {})
        values = [
            *([parameter["DefaultValue"]] if "DefaultValue" in parameter else []),
            *parameter.get("EnumValues", ()),
        ]
        return list(dict.fromkeys(escaped(str(each)) for each in values)) or [ANY]
    step = definition.steps.get(target.name) if target.root == "Steps" else None
    if step is None:
        return [ANY]
    match target.tail:
        case ("ProcessingOutputConfig", "Outputs", str(name), "S3Output", "S3Uri"):
            outputs = [each for each in at(step.arguments, "ProcessingOutputConfig.Outputs.*")]
            return [
                each for output in outputs if output.get("OutputName") == name for each in _output(definition, output)
            ]
        case ("ModelArtifacts", "S3ModelArtifacts"):
            return _written(definition, step)
        case ("OutputParameters", _) if step.type == "Lambda":
            return _from_function(definition, step)
    return [ANY]


def _output(definition: Definition, output: dict[str, Any]) -> list[str]:
    return [each for value in at(output, "S3Output.S3Uri") for each in patterns(definition, value)]


def _written(definition: Definition, step: Step) -> list[str]:
    return [
        each for value in at(step.arguments, "OutputDataConfig.S3OutputPath") for each in patterns(definition, value)
    ]


def _from_function(definition: Definition, step: Step) -> list[str]:
    """A function answers with an address that it was given, or with a model that this pipeline trained."""
    given = [each for value in step.arguments.values() for each in patterns(definition, value) if each.startswith(S3)]
    trained = [
        each for other in definition.steps.values() if other.type == "Training" for each in _written(definition, other)
    ]
    return [*given, *trained] or [ANY]


def _bucket_and_key(step: str, path: str, pattern: str) -> str:
    bucket, _, key = pattern.removeprefix(S3).partition("/")
    if not pattern.startswith(S3) or not bucket or not key or ANY in bucket or key.startswith(ANY):
        raise DefinitionError(
            f"{step}: {path}: where it points is known in a run alone: {pattern!r}",
            "a policy has to name bucket and folder: give the parameter behind it a default below s3://",
        )
    return f"{bucket}/{key}" if key.endswith(ANY) else f"{bucket}/{key}{ANY}"
