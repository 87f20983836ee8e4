"""Endpoint steps: CreateEndpoint, or UpdateEndpoint where there is one of that name; over when it is in service."""

from __future__ import annotations

from pipeline.errors import ServiceError
from pipeline.local.jobs import SERVICE_FAULT, JobFailed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pipeline.local.jobs import JobContext
    from pipeline.local.operations.endpoints import Endpoints

_LOOK_S = 0.05


async def run(request: dict[str, Any], context: JobContext) -> dict[str, Any]:
    """Its servers end with the run; the endpoint wakes when it is called."""
    from pipeline.local.operations.endpoints import Endpoints

    service = Endpoints(context.store, context.storage)
    request = {"EndpointName": context.job_name, **request}
    try:
        if context.store.find("endpoint", request["EndpointName"]):
            # what CreateEndpoint takes and UpdateEndpoint does not
            arn = service.update_endpoint(**{k: v for k, v in request.items() if k != "Tags"})["EndpointArn"]
        else:
            arn = service.create_endpoint(**request)["EndpointArn"]
    except ServiceError as exc:
        raise JobFailed(f"{exc.code}: {exc.message}", SERVICE_FAULT) from exc
    context.announce({"Endpoint": {"Arn": arn}})
    context.parity(
        "Endpoint", "processes on this machine, gone when idle: InService means seen healthy, wakes on demand"
    )
    described = await _in_service(service, context, request)
    record = context.store.by_arn(arn)
    return {**described, "CreationTime": record.created, "LastModifiedTime": record.modified}


async def _in_service(service: Endpoints, context: JobContext, request: dict[str, Any]) -> dict[str, Any]:
    from pipeline.local import endpoint_record

    while True:
        described = service.describe_endpoint(EndpointName=request["EndpointName"])
        if described["EndpointStatus"] not in endpoint_record.IN_PROGRESS:
            break
        await context.loop.sleep(_LOOK_S)
    if described.get("FailureReason") or described["EndpointConfigName"] != request["EndpointConfigName"]:
        raise JobFailed(described.get("FailureReason", "the deployment was rolled back"))
    return described
