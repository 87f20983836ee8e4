"""Events as SageMaker sends them, shortened.

https://docs.aws.amazon.com/sagemaker/latest/dg/automating-sagemaker-with-eventbridge.html
"""

from __future__ import annotations

from typing import Any

PLACE = "us-east-1:111122223333"
GROUP = "darkroom-digits"


def event(kind: str, **detail: Any) -> dict[str, Any]:
    common = {"version": "0", "source": "aws.sagemaker", "region": "us-east-1", "time": "2026-12-01T17:00:14Z"}
    return {**common, "detail-type": kind, "detail": detail}


def package(status: str, updated: list[str] | None = None, group: str = GROUP) -> dict[str, Any]:
    """Of a model package; `updated`: None where the package is new."""
    changed = {} if updated is None else {"UpdatedModelPackageFields": updated}
    return event(
        "SageMaker Model Package State Change",
        ModelPackageGroupName=group,
        ModelPackageVersion=2,
        ModelPackageArn=f"arn:aws:sagemaker:{PLACE}:model-package/{group}/2",
        ModelPackageStatus="Completed",
        ModelApprovalStatus=status,
        **changed,
    )


def execution(status: str, pipeline: str = GROUP) -> dict[str, Any]:
    arn = f"arn:aws:sagemaker:{PLACE}:pipeline/{pipeline}"
    return event(
        "SageMaker Model Building Pipeline Execution Status Change",
        currentPipelineExecutionStatus=status,
        previousPipelineExecutionStatus="Executing",
        pipelineArn=arn,
        pipelineExecutionArn=f"{arn}/execution/p4jn9xou8a8s",
        executionEndTime="2021-03-15T16:10:10Z",
    )


def endpoint(status: str, name: str) -> dict[str, Any]:
    return event("SageMaker Endpoint State Change", EndpointName=name, EndpointStatus=status)
