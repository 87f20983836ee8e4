"""InvokeEndpointAsync: a request is taken, and its answer will be in S3."""

from __future__ import annotations

from pipeline.errors import ServiceError
from pipeline.local.operations.answers import Operations, pick
from pipeline.local.operations.endpoints import invoked
from pipeline.local.operations.requests import check
from pipeline.request_sizes import LARGEST_ASYNC_BODY

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

OPERATION = "InvokeEndpointAsync"
_SECONDS = {"RequestTTLSeconds": 21_600, "InvocationTimeoutSeconds": 900}  # the defaults
_KEPT = ("EndpointName", "ContentType", "Accept", "CustomAttributes", "InputLocation")


class Asynchronous(Operations):
    def invoke_endpoint_async(self, **request: Any) -> dict[str, Any]:
        """202: the request is kept, and a process of its own asks the endpoint (pipeline/local/async_host.py)."""
        from uuid import uuid4

        from pipeline.local import async_host, async_requests

        check(OPERATION, request)
        name = request["EndpointName"]
        config = invoked(self.store, name, OPERATION).body.get("AsyncInferenceConfig")
        if not config:
            raise _refused(f"Endpoint {name} is not asynchronous: ask it by InvokeEndpoint.")
        identifier = str(uuid4())
        asked: dict[str, Any] = {
            **pick(request, *_KEPT),
            **_given(request),
            **{member: request.get(member, seconds) for member, seconds in _SECONDS.items()},
            "InferenceId": request.get("InferenceId") or identifier,
        }
        places = _places(config["OutputConfig"], request, identifier)
        async_requests.put(self.store, name, identifier, {**asked, **places})
        async_host.wake(self.store, name)
        return {"InferenceId": asked["InferenceId"], **places}


def _given(request: Mapping[str, Any]) -> dict[str, str]:
    """What is to be asked, where it does not lie in S3: a text, as the store keeps it."""
    import base64

    body = request.get("Body") or b""
    if bool(body) == ("InputLocation" in request):
        raise _refused("Give either InputLocation or Body.")
    if not str(request.get("InputLocation", "s3://")).startswith("s3://"):
        raise _refused(f"InputLocation {request['InputLocation']!r} is no s3:// address.")
    body = body.encode() if isinstance(body, str) else bytes(body.read() if hasattr(body, "read") else body)
    if len(body) > LARGEST_ASYNC_BODY:
        raise _refused(f"The body has {len(body)} bytes; {LARGEST_ASYNC_BODY} may come without an InputLocation.")
    return {"Body": base64.b64encode(body).decode()} if body else {}


def _places(output: Mapping[str, Any], request: Mapping[str, Any], identifier: str) -> dict[str, str]:
    """Where the answer will be, and, where the configuration names a folder for it, a failure."""
    if not output.get("S3OutputPath"):
        raise _refused("The endpoint's AsyncInferenceConfig has no S3OutputPath: this machine answers into S3 alone.")
    more = [part for part in (str(request.get("S3OutputPathExtension", "")).strip("/"),) if part]
    places = {"OutputLocation": (output["S3OutputPath"], request.get("Filename") or f"{identifier}.out")}
    if output.get("S3FailurePath"):
        places["FailureLocation"] = (output["S3FailurePath"], f"{identifier}-error.out")
    return {member: "/".join((folder.rstrip("/"), *more, file)) for member, (folder, file) in places.items()}


def _refused(message: str) -> ServiceError:
    return ServiceError("ValidationError", message, OPERATION)
