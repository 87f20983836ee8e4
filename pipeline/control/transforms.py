"""Batch transforms: a registered model, or one that SageMaker has, over a folder or an S3 prefix."""

from __future__ import annotations

import hashlib
import json
import os
from collections import namedtuple

from pipeline.control import uploads
from pipeline.errors import DarkroomError, EndpointError, ServiceError, StorageError

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


def model_of(clients: Clients, package: dict[str, Any], role: str) -> str:
    """A model out of the package's image and archive, named by them: made once. Approved or not: it serves nobody."""
    version, containers = package["ModelPackageVersion"], package["InferenceSpecification"]["Containers"]
    if len(containers) != 1:
        raise DarkroomError(f"model version {version} has {len(containers)} containers, not one", "darkroom models")
    container = {key: containers[0][key] for key in _CONTAINER if containers[0].get(key)}
    digest = hashlib.sha256(json.dumps([container, role], sort_keys=True).encode()).hexdigest()[:10]
    tail = f"-transform-v{version}-{digest}"
    name = str(package["ModelPackageGroupName"])[: 63 - len(tail)].rstrip("-") + tail
    try:
        clients.sagemaker.describe_model(ModelName=name)
    except ServiceError as exc:
        if exc.code not in _ABSENT:
            raise
        clients.sagemaker.create_model(ModelName=name, PrimaryContainer=container, ExecutionRoleArn=role)
    return name


def source(clients: Clients, given: str, place: str) -> str:
    """The S3 prefix of what is to be asked about; a folder or file of this machine is copied below `place`."""
    if given.startswith(_S3):
        return given
    return uploads.put(clients, os.path.expanduser(given), place)


def request(name: str, model: str, machine: str, addresses: tuple[str, str], how: How) -> dict[str, Any]:
    """Of CreateTransformJob. `addresses`: of input and output."""
    data = {"S3DataType": "S3Prefix", "S3Uri": addresses[0]}
    return {
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
        "TransformOutput": {"S3OutputPath": addresses[1], "Accept": how.accept, "AssembleWith": how.assemble},
        "TransformResources": {"InstanceType": machine, "InstanceCount": 1},
    }


def begin(clients: Clients, wanted: dict[str, Any]) -> None:
    """A job that was begun by the same request before is not begun again: its answer may have been lost."""
    try:
        clients.sagemaker.create_transform_job(**wanted)
    except ServiceError as exc:
        if exc.code != "ResourceInUse" or not _same(clients, wanted):
            raise


def _same(clients: Clients, wanted: dict[str, Any]) -> bool:
    there = clients.sagemaker.describe_transform_job(TransformJobName=wanted["TransformJobName"])

    def told(job: dict[str, Any]) -> tuple[str, ...]:
        addresses = (
            job["TransformInput"]["DataSource"]["S3DataSource"]["S3Uri"],
            job["TransformOutput"]["S3OutputPath"],
        )
        return (job["ModelName"], *addresses)

    return told(there) == told(wanted)


def follow(clients: Clients, name: str, pause_s: float, show: Callable[[str], None]) -> dict[str, Any]:
    """Its description when it is Completed. Raises EndpointError with its reason; stopped by Ctrl-C it is stopped."""
    shown = ""
    try:
        while True:
            job: dict[str, Any] = clients.sagemaker.describe_transform_job(TransformJobName=name)
            if job["TransformJobStatus"] != shown:
                shown = job["TransformJobStatus"]
                show(f"{name}: {shown}")
            if shown in ENDED:
                break
            clients.pause(pause_s)
    except KeyboardInterrupt:
        clients.sagemaker.stop_transform_job(TransformJobName=name)
        raise
    if shown != "Completed":
        reason = job.get("FailureReason", "no reason was given")
        raise EndpointError(f"transform job {name} is {shown}: {reason}", "what was answered before is in its output")
    return job


def fetch(clients: Clients, prefix: str, folder: str) -> int:
    """The answers below `prefix` as files of `folder`; how many. Raises StorageError for what cannot be written."""
    count = 0
    for entry in clients.storage.list(prefix):
        relative = entry.uri.removeprefix(prefix).lstrip("/")
        if not relative or any(part in ("", ".", "..") for part in relative.split("/")):
            raise StorageError(f"{entry.uri} is no name of a file below {folder}", "name an s3:// address for OUTPUT")
        path = os.path.join(folder, *relative.split("/"))
        try:
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(f"{path}.part", "wb") as file:
                file.write(clients.storage.get_bytes(entry.uri))
            os.replace(f"{path}.part", path)
        except OSError as exc:
            raise StorageError(f"cannot write {path}: {exc.strerror}", "choose another folder") from exc
        count += 1
    return count
