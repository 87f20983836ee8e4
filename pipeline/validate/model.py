"""What a step's Arguments are the request for, and what such a step has to refer to, by botocore's own model."""

from __future__ import annotations

from typing import NamedTuple

from pipeline import api_model
from pipeline.api_model import SCALARS, Shape

__all__ = ["REQUESTS", "SCALARS", "Request", "Shape", "request_shape", "response_members"]
SERVICE = "sagemaker"


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


def request_shape(step_type: str) -> Shape:
    shape = api_model.request(SERVICE, REQUESTS[step_type].operation)
    assert shape is not None
    return shape


def response_members(step_type: str) -> dict[str, Shape]:
    """What `Steps.X.…` may name for a step of that type: the members of its Describe responses."""
    members: dict[str, Shape] = {}
    for operation in REQUESTS[step_type].describes:
        shape = api_model.response(SERVICE, operation)
        members.update(shape.members if shape else {})
    return members
