"""Lambda handler that starts the deployment of a model package to an endpoint, and returns within a minute."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

ACTIONS = ("start",)
STAGES = ("staging", "production")
NAME_LENGTH = 63
VARIANT = "AllTraffic"  # the same in each configuration: a rolling or blue/green update needs equal names
NEEDED = ("stage", "model_package_arn", "endpoint_name", "instance_type", "instance_count", "role_arn")
# Optional: kms_key (of the instances' volumes), network_isolation ("true" unless given), and both or neither of
# subnets and security_groups, each several ids with commas between them.
TRUTH = {"true": True, "false": False}
# Describe calls of SageMaker answer ValidationException for what does not exist; newer ones ResourceNotFound.
ABSENT = ("ValidationException", "ResourceNotFound")
BUSY = ("Creating", "Updating", "SystemUpdating", "RollingBack", "Deleting")
BROKEN = ("Failed", "UpdateRollbackFailed")


class DeployRefused(Exception):
    """Ends the invocation with this sentence as its error message."""


def handler(event: dict[str, Any], context: object, clients: Mapping[str, Any] | None = None) -> dict[str, str]:
    """{"action": "start", …} → names of endpoint, configuration and model, status. Repeated, it changes nothing."""
    wanted = _checked(event)
    sagemaker = (clients or _clients())["sagemaker"]
    package = _package(sagemaker, wanted["model_package_arn"])
    container = _container(package, wanted)
    version = str(package.get("ModelPackageVersion", 0))
    security = _security(wanted)
    model = _name(wanted["endpoint_name"], version, {"container": container, "role": wanted["role_arn"], **security})
    variant = {
        "VariantName": VARIANT,
        "ModelName": model,
        "InstanceType": wanted["instance_type"],
        "InitialInstanceCount": int(wanted["instance_count"]),
    }
    key = {"KmsKeyId": wanted["kms_key"]} if wanted.get("kms_key") else {}
    config = _name(wanted["endpoint_name"], version, {**variant, **key})
    _ensure_model(sagemaker, model, container, wanted["role_arn"], security)
    _ensure_config(sagemaker, config, variant, key)
    status = _point(sagemaker, wanted["endpoint_name"], config, variant)
    names = {"endpoint_name": wanted["endpoint_name"], "endpoint_config_name": config, "model_name": model}
    return {**names, "status": status}


def _checked(event: dict[str, Any]) -> dict[str, Any]:
    """Lambda steps send every value as a string."""
    if event.get("action") not in ACTIONS:
        raise DeployRefused(f"action {event.get('action')!r}: take one of {', '.join(ACTIONS)}")
    missing = [key for key in NEEDED if event.get(key) in (None, "")]
    if missing:
        raise DeployRefused(f"the event lacks {', '.join(missing)}")
    if event["stage"] not in STAGES:
        raise DeployRefused(f"stage {event['stage']!r}: take one of {', '.join(STAGES)}")
    if not str(event["instance_count"]).isdecimal() or int(event["instance_count"]) < 1:
        raise DeployRefused(f"instance_count {event['instance_count']!r}: take a whole number from 1 on")
    if event.get("network_isolation", "true") not in TRUTH:
        raise DeployRefused(f"network_isolation {event['network_isolation']!r}: take true or false")
    if bool(_ids(event, "subnets")) != bool(_ids(event, "security_groups")):
        raise DeployRefused("subnets and security_groups: a VPC takes both, so give both or neither")
    name = event["endpoint_name"]
    plain = name.replace("-", "")
    if not (plain.isascii() and plain.isalnum()) or name[0] == "-" or name[-1] == "-" or len(name) > NAME_LENGTH:
        raise DeployRefused(f"endpoint_name {name!r}: take letters, digits and inner hyphens, at most {NAME_LENGTH}")
    return event


def _security(event: dict[str, Any]) -> dict[str, Any]:
    """Members of CreateModel that keep the containers apart from the rest of the world."""
    members: dict[str, Any] = {"EnableNetworkIsolation": TRUTH[event.get("network_isolation", "true")]}
    if subnets := _ids(event, "subnets"):
        members["VpcConfig"] = {"SecurityGroupIds": _ids(event, "security_groups"), "Subnets": subnets}
    return members


def _ids(event: dict[str, Any], key: str) -> list[str]:
    return [part.strip() for part in str(event.get(key) or "").split(",") if part.strip()]


def _package(sagemaker: Any, arn: str) -> dict[str, Any]:
    package = _found(lambda: sagemaker.describe_model_package(ModelPackageName=arn))
    if package is None:
        raise DeployRefused(f"model package {arn!r} does not exist, or is not in this region")
    return package


def _container(package: dict[str, Any], wanted: dict[str, Any]) -> dict[str, Any]:
    """Staging takes image and archive out of the package: SageMaker refuses the package's name until it is Approved."""
    if wanted["stage"] == "production":
        status = package.get("ModelApprovalStatus")
        if status != "Approved":
            raise DeployRefused(
                f"model package {wanted['model_package_arn']!r} is {status!r}, and production takes only Approved "
                "ones: approve it first"
            )
        return {"ModelPackageName": wanted["model_package_arn"]}
    containers = package.get("InferenceSpecification", {}).get("Containers", [])
    if len(containers) != 1:
        raise DeployRefused(f"model package {wanted['model_package_arn']!r} has {len(containers)} containers, not one")
    keys = ("Image", "ModelDataUrl", "ModelDataSource", "Environment")
    return {key: containers[0][key] for key in keys if containers[0].get(key)}


def _ensure_model(sagemaker: Any, name: str, container: dict[str, Any], role: str, security: dict[str, Any]) -> None:
    _ensure(
        lambda: sagemaker.describe_model(ModelName=name),
        lambda: sagemaker.create_model(ModelName=name, PrimaryContainer=container, ExecutionRoleArn=role, **security),
    )


def _ensure_config(sagemaker: Any, name: str, variant: dict[str, Any], key: dict[str, str]) -> None:
    _ensure(
        lambda: sagemaker.describe_endpoint_config(EndpointConfigName=name),
        lambda: sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[variant], **key),
    )


def _point(sagemaker: Any, endpoint: str, config: str, variant: dict[str, Any]) -> str:
    """Creates the endpoint, updates it, or leaves it: the status that it has then."""
    live = _found(lambda: sagemaker.describe_endpoint(EndpointName=endpoint))
    if live is None:
        sagemaker.create_endpoint(EndpointName=endpoint, EndpointConfigName=config)
        return "Creating"
    status = str(live["EndpointStatus"])
    if status in BROKEN:
        raise DeployRefused(
            f"endpoint {endpoint!r} is {status}: {live.get('FailureReason', '')} Delete it, then deploy"
        )
    if live.get("EndpointConfigName") == config and status != "Deleting":
        return status
    if status in BUSY:
        raise DeployRefused(
            f"endpoint {endpoint!r} is {status} with another configuration: deploy again when it is done"
        )
    before = _found(lambda: sagemaker.describe_endpoint_config(EndpointConfigName=live["EndpointConfigName"])) or {}
    counts = [each.get("InitialInstanceCount") for each in before.get("ProductionVariants", [])]
    # Autoscaling's current count survives an update, unless another count is asked for than last time.
    retain = counts == [variant["InitialInstanceCount"]]
    sagemaker.update_endpoint(EndpointName=endpoint, EndpointConfigName=config, RetainAllVariantProperties=retain)
    return "Updating"


def _ensure(describe: Callable[[], dict[str, Any]], create: Callable[[], object]) -> None:
    """Two invocations at once: the loser's create is refused, and finds what the winner made."""
    if _found(describe) is not None:
        return
    try:
        create()
    except ClientError:
        if _found(describe) is None:
            raise


def _found(describe: Callable[[], dict[str, Any]]) -> dict[str, Any] | None:
    try:
        return describe()
    except ClientError as error:
        if error.response["Error"]["Code"] in ABSENT:
            return None
        raise


def _name(endpoint: str, version: str, content: dict[str, Any]) -> str:
    """<endpoint>-v<version>-<digest>: the same content has the same name, so a repeated call finds it."""
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:10]
    tail = f"-v{version}-{digest}"
    return endpoint[: NAME_LENGTH - len(tail)].rstrip("-") + tail


def _clients() -> dict[str, Any]:
    config = Config(connect_timeout=5, read_timeout=15, retries={"mode": "standard", "max_attempts": 3})
    return {"sagemaker": boto3.client("sagemaker", config=config)}
