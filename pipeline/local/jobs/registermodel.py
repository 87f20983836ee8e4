"""RegisterModel steps: one more version of a package in its group."""

from __future__ import annotations

from pipeline.errors import ServiceError
from pipeline.local.jobs import SERVICE_FAULT, JobFailed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pipeline.local.jobs import JobContext


async def run(request: dict[str, Any], context: JobContext) -> dict[str, Any]:
    """`request` is CreateModelPackage's. Pipelines makes the group when it is missing."""
    from pipeline.local.operations.registry import Registry

    registry = Registry(context.store, context.storage)
    group = request.get("ModelPackageGroupName")
    try:
        if group and not context.store.find("model-package-group", group):
            _create_group(registry, group)
        arn = registry.create_model_package(**request)["ModelPackageArn"]
    except ServiceError as exc:
        raise JobFailed(f"{exc.code}: {exc.message}", SERVICE_FAULT) from exc
    context.announce({"RegisterModel": {"Arn": arn}})
    return context.store.by_arn(arn).body


def _create_group(registry: Any, group: str) -> None:
    try:
        registry.create_model_package_group(ModelPackageGroupName=group)
    except ServiceError:
        registry.describe_model_package_group(ModelPackageGroupName=group)  # another execution was faster
