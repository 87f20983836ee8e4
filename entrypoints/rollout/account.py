"""What the deployment talks to, and how it tells what does not exist from what went wrong."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

SERVICES = ("sagemaker", "sagemaker-runtime", "s3", "cloudwatch", "application-autoscaling")
# Describe calls of SageMaker answer ValidationException for what does not exist; newer ones ResourceNotFound.
ABSENT = ("ValidationException", "ResourceNotFound", "ObjectNotFoundException", "NoSuchKey", "404")


class DeployRefused(Exception):
    """What was asked for cannot be done; nothing was begun. Ends the invocation with this sentence."""


class DeployFailed(Exception):
    """A deployment ended badly. Raised once, when that is recorded: the function's alarm tells the team."""


@dataclass(frozen=True)
class Account:
    """boto3's clients, and a clock with time() and sleep()."""

    sagemaker: Any
    runtime: Any
    s3: Any
    cloudwatch: Any
    scaling: Any
    clock: Any = time

    def endpoint(self, name: str) -> dict[str, Any] | None:
        return found(lambda: self.sagemaker.describe_endpoint(EndpointName=name))

    def variant(self, config: str) -> dict[str, Any]:
        """The only variant of an endpoint configuration; empty where that was deleted."""
        known = found(lambda: self.sagemaker.describe_endpoint_config(EndpointConfigName=config)) or {}
        variants: list[dict[str, Any]] = known.get("ProductionVariants") or [{}]
        return variants[0]

    def tags(self, arn: str) -> dict[str, str]:
        request: dict[str, Any] = {"ResourceArn": arn}
        known: dict[str, str] = {}
        while True:
            answer = self.sagemaker.list_tags(**request)
            known |= {tag["Key"]: tag["Value"] for tag in answer["Tags"]}
            if not answer.get("NextToken"):
                return known
            request["NextToken"] = answer["NextToken"]


def of(clients: Mapping[str, Any]) -> Account:
    return Account(*(clients[name] for name in SERVICES), clients.get("clock", time))


def found(describe: Callable[[], dict[str, Any]]) -> dict[str, Any] | None:
    try:
        return describe()
    except ClientError as error:
        if error.response["Error"]["Code"] in ABSENT:
            return None
        raise


def gone(delete: Callable[[], object]) -> None:
    """Deletes what may have been deleted before."""
    try:
        delete()
    except ClientError as error:
        if error.response["Error"]["Code"] not in ABSENT:
            raise


def ensure(describe: Callable[[], dict[str, Any]], create: Callable[[], object]) -> None:
    """Two invocations at once: the loser's create is refused, and finds what the winner made."""
    if found(describe) is not None:
        return
    try:
        create()
    except ClientError:
        if found(describe) is None:
            raise
