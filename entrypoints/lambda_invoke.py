"""Lambda handler that asks an endpoint about one picture: bytes, base64 or an address in S3 in, a prediction out."""

from __future__ import annotations

import base64
import binascii
import json
import os
import re
import time
from collections.abc import Mapping
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError, ConnectionClosedError, ConnectTimeoutError, EndpointConnectionError

LARGEST = {"": 6_291_456, "serverless": 4_194_304}  # bytes that InvokeEndpoint takes, by kind of endpoint
ADDRESS = re.compile(r"s3://([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])/(.+)")
# Worth another try; a ModelError is not: the same picture gets the same error.
AGAIN = (
    "ThrottlingException",
    "ModelNotReadyException",
    "InternalFailure",
    "ServiceUnavailable",
    "InternalDependencyException",
)
NOT_ASKED = (ConnectTimeoutError, EndpointConnectionError, ConnectionClosedError)
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.2, 5.0
RESERVE_S = 1.0  # of the function's own time, to answer with
WITHOUT_CONTEXT_S = 60.0


class Refused(Exception):
    """Something is wrong with the request: one sentence for whoever sent it, and the status of it."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


def handler(event: dict[str, Any], context: Any, clients: Mapping[str, Any] | None = None) -> Any:
    """{"image": base64} or {"s3": "s3://…"}, with {"accept": …} if wanted → the endpoint's answer.

    An HTTP event of a function URL or of API Gateway has the picture, or such an object, as its body, and gets an HTTP
    answer. A plain event gets the prediction itself; what is wrong with it is raised, and so ends as a function error.
    """
    there = clients or _clients()
    if "requestContext" not in event and "httpMethod" not in event:
        return json.loads(_answer(event, context, there))
    try:
        return _http(200, _answer(_asked_by_http(event), context, there).decode())
    except Refused as refusal:
        return _http(refusal.status, json.dumps({"error": str(refusal)}))


def _asked_by_http(event: dict[str, Any]) -> dict[str, Any]:
    """A body of JSON with `image` or `s3` says what is meant; any other one is the picture itself."""
    body = str(event.get("body") or "")
    raw = _decoded(body) if event.get("isBase64Encoded") else body.encode()
    headers = {str(name).lower(): str(value) for name, value in (event.get("headers") or {}).items()}
    if headers.get("content-type", "").partition(";")[0].strip() == "application/json":
        try:
            said = json.loads(raw)
        except (ValueError, RecursionError):
            raise Refused("the body is called JSON and is none") from None
        if isinstance(said, dict) and {"image", "s3"} & said.keys():
            return said
    return {"bytes": raw, "content_type": headers.get("content-type") or "application/x-image"}


def _answer(asked: dict[str, Any], context: Any, clients: Mapping[str, Any]) -> bytes:
    body = _picture(asked, clients)
    kind = os.environ.get("ENDPOINT_KIND", "")
    if not body:
        raise Refused("the picture is empty")
    if len(body) > LARGEST[kind]:
        raise Refused(
            f"the picture has {len(body):,} bytes; the endpoint takes {LARGEST[kind]:,}: send a smaller one", 413
        )
    request = {
        "EndpointName": os.environ["ENDPOINT_NAME"],
        "Body": body,
        "ContentType": str(asked.get("content_type") or "application/x-image"),
        "Accept": "application/json",
    }
    return _invoked(request, clients, _deadline(context, clients))


def _picture(asked: dict[str, Any], clients: Mapping[str, Any]) -> bytes:
    given = [key for key in ("bytes", "image", "s3") if asked.get(key) is not None]
    if len(given) != 1:
        raise Refused('give either "image", a picture in base64, or "s3", the address of one')
    value = asked[given[0]]
    if isinstance(value, bytes) and given == ["bytes"]:
        return value
    if not isinstance(value, str):
        raise Refused(f"{given[0]} has to be a text")
    return _decoded(value) if given == ["image"] else _fetched(value, clients["s3"])


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise Refused("the picture is not valid base64") from None


def _fetched(address: str, s3: Any) -> bytes:
    """Never more of it than an endpoint takes, whatever lies there."""
    named = ADDRESS.fullmatch(address)
    if named is None:
        raise Refused(f"{address[:100]!r} is no address like s3://bucket/folder/picture.jpg")
    try:
        found = s3.get_object(Bucket=named[1], Key=named[2])
    except ClientError as error:
        code = error.response["Error"]["Code"]
        if code in ("NoSuchKey", "NoSuchBucket", "404"):
            raise Refused(f"nothing lies at {address}", 404) from None
        if code in ("AccessDenied", "403"):
            raise Refused(
                f"the function may not read {address}: name its folder to darkroom infra --read", 403
            ) from None
        raise
    body: bytes = found["Body"].read(max(LARGEST.values()) + 1)
    return body


def _invoked(request: dict[str, Any], clients: Mapping[str, Any], deadline: float) -> bytes:
    """With growing pauses, as long as the function has time left for another try."""
    clock, pause = clients.get("clock", time), FIRST_PAUSE_S
    while True:
        try:
            answer: bytes = clients["sagemaker-runtime"].invoke_endpoint(**request)["Body"].read()
            return answer
        except NOT_ASKED as lost:
            reason = str(lost)
        except ClientError as error:
            reason = _reason(error)
        if clock.time() + pause > deadline:
            raise Refused(f"the endpoint did not answer in time: {reason}", 503)
        clock.sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE_S)


def _reason(error: ClientError) -> str:
    """Why to try again. Raises Refused where the model has refused this picture; what is our own fault is raised on."""
    code, message = error.response["Error"]["Code"], error.response["Error"]["Message"]
    if code in AGAIN:
        return f"{code}: {message}"
    if code == "ModelError":
        status = int(error.response.get("OriginalStatusCode", 500))
        said = str(error.response.get("OriginalMessage") or message)
        raise Refused(_sentence(said), status if 400 <= status < 500 else 502)
    if code == "ValidationError" and "not found" in message:
        raise Refused(f"there is no endpoint {os.environ['ENDPOINT_NAME']!r}", 503)
    raise error


def _sentence(said: str) -> str:
    """serve.py's own words, where they are those."""
    try:
        return str(json.loads(said)["error"])
    except (ValueError, KeyError, TypeError):
        return said[:500]


def _deadline(context: Any, clients: Mapping[str, Any]) -> float:
    now: float = clients.get("clock", time).time()
    left = context.get_remaining_time_in_millis() / 1000 if context is not None else WITHOUT_CONTEXT_S
    return now + left - RESERVE_S


def _http(status: int, body: str) -> dict[str, Any]:
    return {"statusCode": status, "headers": {"content-type": "application/json"}, "body": body}


def _clients() -> dict[str, Any]:
    """Tries are counted here alone, within the function's own time."""
    config = Config(connect_timeout=5, read_timeout=60, retries={"mode": "standard", "total_max_attempts": 1})
    return {name: boto3.client(name, config=config) for name in ("s3", "sagemaker-runtime")}
