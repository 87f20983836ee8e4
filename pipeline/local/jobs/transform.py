"""CreateTransformJob on this machine: a model server, every object posted to it, its answers as `<key>.out`."""

from __future__ import annotations

import os
import time
from collections import deque

from pipeline.errors import EndpointError, ServiceError
from pipeline.local.images import command_for
from pipeline.local.jobs import KINDS, JobFailed
from pipeline.local.jobs.batches import Batching
from pipeline.local.jobs.hosts import note_simulated
from pipeline.local.jobs.staging import Entry, entries, in_child, refuse_unless
from pipeline.local.jobs.tracking import Job, settle
from pipeline.request_sizes import DEFAULT_PAYLOAD_MB, refusal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from concurrent.futures import Future
    from typing import Any

    from pipeline.local.jobs import JobContext
    from pipeline.local.model_process import ModelProcess

KIND = KINDS["Transform"]
_TIMEOUT_S = 600  # ModelClientConfig's defaults
_RETRIES = 3
_RETRY_PAUSE_S = 0.5
_AHEAD = 2  # times as many objects as requests at once are read before their answers are there
_QUOTED = 300


async def run(request: dict[str, Any], context: JobContext) -> dict[str, Any]:
    """Raises JobFailed; returns the body of DescribeTransformJob."""
    job = Job(context, KIND, "Transform", request)
    context.announce({"TransformJob": {"Arn": job.arn}})
    return await settle(job, _work(job, request), context.log_path)


async def _work(job: Job, request: dict[str, Any]) -> dict[str, Any]:
    context = job.context
    _check(request)
    batching = Batching(request)
    source = request["TransformInput"]["DataSource"]["S3DataSource"]
    refuse_unless(source.get("S3DataType", "S3Prefix"), ("S3Prefix",), "TransformInput: S3DataType")
    objects = entries(context.storage, source["S3Uri"], "TransformInput")
    server = _server(context, request)
    job.body["TransformStartTime"] = time.time()
    job.save(now=True)
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
    """Sizes may be parameters', which nobody has seen before."""
    many, payload = request.get("MaxConcurrentTransforms"), request.get("MaxPayloadInMB")
    try:
        words = refusal(int(many or 0), None if payload is None else int(payload))
    except ValueError as exc:
        raise JobFailed(f"ClientError: MaxConcurrentTransforms and MaxPayloadInMB: {exc}") from exc
    if words:
        raise JobFailed(f"ClientError: {words}")
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
    if int(resources.get("InstanceCount") or 1) > 1:
        context.parity("Transform", "one model server for all instances")
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
    """What one object is refused for keeps no other from its answers, and the job is Failed in the end.

    https://docs.aws.amazon.com/sagemaker/latest/dg/batch-transform.html, Inference with large datasets.
    """
    from concurrent.futures import ThreadPoolExecutor

    base = request["TransformOutput"]["S3OutputPath"].rstrip("/")
    workers = max(1, int(request.get("MaxConcurrentTransforms") or 1))
    caller = _Caller(request, port)
    refused: list[str] = []
    waiting: deque[tuple[Entry, list[Future[bytes]]]] = deque()

    def finish() -> None:
        item, answers = waiting.popleft()
        try:
            content = batching.assembled([answer.result() for answer in answers])
        except JobFailed as exc:
            refused.append(exc.message)
        else:
            context.storage.put_bytes(f"{base}/{item.relative}.out", content)

    with ThreadPoolExecutor(workers) as pool:
        for item in objects:
            try:
                payloads = list(batching.payloads(_content(item), item.uri))
            except JobFailed as exc:
                refused.append(exc.message)
                continue
            waiting.append((item, [pool.submit(caller.post, payload, item.uri) for payload in payloads]))
            while len(waiting) > _AHEAD * workers:
                finish()
        while waiting:
            finish()
    if refused:
        others = f" (and {len(refused) - 1} more of {len(objects)} objects)" if len(refused) > 1 else ""
        raise JobFailed(refused[0] + others)


def _content(item: Entry) -> bytes:
    with open(item.path, "rb") as file:
        return file.read()


class _Caller:
    """Posts from several threads, each over a connection of its own that stays open."""

    def __init__(self, request: dict[str, Any], port: int) -> None:
        from threading import local

        client = request.get("ModelClientConfig") or {}
        self._retries = int(client.get("InvocationsMaxRetries", _RETRIES))
        self._timeout = client.get("InvocationsTimeoutInSeconds", _TIMEOUT_S)
        self._headers = {"Content-Type": request["TransformInput"].get("ContentType") or "application/octet-stream"}
        if request["TransformOutput"].get("Accept"):
            self._headers["Accept"] = request["TransformOutput"]["Accept"]
        self._port = port
        self._own = local()

    def post(self, payload: bytes, what: str) -> bytes:
        """Tries again after a 5xx, as the service does. Raises JobFailed."""
        from http.client import HTTPException

        for attempt in range(self._retries + 1):
            try:
                status, body = self._ask(payload)
            except (OSError, HTTPException) as exc:
                raise JobFailed(f"AlgorithmError: {what}: the model server does not answer: {exc!r}") from exc
            if status == 200:
                return body
            if status < 500 or attempt == self._retries:
                break
            time.sleep(_RETRY_PAUSE_S)
        text = body[:_QUOTED].decode(errors="replace")
        raise JobFailed(f"AlgorithmError: {what}: Bad HTTP status received from algorithm: {status}: {text}")

    def _ask(self, payload: bytes) -> tuple[int, bytes]:
        """A connection that the server has closed meanwhile is opened anew, once."""
        from http.client import HTTPConnection, RemoteDisconnected

        known = getattr(self._own, "connection", None)
        connection: HTTPConnection = known or HTTPConnection("127.0.0.1", self._port, timeout=self._timeout)
        self._own.connection = None
        try:
            connection.request("POST", "/invocations", payload, self._headers)
            answer = connection.getresponse()
        except (RemoteDisconnected, BrokenPipeError, ConnectionResetError):
            connection.close()
            if known is None:
                raise
            return self._ask(payload)
        body = answer.read()
        if answer.will_close:
            connection.close()
        else:
            self._own.connection = connection
        return answer.status, body
