"""Models behind endpoints: deploy, predict, undeploy."""

from __future__ import annotations

import json
import os
import re
import time

from pipeline.client import ROLE, pages
from pipeline.control.registry import APPROVED
from pipeline.errors import DarkroomError, EndpointError, ServiceError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pipeline.client import Clients

IN_SERVICE = "InService"
IN_PROGRESS = ("Creating", "Updating", "SystemUpdating", "RollingBack")
BROKEN = ("Failed", "OutOfService", "UpdateRollbackFailed")
INSTANCE_TYPE = "ml.m5.large"
VARIANT = "AllTraffic"
LONGEST_NAME = 63
SUFFIX = "-production"
PAUSE_S = 0.1


def production_name(group: str) -> str:
    return f"{group[: LONGEST_NAME - len(SUFFIX)].rstrip('-')}{SUFFIX}"


def deploy(clients: Clients, package: dict[str, Any], name: str, role: str = ROLE) -> None:
    """A new model and configuration from the package's name; then the endpoint is created, or changes over to them.

    Raises DarkroomError unless the package is Approved, before anything is made.
    """
    version, status = package["ModelPackageVersion"], package["ModelApprovalStatus"]
    if status != APPROVED:
        raise DarkroomError(f"model version {version} is {status}, not Approved", f"darkroom approve {version}")
    own = f"{name[:40].rstrip('-')}-v{version}-{os.urandom(4).hex()}"
    container = {"ModelPackageName": package["ModelPackageArn"]}
    clients.sagemaker.create_model(ModelName=own, PrimaryContainer=container, ExecutionRoleArn=role)
    variant = {
        "VariantName": VARIANT,
        "ModelName": own,
        "InstanceType": _instance_type(package),
        "InitialInstanceCount": 1,
    }
    clients.sagemaker.create_endpoint_config(EndpointConfigName=own, ProductionVariants=[variant])
    request = {"EndpointName": name, "EndpointConfigName": own}
    if name in names(clients):
        clients.sagemaker.update_endpoint(**request)
    else:
        clients.sagemaker.create_endpoint(**request)


def _instance_type(package: dict[str, Any]) -> str:
    specification = package.get("InferenceSpecification") or {}
    return next(iter(specification.get("SupportedRealtimeInferenceInstanceTypes") or ()), INSTANCE_TYPE)


def wait(clients: Clients, name: str) -> dict[str, Any]:
    """DescribeEndpoint once it is in service. Raises EndpointError with its FailureReason if it will not be."""
    while True:
        endpoint: dict[str, Any] = clients.sagemaker.describe_endpoint(EndpointName=name)
        status = endpoint["EndpointStatus"]
        if status == IN_SERVICE:
            return endpoint
        if status in BROKEN:
            reason = endpoint.get("FailureReason", "no reason was recorded")
            raise EndpointError(f"endpoint {name!r} is {status}: {reason}", "darkroom endpoints")
        time.sleep(PAUSE_S)


def newest_first(clients: Clients) -> list[dict[str, Any]]:
    """Summaries as ListEndpoints gives them."""
    rows = list(pages(clients.sagemaker.list_endpoints, "Endpoints"))
    return sorted(rows, key=lambda row: row["CreationTime"], reverse=True)


def names(clients: Clients) -> list[str]:
    """Newest first."""
    return [row["EndpointName"] for row in newest_first(clients)]


def find(clients: Clients, wanted: str = "") -> str:
    """The endpoint with this name; without one the newest for production, else the newest. Raises DarkroomError."""
    known = names(clients)
    if not known:
        raise DarkroomError("there is no endpoint", "darkroom deploy")
    if not wanted:
        return next((name for name in known if name.endswith(SUFFIX)), known[0])
    if wanted not in known:
        raise DarkroomError(f"there is no endpoint {wanted!r}; there is: {', '.join(known)}", "darkroom endpoints")
    return wanted


def predict(clients: Clients, name: str, image: str) -> dict[str, Any]:
    """{"class": …, "probability": …, "top": […]}. Raises DarkroomError for a file that cannot be read or is refused."""
    try:
        with open(image, "rb") as file:
            body = file.read()
    except OSError as exc:
        raise DarkroomError(f"cannot read {image}: {exc.strerror}", "darkroom predict IMAGE…") from exc
    try:
        answer = clients.runtime.invoke_endpoint(
            EndpointName=name, Body=body, ContentType="application/x-image", Accept="application/json"
        )
    except ServiceError as exc:
        raise _refusal(image, exc) from exc
    return _prediction(answer["Body"].read(), name)


def _refusal(image: str, error: ServiceError) -> EndpointError:
    """What the model server itself said, out of the service's wrapping; a client error is about the picture alone."""
    wrapped = re.search(r'client error \((\d+)\).*? with message "(.*)"', error.message, re.DOTALL)
    if not wrapped:
        return EndpointError(f"{image}: {error.message}", error.hint)
    try:
        said = json.loads(wrapped[2])["error"]
    except (ValueError, KeyError, TypeError):
        said = wrapped[2]
    return EndpointError(f"{image}: {said} (status {wrapped[1]})", "the other pictures are not concerned")


def _prediction(body: bytes, name: str) -> dict[str, Any]:
    try:
        prediction: dict[str, Any] = json.loads(body)["predictions"][0]
    except (ValueError, KeyError, IndexError, TypeError) as exc:
        start = body[:200].decode("utf-8", "replace")
        raise EndpointError(
            f"endpoint {name!r} does not answer with predictions: {start!r}", "does it serve a model of darkroom's?"
        ) from exc
    return prediction


def undeploy(clients: Clients, name: str) -> None:
    """Deletes the endpoint, once nothing is under way with it; its configuration and model, if no other uses them."""
    while (endpoint := clients.sagemaker.describe_endpoint(EndpointName=name))["EndpointStatus"] in IN_PROGRESS:
        time.sleep(PAUSE_S)
    clients.sagemaker.delete_endpoint(EndpointName=name)
    while name in names(clients):
        time.sleep(PAUSE_S)
    config_name = endpoint["EndpointConfigName"]
    config = clients.sagemaker.describe_endpoint_config(EndpointConfigName=config_name)
    others = [clients.sagemaker.describe_endpoint(EndpointName=other) for other in names(clients)]
    if any(other["EndpointConfigName"] == config_name for other in others):
        return
    clients.sagemaker.delete_endpoint_config(EndpointConfigName=config_name)
    for variant in config["ProductionVariants"]:
        clients.sagemaker.delete_model(ModelName=variant["ModelName"])
