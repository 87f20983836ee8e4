"""CreateTransformJob on this machine: a model server, every object posted to it, its answers as `<key>.out`."""

from __future__ import annotations

import os
import time

from pipeline.errors import EndpointError, ServiceError
from pipeline.local.images import command_for
from pipeline.local.jobs import JobFailed
from pipeline.local.jobs.batches import DEFAULT_PAYLOAD_MB, Batching
from pipeline.local.jobs.hosts import note_simulated
from pipeline.local.jobs.staging import Entry, entries, in_child, refuse_unless
from pipeline.local.jobs.tracking import Job, settle

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pipeline.local.jobs import JobContext
    from pipeline.local.model_process import ModelProcess

KIND = "transform-job"
_TIMEOUT_S = 600  # ModelClientConfig's defaults
_RETRIES = 3
_RETRY_PAUSE_S = 0.5
_QUOTED = 300


async def run(request: dict[str, Any], context: JobContext) -> dict[str, Any]:
    """Raises JobFailed; returns the body of DescribeTransformJob."""
    job = Job(context, KIND, "Transform", request)
    context.announce({"TransformJob": {"Arn": job.arn}})
    return await settle(job, _work(job, request), context.log_path)


async def _work(job: Job, request: dict[str, Any]) -> dict[str, Any]:
    context = job.context
    batching = Batching(request)
    _check(request)
    source = request["TransformInput"]["DataSource"]["S3DataSource"]
    refuse_unless(source.get("S3DataType", "S3Prefix"), ("S3Prefix",), "TransformInput: S3DataType")
    objects = entries(context.storage, source["S3Uri"], "TransformInput")
    server = _server(context, request)
    job.body["TransformStartTime"] = time.time()
    job.save()
    try:
        try:
            await server.start(context.storage, lambda: False)
        except EndpointError as exc:
            raise JobFailed(f"AlgorithmError: {exc.message}") from exc
        await _post_all(context, request, batching, objects, server.port)
    finally:
        job.body["TransformEndTime"] = time.time()
        await server.stop()
    return job.end("Completed")


def _check(request: dict[str, Any]) -> None:
    processing = request.get("DataProcessing") or {}
    for key, plain in (("InputFilter", "$"), ("OutputFilter", "$"), ("JoinSource", "None")):
        refuse_unless(processing.get(key) or plain, (plain,), f"DataProcessing: {key}")


def _server(context: JobContext, request: dict[str, Any]) -> ModelProcess:
    """The model of the request, not yet started."""
    from pipeline.local.model_process import ModelProcess

    name = request.get("ModelName", "")
    try:
        containers = context.store.get("model", name).body["containers"]
    except ServiceError as exc:
        raise JobFailed(f"ClientError: could not find model {name!r}") from exc
    if len(containers) != 1:
        raise JobFailed(f"ClientError: model {name!r} has {len(containers)} containers; this machine serves one each")
    container = containers[0]
    payload = request.get("MaxPayloadInMB")
    environment = {
        **(container.get("Environment") or {}),
        "SAGEMAKER_BATCH": "true",
        "SAGEMAKER_BATCH_STRATEGY": str(request.get("BatchStrategy") or "MultiRecord"),
        "SAGEMAKER_MAX_PAYLOAD_IN_MB": str(DEFAULT_PAYLOAD_MB if payload is None else payload),
        "SAGEMAKER_MAX_CONCURRENT_TRANSFORMS": str(request.get("MaxConcurrentTransforms") or 1),
        **(request.get("Environment") or {}),
    }
    image = command_for(context.store, container["Image"], context.step.get("Name", ""))
    resources = request.get("TransformResources") or {}
    note_simulated(context, image, str(resources.get("InstanceType", "")))
    if int(resources.get("InstanceCount") or 1) > 1 or int(request.get("MaxConcurrentTransforms") or 1) > 1:
        context.parity("Transform", "one model server, one request after the other")
    variant = {"VariantName": "transform", "containers": [{**container, "Environment": environment}]}
    folder = os.path.join(context.work, "server")
    return ModelProcess(context.store, context.isolation, context.loop, variant, folder, context.log_path, 0)


async def _post_all(
    context: JobContext, request: dict[str, Any], batching: Batching, objects: list[Entry], port: int
) -> None:
    """In a child: an answer may take minutes, and the loop has other jobs to look after."""
    problem = await in_child(context, lambda: _post_objects(context, request, batching, objects, port))
    if problem:
        raise JobFailed(problem)


def _post_objects(
    context: JobContext, request: dict[str, Any], batching: Batching, objects: list[Entry], port: int
) -> None:
    base = request["TransformOutput"]["S3OutputPath"].rstrip("/")
    for item in objects:
        with open(item.path, "rb") as file:
            data = file.read()
        answers = [_post(request, payload, item.uri, port) for payload in batching.payloads(data, item.uri)]
        context.storage.put_bytes(f"{base}/{item.relative}.out", batching.assembled(answers))


def _post(request: dict[str, Any], payload: bytes, what: str, port: int) -> bytes:
    """Tries again after a 5xx, as the service does."""
    from http.client import HTTPConnection, HTTPException

    client = request.get("ModelClientConfig") or {}
    retries = int(client.get("InvocationsMaxRetries", _RETRIES))
    headers = {"Content-Type": request["TransformInput"].get("ContentType") or "application/octet-stream"}
    if request["TransformOutput"].get("Accept"):
        headers["Accept"] = request["TransformOutput"]["Accept"]
    connection = HTTPConnection("127.0.0.1", port, timeout=client.get("InvocationsTimeoutInSeconds", _TIMEOUT_S))
    try:
        for attempt in range(retries + 1):
            connection.request("POST", "/invocations", payload, headers)
            answer = connection.getresponse()
            body = answer.read()
            if answer.status < 500 or attempt == retries:
                break
            time.sleep(_RETRY_PAUSE_S)
    except (OSError, HTTPException) as exc:
        raise JobFailed(f"AlgorithmError: {what}: the model server does not answer: {exc!r}") from exc
    finally:
        connection.close()
    if answer.status != 200:
        text = body[:_QUOTED].decode(errors="replace")
        raise JobFailed(f"AlgorithmError: {what}: Bad HTTP status received from algorithm: {answer.status}: {text}")
    return body
