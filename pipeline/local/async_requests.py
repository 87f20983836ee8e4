"""Requests to asynchronous endpoints: kept in the store until each has its answer, or its failure, in S3.

https://docs.aws.amazon.com/sagemaker/latest/dg/async-inference.html
"""

from __future__ import annotations

import base64

from pipeline.errors import BrokenOff, DarkroomError
from pipeline.local import endpoint
from pipeline.local.clock import clock_of
from pipeline.local.endpoint_http import PATIENCE
from pipeline.local.endpoint_record import DELETING
from pipeline.local.storage import Storage
from pipeline.local.store import Store
from pipeline.request_sizes import LARGEST_ASYNC_INPUT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pipeline.local.store import Record

KIND = "async-request"  # called `<endpoint> <id>`: no endpoint's name has a blank
QUEUED, RUNNING = "Queued", "InProgress"
MOST_TRIES = 3  # of a request that a model had taken and did not answer: it may be what the model died of
_AT_ONCE = 4  # of an instance, where the configuration does not say: "SageMaker chooses an optimal value"


def put(store: Store, name: str, identifier: str, asked: dict[str, Any]) -> None:
    """`asked`: the members of InvokeEndpointAsync and of its answer, Body as base64."""
    told = {
        **asked,
        "queued": clock_of(store).now(),
        "created": [each.created for each in store.find("endpoint", name)],
    }
    store.add(KIND, f"{name} {identifier}", told, QUEUED)


def queued(store: Store, name: str) -> list[Record]:
    """The oldest first."""
    return [record for record in reversed(store.list(KIND, f"{name} ")) if record.status == QUEUED]


def is_any_left(store: Store, name: str) -> bool:
    """Taken or not."""
    return bool(store.list(KIND, f"{name} "))


def resume(store: Store, name: str) -> None:
    """What a process that was killed had taken is asked again: it may be answered twice, and is not lost."""
    for record in store.list(KIND, f"{name} "):
        if record.status == RUNNING:
            store.change(KIND, record.name, {}, status=QUEUED)


def refuse(store: Store, name: str) -> None:
    """All that is left: the endpoint has gone."""
    storage = Storage(store.home)
    for record in store.list(KIND, f"{name} "):
        _failed(storage, record.body, _gone(name))
        store.remove(KIND, record.name)


def at_once(store: Store, name: str) -> int:
    """How many requests all instances of the endpoint take; one for each where it has gone, or scaled to none."""
    for record in store.find("endpoint", name):
        client = (record.body.get("AsyncInferenceConfig") or {}).get("ClientConfig", {})
        each: int = client.get("MaxConcurrentInvocationsPerInstance", _AT_ONCE)
        instances: int = sum(variant["count"] for variant in record.body["variants"])
        return each * max(1, instances)
    return 1


def answer(home: str, asked: dict[str, Any]) -> str:
    """Has the endpoint asked, and writes what it says; why it failed, else empty. Opens a store of its own.

    Raises BrokenOff for a request that is to be asked again.
    """
    store, storage = Store(home), Storage(home)
    try:
        storage.put_bytes(asked["OutputLocation"], _said(store, storage, asked))
        return ""
    except BrokenOff as exc:
        if asked.get("tries", 1) < MOST_TRIES and _exists(store, asked):
            raise
        return _failed(storage, asked, exc.message)
    except DarkroomError as exc:
        return _failed(storage, asked, exc.message)
    except (OSError, ValueError) as exc:  # of a disk, and of a header that HTTP cannot carry
        return _failed(storage, asked, f"{type(exc).__name__}: {exc}")
    finally:
        store.close()


def _failed(storage: Storage, asked: dict[str, Any], why: str) -> str:
    """The whole reason: where even that cannot be written, the log alone has it."""
    if not asked.get("FailureLocation"):
        return why
    try:
        storage.put_bytes(asked["FailureLocation"], why.encode())
    except (DarkroomError, OSError) as exc:
        return f"{why}; and {asked['FailureLocation']} cannot be written: {exc}"
    return why


def _gone(name: str) -> str:
    return f"endpoint {name!r} has been deleted"


def _exists(store: Store, asked: dict[str, Any]) -> bool:
    """The very endpoint that was asked, not a later one of its name."""
    found = store.find("endpoint", asked["EndpointName"])
    return any(record.status != DELETING and record.created in asked["created"] for record in found)


def _said(store: Store, storage: Storage, asked: dict[str, Any]) -> bytes:
    """Raises DarkroomError: with what the model said where it refused."""
    if not _exists(store, asked):
        raise DarkroomError(_gone(asked["EndpointName"]))
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
    return storage.get_bytes(asked["InputLocation"], LARGEST_ASYNC_INPUT)
