"""Model and endpoint configuration: named by version and content, made once, deleted when no way leads back."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from rollout import alarms
from rollout.account import Account, DeployRefused, ensure, found, gone
from rollout.asking import NAME_LENGTH, Asked
from rollout.record import PREFIX

VARIANT = "AllTraffic"  # the same in each configuration: a rolling or blue/green update needs equal names
DIGITS = 10
_TAIL = re.compile(rf"-v[0-9]+-[0-9a-f]{{{DIGITS}}}")
_CONTAINER = ("Image", "ModelDataUrl", "ModelDataSource", "Environment")


@dataclass(frozen=True)
class Made:
    """What CreateModel and CreateEndpointConfig are asked for, tags aside."""

    model: dict[str, Any]
    config: dict[str, Any]

    @property
    def name(self) -> str:
        return str(self.config["EndpointConfigName"])

    @property
    def variant(self) -> dict[str, Any]:
        return dict(self.config["ProductionVariants"][0])


def package_of(account: Account, arn: str) -> dict[str, Any]:
    package = found(lambda: account.sagemaker.describe_model_package(ModelPackageName=arn))
    if package is None:
        raise DeployRefused(f"model package {arn!r} does not exist, or is not in this region")
    return package


def requests(package: dict[str, Any], asked: Asked) -> Made:
    """Raises DeployRefused for a package that this stage does not take."""
    version = str(package.get("ModelPackageVersion", 0))
    container = _container(package, asked)
    content = {"container": container, "role": asked.role, **asked.security}
    model = name(asked.endpoint, version, content)
    variant = {"VariantName": VARIANT, "ModelName": model, **asked.machine}
    more: dict[str, Any] = {"KmsKeyId": asked.key} if asked.key else {}
    if asked.asynchronous:
        more["AsyncInferenceConfig"] = asked.asynchronous.members()
    config = name(asked.endpoint, version, {**variant, **more})
    return Made(
        {"ModelName": model, "PrimaryContainer": container, "ExecutionRoleArn": asked.role, **asked.security},
        {"EndpointConfigName": config, "ProductionVariants": [variant], **more},
    )


def ensure_both(account: Account, made: Made, asked: Asked) -> None:
    words = {"endpoint": asked.endpoint, "stage": asked.stage, "package": asked.package}
    tags = [{"Key": f"{PREFIX}{key}", "Value": value} for key, value in words.items()]
    model, config = made.model["ModelName"], made.name
    ensure(
        lambda: account.sagemaker.describe_model(ModelName=model),
        lambda: account.sagemaker.create_model(**made.model, Tags=tags),
    )
    ensure(
        lambda: account.sagemaker.describe_endpoint_config(EndpointConfigName=config),
        lambda: account.sagemaker.create_endpoint_config(**made.config, Tags=tags),
    )


def package_behind(account: Account, config: str) -> str:
    """The ARN of the model package that an endpoint configuration was made of; empty for somebody else's."""
    known = found(lambda: account.sagemaker.describe_endpoint_config(EndpointConfigName=config))
    return account.tags(known["EndpointConfigArn"]).get(f"{PREFIX}package", "") if known else ""


def forget(account: Account, endpoint: str, kept: set[str], made_before: float) -> None:
    """Deletes alarms, models and configurations that were made for `endpoint`, except the `kept` ones and theirs.

    A configuration goes last of what belongs to it, so that a repeated call finds what is left. `made_before`: seconds.
    """
    there = _made_for(account, endpoint, "EndpointConfig")
    leaving = [config for config, made in there.items() if config not in kept and made < made_before]
    for config in leaving:
        alarms.delete(account, config)
    needed = {str(account.variant(config).get("ModelName", "")) for config in {*there, *kept} - {*leaving, ""}}
    for model, made in _made_for(account, endpoint, "Model").items():
        if model not in needed and made < made_before:
            _delete_model(account, model)
    for config in leaving:
        _delete_config(account, config)


def _delete_model(account: Account, name: str) -> None:
    gone(lambda: account.sagemaker.delete_model(ModelName=name))


def _delete_config(account: Account, name: str) -> None:
    gone(lambda: account.sagemaker.delete_endpoint_config(EndpointConfigName=name))


def _made_for(account: Account, endpoint: str, kind: str) -> dict[str, float]:
    """Name → when it was made, in seconds. `kind`: Model or EndpointConfig. Tags say whose it is: names may be cut."""
    operation = {
        "Model": account.sagemaker.list_models,
        "EndpointConfig": account.sagemaker.list_endpoint_configs,
    }[kind]
    rows = [row for row in _pages(operation, f"{kind}s", _front(endpoint)) if _is_like(row[f"{kind}Name"], endpoint)]
    ours = [row for row in rows if _tagged(account, row[f"{kind}Arn"]) == endpoint]
    return {row[f"{kind}Name"]: row["CreationTime"].timestamp() for row in ours}


def _tagged(account: Account, arn: str) -> str:
    """Empty where it was deleted meanwhile."""
    answer = found(lambda: account.tags(arn))
    return (answer or {}).get(f"{PREFIX}endpoint", "")


def _pages(operation: Any, key: str, contained: str) -> Iterator[dict[str, Any]]:
    request: dict[str, Any] = {"NameContains": contained, "MaxResults": 100}
    while True:
        answer = operation(**request)
        yield from answer[key]
        if not answer.get("NextToken"):
            return
        request["NextToken"] = answer["NextToken"]


def _is_like(name: str, endpoint: str) -> bool:
    tail = _TAIL.search(name)
    return tail is not None and name == _cut(endpoint, tail[0]) + tail[0]


def _front(endpoint: str) -> str:
    """What all names begin with; a version may have five digits."""
    return _cut(endpoint, f"-v99999-{'0' * DIGITS}")


def _cut(endpoint: str, tail: str) -> str:
    return endpoint[: NAME_LENGTH - len(tail)].rstrip("-")


def name(endpoint: str, version: str, content: dict[str, Any]) -> str:
    """<endpoint>-v<version>-<digest>: the same content has the same name, so a repeated call finds it."""
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:DIGITS]
    tail = f"-v{version}-{digest}"
    return _cut(endpoint, tail) + tail


def _container(package: dict[str, Any], asked: Asked) -> dict[str, Any]:
    """Staging takes image and archive out of the package: SageMaker refuses the package's name until it is Approved."""
    if asked.stage == "production":
        status = package.get("ModelApprovalStatus")
        if status != "Approved":
            raise DeployRefused(
                f"model package {asked.package!r} is {status!r}, and production takes only Approved ones: approve it "
                "first"
            )
        return {"ModelPackageName": asked.package}
    containers = package.get("InferenceSpecification", {}).get("Containers", [])
    if len(containers) != 1:
        raise DeployRefused(f"model package {asked.package!r} has {len(containers)} containers, not one")
    return {key: containers[0][key] for key in _CONTAINER if containers[0].get(key)}
