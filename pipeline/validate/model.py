"""botocore's own model of the SageMaker API, as small typed shapes: members, enums, patterns, minima and maxima."""

from __future__ import annotations

import functools
import re
from typing import Any, NamedTuple

SCALARS = frozenset({"string", "integer", "long", "float", "double", "boolean", "timestamp", "blob"})

# The model's patterns are Java's. Unicode classes become a superset: all above ASCII passes for a letter or a sign.
UNICODE_CLASSES = {
    r"\p{L}": r"a-zA-Z\u00aa-\U0010ffff",
    r"\p{N}": r"0-9\u00b2-\U0010ffff",
    r"\p{Z}": r" \u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000",
    r"\p{M}": r"\u0300-\U0010ffff",
    r"\p{P}": r"!-/:-@\[-`{-~\u00a1-\U0010ffff",
    r"\p{S}": r"$+<=>^`|~\u00a2-\U0010ffff",
    r"\p{Alnum}": r"a-zA-Z0-9",
}
QUANTIFIED_END = re.compile(
    r"\$\{\d+,\d+\}$"
)  # "([…]*)${1,256}" is in the model; Java reads it as "the end, at least once"


class Request(NamedTuple):
    """Which operation a step type's Arguments are for; `name` is the member that the service fills itself."""

    operation: str
    name: str
    describes: tuple[str, ...]


REQUESTS: dict[str, Request] = {
    "Processing": Request("CreateProcessingJob", "ProcessingJobName", ("DescribeProcessingJob",)),
    "Training": Request("CreateTrainingJob", "TrainingJobName", ("DescribeTrainingJob",)),
    "Tuning": Request(
        "CreateHyperParameterTuningJob",
        "HyperParameterTuningJobName",
        ("DescribeHyperParameterTuningJob", "ListTrainingJobsForHyperParameterTuningJob"),
    ),
    "Transform": Request("CreateTransformJob", "TransformJobName", ("DescribeTransformJob",)),
    "Model": Request("CreateModel", "ModelName", ("DescribeModel",)),
    "RegisterModel": Request("CreateModelPackage", "ModelPackageName", ("DescribeModelPackage",)),
    "EndpointConfig": Request("CreateEndpointConfig", "EndpointConfigName", ("DescribeEndpointConfig",)),
    "Endpoint": Request("CreateEndpoint", "", ("DescribeEndpoint",)),
}


class Shape:
    """One shape. Neighbours are looked up when first asked for: the model is cyclic, and most of it is never needed."""

    def __init__(self, name: str, raw: dict[str, Any]) -> None:
        self.name = name
        self.type: str = raw["type"]
        self.required: frozenset[str] = frozenset(raw.get("required", ()))
        self.enum: frozenset[str] = frozenset(raw.get("enum", ()))
        self.minimum: float | None = raw.get("min")
        self.maximum: float | None = raw.get("max")
        self.source: str = raw.get("pattern", "")
        self._raw = raw

    @functools.cached_property
    def pattern(self) -> re.Pattern[str] | None:
        """None where the model has none, or one that says nothing, or one that Python cannot read."""
        return _pattern(self.source) if self.source not in ("", ".*") else None

    @functools.cached_property
    def members(self) -> dict[str, Shape]:
        return {key: _shape(member["shape"]) for key, member in self._raw.get("members", {}).items()}

    @functools.cached_property
    def item(self) -> Shape:
        """What a list holds, or the values of a map."""
        return _shape(self._raw["member" if self.type == "list" else "value"]["shape"])

    @functools.cached_property
    def map_key(self) -> Shape:
        return _shape(self._raw["key"]["shape"])


def request_shape(step_type: str) -> Shape:
    return _shape(_model()["operations"][REQUESTS[step_type].operation]["input"]["shape"])


def response_members(step_type: str) -> dict[str, Shape]:
    """What `Steps.X.…` may name for a step of that type: the members of its Describe responses."""
    operations = _model()["operations"]
    members: dict[str, Shape] = {}
    for operation in REQUESTS[step_type].describes:
        members.update(_shape(operations[operation]["output"]["shape"]).members)
    return members


@functools.cache
def _model() -> dict[str, Any]:
    from botocore.loaders import Loader

    model: dict[str, Any] = Loader().load_service_model("sagemaker", "service-2")
    return model


@functools.cache
def _shape(name: str) -> Shape:
    return Shape(name, _model()["shapes"][name])


@functools.cache
def _pattern(source: str) -> re.Pattern[str] | None:
    text = QUANTIFIED_END.sub("", source)
    for java, python in UNICODE_CLASSES.items():
        text = text.replace(java, python)
    try:
        return re.compile(text, re.ASCII)
    except re.error:
        return None  # surrogate pairs written as two escapes (AthenaCatalog): nothing that a pipeline step needs
