"""An asynchronous endpoint asked about one picture: it answers into S3, where the answer is waited for."""

from __future__ import annotations

import time

from pipeline.errors import EndpointError, ServiceError
from pipeline.request_sizes import LARGEST_ASYNC_BODY

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pipeline.client import Clients

LIMIT_S = 900.0  # an endpoint that has scaled to no instance takes minutes to have one
_LOOK_S = 0.25  # on AWS twenty times as long


def is_asynchronous(clients: Clients, name: str) -> bool:
    return bool(clients.sagemaker.describe_endpoint(EndpointName=name).get("AsyncInferenceConfig"))


def ask(clients: Clients, name: str, body: bytes, limit_s: float = LIMIT_S) -> bytes:
    """Raises EndpointError for a body that is too large or an answer that does not come, ServiceError ModelError with
    what the endpoint wrote where it failed."""
    if len(body) > LARGEST_ASYNC_BODY:
        most = f"an asynchronous endpoint takes {LARGEST_ASYNC_BODY}, and more of them out of S3 alone"
        hint = "darkroom transform, or InvokeEndpointAsync with an InputLocation"
        raise EndpointError(f"{len(body)} bytes; {most}", hint)
    told = clients.runtime.invoke_endpoint_async(
        EndpointName=name, Body=body, ContentType="application/x-image", Accept="application/json"
    )
    answer, failure = told["OutputLocation"], told.get("FailureLocation", "")
    deadline = time.monotonic() + limit_s
    while not clients.storage.exists(answer):
        if failure and clients.storage.exists(failure):
            raise ServiceError("ModelError", clients.storage.get_bytes(failure).decode(errors="replace"))
        if time.monotonic() > deadline:
            raise EndpointError(f"endpoint {name!r} has not answered after {limit_s:.0f} s", f"look for {answer}")
        clients.pause(_LOOK_S)
    return bytes(clients.storage.get_bytes(answer))
