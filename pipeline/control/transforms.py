"""Batch transforms: a registered model, or one that SageMaker has, over a folder or an S3 prefix."""

from __future__ import annotations

import hashlib
import json
import os
from collections import namedtuple

from pipeline.control import landing, uploads
from pipeline.errors import DarkroomError, EndpointError, ServiceError
from pipeline.request_sizes import MOST_TRANSFORM_MB, together_mb

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from pipeline.client import Clients

ENDED = ("Completed", "Failed", "Stopped")
SPLITS, STRATEGIES = ("None", "Line"), ("MultiRecord", "SingleRecord")
_CONTAINER = ("Image", "ModelDataUrl", "ModelDataSource", "Environment")
_ABSENT = ("ValidationException", "ResourceNotFound")
_S3 = "s3://"

# how: what cuts objects into requests and puts answers together, as CreateTransformJob calls it
How = namedtuple("How", "content_type accept split strategy assemble payload_mb concurrent")


def model_of(clients: Clients, package: dict[str, Any], role: str, members: dict[str, Any]) -> str:
    """A model out of the package's image and archive, named by its request: made once. Approved or not: it serves
    nobody. `members`: what else CreateModel is told, of network and tags."""
    version, containers = package["ModelPackageVersion"], package["InferenceSpecification"]["Containers"]
    if len(containers) != 1:
        raise DarkroomError(f"model version {version} has {len(containers)} containers, not one", "darkroom models")
    container = {key: containers[0][key] for key in _CONTAINER if containers[0].get(key)}
    wanted = {"PrimaryContainer": container, "ExecutionRoleArn": role, **members}
    digest = hashlib.sha256(json.dumps(wanted, sort_keys=True).encode()).hexdigest()[:10]
    tail = f"-transform-v{version}-{digest}"
    name = str(package["ModelPackageGroupName"])[: 63 - len(tail)].rstrip("-") + tail
    try:
        clients.sagemaker.describe_model(ModelName=name)
    except ServiceError as exc:
        if exc.code not in _ABSENT:
            raise
        clients.sagemaker.create_model(ModelName=name, **wanted)
    return name


def source(clients: Clients, given: str, place: str) -> str:
    """The S3 prefix of what is to be asked about; a folder or file of this machine is copied below `place`."""
    if given.startswith(_S3):
        return given
    return uploads.put(clients, os.path.expanduser(given), place)


def check_size(how: How) -> None:
    """Raises DarkroomError where requests at once are too large together."""
    if (together := together_mb(how.concurrent, how.payload_mb)) > MOST_TRANSFORM_MB:
        words = f"{how.concurrent} requests at once of {how.payload_mb} MB are {together:g} MB together"
        raise DarkroomError(f"{words}; SageMaker takes {MOST_TRANSFORM_MB}", "lower --concurrent or --payload-mb")


def request(name: str, model: str, addresses: tuple[str, str], how: How, members: dict[str, Any]) -> dict[str, Any]:
    """Of CreateTransformJob. `addresses`: of input and output; `members`: its machines, tags, and the output's key."""
    data, answers = {"S3DataType": "S3Prefix", "S3Uri": addresses[0]}, members["TransformOutput"]
    return {
        **members,
        "TransformJobName": name,
        "ModelName": model,
        "BatchStrategy": how.strategy,
        "MaxConcurrentTransforms": how.concurrent,
        "MaxPayloadInMB": how.payload_mb,
        "TransformInput": {
            "DataSource": {"S3DataSource": data},
            "ContentType": how.content_type,
            "SplitType": how.split,
        },
        "TransformOutput": {
            **answers,
            "S3OutputPath": addresses[1],
            "Accept": how.accept,
            "AssembleWith": how.assemble,
        },
    }


def begin(clients: Clients, wanted: dict[str, Any]) -> None:
    """A job that was begun by the same request before is not begun again: its answer may have been lost."""
    try:
        clients.sagemaker.create_transform_job(**wanted)
    except ServiceError as exc:
        if exc.code != "ResourceInUse" or not _same(clients, wanted):
            raise


def _same(clients: Clients, wanted: dict[str, Any]) -> bool:
    """In all that Describe answers, which are no tags; it also has what the service filled in."""
    there = clients.sagemaker.describe_transform_job(TransformJobName=wanted["TransformJobName"])
    return all(_holds(there.get(key), value) for key, value in wanted.items() if key != "Tags")


def _holds(there: Any, wanted: Any) -> bool:
    if isinstance(wanted, dict):
        return isinstance(there, dict) and all(_holds(there.get(key), value) for key, value in wanted.items())
    return bool(there == wanted)


def follow(clients: Clients, name: str, pause_s: float, show: Callable[[str], None]) -> dict[str, Any]:
    """Its description once it has ended, however it did. Ctrl-C stops the job."""
    shown = ""
    try:
        while True:
            job: dict[str, Any] = clients.sagemaker.describe_transform_job(TransformJobName=name)
            if job["TransformJobStatus"] != shown:
                shown = job["TransformJobStatus"]
                show(f"{name}: {shown}")
            if shown in ENDED:
                return job
            clients.pause(pause_s)
    except KeyboardInterrupt:
        _stop(clients, name, show)
        raise


def _stop(clients: Clients, name: str, show: Callable[[str], None]) -> None:
    """Whoever typed wants out: what is in the way is told, not raised."""
    try:
        clients.sagemaker.stop_transform_job(TransformJobName=name)
    except ServiceError as exc:
        if not _is_ending(clients, name, exc):
            show(f"{name} goes on, it could not be stopped: {exc.message}")
            if clients.place:
                show(f"aws sagemaker stop-transform-job --transform-job-name {name} --region {clients.region}")


def _is_ending(clients: Clients, name: str, refusal: ServiceError) -> bool:
    """Which is then why it was refused. Nobody who cannot be reached is asked again."""
    if refusal.code != "ValidationException":
        return False
    try:
        job = clients.sagemaker.describe_transform_job(TransformJobName=name)
    except ServiceError:
        return False
    return job["TransformJobStatus"] in (*ENDED, "Stopping")


def check(job: dict[str, Any]) -> None:
    """Raises EndpointError with the reason of one that is not Completed."""
    name, status = job["TransformJobName"], job["TransformJobStatus"]
    if status != "Completed":
        reason = job.get("FailureReason", "no reason was given")
        raise EndpointError(f"transform job {name} is {status}: {reason}", "what was answered before is in its output")


def fetch(clients: Clients, prefix: str, folder: str) -> int:
    """The answers below `prefix` as files of `folder`, in place of any that are called so; how many. Raises
    StorageError for what cannot be written, and, before anything is, for what leads out of the folder."""
    places = {}
    for entry in clients.storage.list(prefix):
        places[entry.uri] = landing.place(folder, entry.uri.removeprefix(prefix))
    for uri, place in places.items():
        landing.put(clients.storage.blocks(uri), place)
    return len(places)
