"""Requests to asynchronous endpoints: kept in the store until each has its answer, or its failure, in S3.

https://docs.aws.amazon.com/sagemaker/latest/dg/async-inference.html
"""

from __future__ import annotations

import base64

from pipeline.errors import DarkroomError
from pipeline.local import endpoint
from pipeline.local.clock import clock_of
from pipeline.local.endpoint_http import LARGEST_PATIENT_BODY, PATIENCE
from pipeline.local.storage import Storage
from pipeline.local.store import Store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pipeline.local.store import Record

KIND = "async-request"  # called `<endpoint> <id>`: no endpoint's name has a blank
QUEUED, RUNNING = "Queued", "InProgress"
_AT_ONCE = 4  # of an instance, where the configuration does not say: "SageMaker chooses an optimal value"


def put(store: Store, name: str, identifier: str, asked: dict[str, Any]) -> None:
    """`asked`: the members of InvokeEndpointAsync and of its answer, Body as base64."""
    store.add(KIND, f"{name} {identifier}", {**asked, "queued": clock_of(store).now()}, QUEUED)


def queued(store: Store, name: str) -> list[Record]:
    """The oldest first."""
    return [record for record in reversed(store.list(KIND, f"{name} ")) if record.status == QUEUED]


def resume(store: Store, name: str) -> None:
    """What a process that was killed had taken is asked again: it may be answered twice, and is not lost."""
    for record in store.list(KIND, f"{name} "):
        if record.status == RUNNING:
            store.change(KIND, record.name, {}, status=QUEUED)


def at_once(store: Store, name: str) -> int:
    """How many requests all instances of the endpoint take; one for each where it has gone, or scaled to none."""
    for record in store.find("endpoint", name):
        client = (record.body.get("AsyncInferenceConfig") or {}).get("ClientConfig", {})
        each: int = client.get("MaxConcurrentInvocationsPerInstance", _AT_ONCE)
        instances: int = sum(variant["count"] for variant in record.body["variants"])
        return each * max(1, instances)
    return 1


def answer(home: str, asked: dict[str, Any]) -> str:
    """Has the endpoint asked, and writes what it says; why it failed, else empty. Opens a store of its own."""
    store, storage = Store(home), Storage(home)
    try:
        try:
            storage.put_bytes(asked["OutputLocation"], _said(store, storage, asked))
        except DarkroomError as exc:
            failure = exc.message
            if asked.get("FailureLocation"):
                storage.put_bytes(asked["FailureLocation"], failure.encode())
            return failure
        return ""
    finally:
        store.close()


def _said(store: Store, storage: Storage, asked: dict[str, Any]) -> bytes:
    """Raises DarkroomError: with what the model said where it refused."""
    waited, most = clock_of(store).now() - asked["queued"], asked["RequestTTLSeconds"]
    if waited > most:
        raise DarkroomError(f"the request has expired: it waited {waited:.0f} s, and RequestTTLSeconds is {most}")
    body = _body(storage, asked)
    headers = {
        "Content-Type": asked.get("ContentType", "application/octet-stream"),
        "Accept": asked.get("Accept", "*/*"),
        "X-Amzn-SageMaker-Inference-Id": asked["InferenceId"],
        PATIENCE: str(asked["InvocationTimeoutSeconds"]),
    }
    if "CustomAttributes" in asked:
        headers["X-Amzn-SageMaker-Custom-Attributes"] = asked["CustomAttributes"]
    reply = endpoint.invoke(store, asked["EndpointName"], body, headers)
    if reply.status >= 400:
        side, text = "client" if reply.status < 500 else "server", reply.body.decode(errors="replace")
        raise DarkroomError(f'Received {side} error ({reply.status}) from model with message "{text}".')
    return bytes(reply.body)


def _body(storage: Storage, asked: dict[str, Any]) -> bytes:
    if "Body" in asked:
        return base64.b64decode(asked["Body"])
    return storage.get_bytes(asked["InputLocation"], LARGEST_PATIENT_BODY)
