"""A deployed pipeline for tests, on this machine or reached by boto3 over HTTP; programs that die between two calls."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from typing import Any

from pipeline.client import Clients, aws_client, local_client
from pipeline.control import upserting, versions
from pipeline.errors import Unavailable

ROLE = "arn:aws:iam::123456789012:role/darkroom"
NAME = "digits"
PLACE = "s3://bucket/prefix/"


def text(mark: str = "", size: int = 0) -> str:
    metadata = {"mark": mark, "filling": "x" * size}
    return json.dumps({"Version": "2020-12-01", "Metadata": metadata, "Parameters": [], "Steps": []}, indent=1)


def wanted(mark: str = "", **changes: Any) -> upserting.Wanted:
    tags = [{"Key": "team", "Value": "vision"}]
    return upserting.Wanted(NAME, text(mark), ROLE, "about", tags, PLACE)._replace(**changes)


def connected(home: str) -> Clients:
    """By boto3 where AWS_ENDPOINT_URL leads somewhere, else without HTTP."""
    return aws_client(home, "us-east-1") if "AWS_ENDPOINT_URL" in os.environ else local_client(home)


def aliases(clients: Clients) -> dict[str, int]:
    return {alias: version.id for version in versions.newest_first(clients, NAME) for alias in version.aliases}


def tags(clients: Clients) -> dict[str, str]:
    arn = versions.newest_first(clients, NAME)[0].arn
    return {tag["Key"]: tag["Value"] for tag in clients.sagemaker.list_tags(ResourceArn=arn)["Tags"]}


class Counting:
    """A client; of its calls that change something, `instead(method, request)` is called in place of the n-th."""

    def __init__(self, sagemaker: Any, left: int, instead: Callable[[Any, dict[str, Any]], Any]) -> None:
        self.sagemaker, self.left, self.instead = sagemaker, left, instead

    def __getattr__(self, name: str) -> Any:
        method = getattr(self.sagemaker, name)
        if name.startswith(("list_", "describe_")):
            return method

        def call(**request: Any) -> Any:
            self.left -= 1
            return self.instead(method, request) if self.left == 0 else method(**request)

        return call


def die(*_: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def answer_is_lost(method: Any, request: dict[str, Any]) -> None:
    """It is done all the same."""
    method(**request)
    raise Unavailable("ConnectionClosed", f"{method.__name__} got no answer", uncertain=True)


def main(argv: list[str]) -> None:
    """HOME CALLS upsert MARK | promote ALIAS VERSION | rollback ALIAS."""
    home, calls, verb, *rest = argv
    clients = connected(home)
    clients = clients._replace(sagemaker=Counting(clients.sagemaker, int(calls), die))
    match verb, rest:
        case "upsert", [mark]:
            upserting.upsert(clients, wanted(mark), versions.CURRENT, mark * 40)
        case "promote", [alias, number]:
            versions.promote(clients, NAME, alias, int(number))
        case "rollback", [alias]:
            versions.rollback(clients, NAME, alias)
        case _:
            raise SystemExit(f"unknown: {argv}")


if __name__ == "__main__":
    main(sys.argv[1:])
