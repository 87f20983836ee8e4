"""Model steps: CreateModel under a name of the execution's own."""

from __future__ import annotations

from pipeline.errors import ServiceError
from pipeline.local.jobs import SERVICE_FAULT, JobFailed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pipeline.local.jobs import JobContext


async def run(request: dict[str, Any], context: JobContext) -> dict[str, Any]:
    """`request` is CreateModel's; whatever name it asks for, Pipelines makes its own."""
    from pipeline.local.operations.endpoints import Endpoints

    service = Endpoints(context.store, context.storage)
    try:
        arn = service.create_model(**{**request, "ModelName": context.job_name})["ModelArn"]
    except ServiceError as exc:
        raise JobFailed(f"{exc.code}: {exc.message}", SERVICE_FAULT) from exc
    context.announce({"Model": {"Arn": arn}})
    record = context.store.by_arn(arn)
    return {"EnableNetworkIsolation": False, **record.body, "CreationTime": record.created, "ModelArn": arn}
