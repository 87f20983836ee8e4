"""EndpointConfig steps: CreateEndpointConfig."""

from __future__ import annotations

from pipeline.errors import ServiceError
from pipeline.local.jobs import SERVICE_FAULT, JobFailed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pipeline.local.jobs import JobContext


async def run(request: dict[str, Any], context: JobContext) -> dict[str, Any]:
    """`request` is CreateEndpointConfig's; without a name it gets the job's."""
    from pipeline.local.operations.endpoints import Endpoints

    service = Endpoints(context.store, context.storage)
    try:
        arn = service.create_endpoint_config(**{"EndpointConfigName": context.job_name, **request})["EndpointConfigArn"]
    except ServiceError as exc:
        raise JobFailed(f"{exc.code}: {exc.message}", SERVICE_FAULT) from exc
    context.announce({"EndpointConfig": {"Arn": arn}})
    record = context.store.by_arn(arn)
    return {**record.body, "CreationTime": record.created, "EndpointConfigArn": arn}
