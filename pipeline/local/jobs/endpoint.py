"""Endpoint steps: CreateEndpoint, or UpdateEndpoint where there is one of that name."""

from __future__ import annotations

from pipeline.errors import ServiceError
from pipeline.local.jobs import SERVICE_FAULT, JobFailed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pipeline.local.jobs import JobContext


async def run(request: dict[str, Any], context: JobContext) -> dict[str, Any]:
    """The record is InService at once; a server starts with the first invocation, so that none outlives the run."""
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
    context.parity("Endpoint", "a record: its server starts on this machine with the first invocation")
    record = context.store.by_arn(arn)
    described = service.describe_endpoint(EndpointName=record.name)
    return {**described, "CreationTime": record.created, "LastModifiedTime": record.modified}
