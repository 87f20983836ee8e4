"""Compares the local service's answers with botocore's model of them: no unknown member, no required one missing."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from botocore.loaders import Loader

# kind of a record → the member that names it; the operation is Describe<member without Name>
DESCRIBED = {
    "processing-job": "ProcessingJobName",
    "training-job": "TrainingJobName",
    "hyper-parameter-tuning-job": "HyperParameterTuningJobName",
    "transform-job": "TransformJobName",
    "model": "ModelName",
    "endpoint-config": "EndpointConfigName",
    "endpoint": "EndpointName",
    "model-package-group": "ModelPackageGroupName",
    "model-package": "ModelPackageName",
    "pipeline": "PipelineName",
}
# docs/architecture.md: what this machine alone can tell, under one key of its own
OWN = ("DescribePipelineExecution.Darkroom", "ListPipelineExecutionSteps.PipelineExecutionSteps[].Darkroom")


def assert_modelled(client: Any, execution: str) -> None:
    """Everything that an execution left behind, described and listed."""
    problems = set(_of(client, "DescribePipelineExecution", PipelineExecutionArn=execution))
    problems |= set(_of(client, "ListPipelineExecutionSteps", PipelineExecutionArn=execution))
    for kind, member in DESCRIBED.items():
        records = client.store.list(kind)
        assert records, f"nothing of kind {kind} was made"
        for record in records:
            problems |= set(_of(client, f"Describe{member.removesuffix('Name')}", **{member: record.name}))
        problems |= set(_of(client, f"List{member.removesuffix('Name')}s"))
        if kind == "hyper-parameter-tuning-job":
            problems |= set(_of(client, "ListTrainingJobsForHyperParameterTuningJob", **{member: records[0].name}))
    assert sorted(problems - set(OWN)) == []


def _of(client: Any, operation: str, **request: str) -> Iterator[str]:
    method = getattr(client, re.sub(r"(?<!^)(?=[A-Z])", "_", operation).lower())
    shape = MODEL["operations"][operation]["output"]["shape"]
    return _compare(method(**request), shape, operation)


def _compare(value: Any, name: str, path: str) -> Iterator[str]:
    shape = MODEL["shapes"][name]
    match shape["type"], value:
        case "structure", dict():
            yield from (f"{path} lacks {key}" for key in shape.get("required", ()) if key not in value)
            for key, inner in value.items():
                if key in shape["members"]:
                    yield from _compare(inner, shape["members"][key]["shape"], f"{path}.{key}")
                else:
                    yield f"{path}.{key}"
        case "list", list():
            for item in value:
                yield from _compare(item, shape["member"]["shape"], f"{path}[]")
        case "map", dict():
            for item in value.values():
                yield from _compare(item, shape["value"]["shape"], f"{path}{{}}")
        case "timestamp", other if not isinstance(other, datetime):
            yield f"{path} is no datetime"
        case "structure" | "list" | "map", other:
            yield f"{path} is a {type(other).__name__}"


MODEL = Loader().load_service_model("sagemaker", "service-2")
