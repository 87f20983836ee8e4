"""Addresses of pages, and back from them to ARNs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from pipeline.client import Clients
from pipeline.control import executions


def pipeline(name: str) -> str:
    return f"/pipelines/{quote(name, safe='')}"


def execution(arn: str) -> str:
    """Of its page, from its ARN."""
    return f"{pipeline(executions.pipeline_name(arn))}/executions/{quote(executions.identifier(arn), safe='')}"


def step(arn: str, name: str) -> str:
    return f"{execution(arn)}/steps/{quote(name, safe='')}"


def start(pipeline_name: str) -> str:
    return f"{pipeline(pipeline_name)}/start"


def group(name: str) -> str:
    return f"/models/{quote(name, safe='')}"


def model(package: Mapping[str, Any]) -> str:
    """Of a package of a group, from its description or its summary."""
    return f"{group(str(package['ModelPackageGroupName']))}/{package['ModelPackageVersion']}"


def endpoint(name: str) -> str:
    return f"/endpoints/{quote(name, safe='')}"


def events(page: str) -> str:
    """Of the stream that a page follows."""
    return f"{page}/events"


def arn(clients: Clients, pipeline_name: str, identifier: str) -> str:
    """Account and region are those of the pipeline. Raises ServiceError ResourceNotFound for an unknown pipeline."""
    described = clients.sagemaker.describe_pipeline(PipelineName=pipeline_name)
    return f"{described['PipelineArn']}/execution/{identifier}"
