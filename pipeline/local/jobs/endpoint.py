"""Endpoint steps: CreateEndpoint, or UpdateEndpoint where there is one of that name; over when it is in service."""

from __future__ import annotations

from pipeline.errors import ServiceError
from pipeline.local.jobs import SERVICE_FAULT, JobFailed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pipeline.local.jobs import JobContext

_LOOK_S = 0.05
_MOST_SUPERVISORS = 3  # that end before their time


async def run(request: dict[str, Any], context: JobContext) -> dict[str, Any]:
    """Its servers end with the run; the endpoint wakes when it is called."""
    from pipeline.local.operations.endpoints import Endpoints

    service = Endpoints(context.store, context.storage)
    service.wakes = False
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
    await _settle(context, request["EndpointName"])
    described = service.describe_endpoint(EndpointName=request["EndpointName"])
    if described.get("FailureReason") or described["EndpointConfigName"] != request["EndpointConfigName"]:
        raise JobFailed(described.get("FailureReason", "the deployment was rolled back"))
    record = context.store.by_arn(arn)
    return {**described, "CreationTime": record.created, "LastModifiedTime": record.modified}


async def _settle(context: JobContext, name: str) -> None:
    """Until nothing is under way with the endpoint any more. Its supervisor is a child of this run, if it has none."""
    from pipeline.local import endpoint, endpoint_record

    for _ in range(_MOST_SUPERVISORS):
        if not endpoint.is_looked_after(context.store, name):
            process = context.isolation.launch(endpoint.supervisor(context.store, name, context.work))
            await context.loop.exit_of(process.pid)  # it has gone on as a child of its own
        while endpoint.is_looked_after(context.store, name):
            if context.store.get("endpoint", name).status not in endpoint_record.IN_PROGRESS:
                return
            await context.loop.sleep(_LOOK_S)
        if context.store.get("endpoint", name).status not in endpoint_record.IN_PROGRESS:
            return
    raise JobFailed(f"the supervisor of endpoint {name!r} does not stay", SERVICE_FAULT)
