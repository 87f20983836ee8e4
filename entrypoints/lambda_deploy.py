"""Lambda handler that deploys model packages to endpoints: it starts, looks again, goes back, takes down."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from rollout import account, advancing, asking, leaving, starting
from rollout.account import Account, DeployRefused

ACTIONS = ("start", "advance", "rollback", "undeploy")
ENDPOINT_EVENTS = ("SageMaker Endpoint State Change", "SageMaker Endpoint Deployment State Change")


def handler(event: dict[str, Any], context: object, clients: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """{"action": …, "endpoint_name": …, …} → names, status, phase and reason, all texts.

    `start` also takes what to deploy (rollout/asking.py). `advance` takes one endpoint, several with commas between
    them, or EventBridge's own event: about one, or of its clock about those in ENDPOINT_NAMES. Each action may be
    repeated at any time. Raises DeployRefused where nothing was begun, and DeployFailed once for a deployment that
    ended badly.
    """
    event = translated(event)
    action = event.get("action")
    if action not in ACTIONS:
        raise DeployRefused(f"action {action!r}: take one of {', '.join(ACTIONS)}")
    there = account.of(clients or _clients())
    answer = _act(action, event, there)
    print({key: value for key, value in answer.items() if value})
    return answer


def _act(action: str, event: dict[str, Any], there: Account) -> dict[str, Any]:
    match action:
        case "start":
            return starting.start(there, asking.checked(event, there.clock.time()))
        case "rollback":
            at = asking.moment(event.get("asked_at") or there.clock.time())
            return starting.rollback(there, asking.endpoint_name(event), at)
        case "undeploy":
            return leaving.undeploy(there, asking.endpoint_name(event))
        case _:
            return _advance(there, event)


def _advance(there: Account, event: dict[str, Any]) -> dict[str, Any]:
    """Of several endpoints each is looked at, whatever became of the one before; the first error is raised then."""
    names = str(event.get("endpoint_name") or "").split(",")
    answers: dict[str, Any] = {}
    failed: list[Exception] = []
    for name in (asking.endpoint_name({"endpoint_name": each.strip()}) for each in names):
        try:
            answers[name] = advancing.advance(there, name)
        except (account.DeployFailed, DeployRefused, ClientError, BotoCoreError) as failure:
            failed.append(failure)
    if failed:
        raise failed[0]
    return answers if len(names) > 1 else answers[names[0].strip()]


def translated(event: dict[str, Any]) -> dict[str, Any]:
    """What an event of EventBridge asks of `handler`: about an endpoint, or of the clock, which knows no endpoints."""
    kind = event.get("detail-type")
    if kind in ENDPOINT_EVENTS:
        return {"action": "advance", "endpoint_name": event.get("detail", {}).get("EndpointName", "")}
    if kind == "Scheduled Event":
        return {"action": "advance", "endpoint_name": os.environ.get("ENDPOINT_NAMES", "")}
    return event


def _clients() -> dict[str, Any]:
    """Invoking waits as long as a container may take; whatever else is asked answers within seconds."""
    quick = Config(connect_timeout=5, read_timeout=15, retries={"mode": "standard", "max_attempts": 3})
    patient = quick.merge(Config(read_timeout=65))
    return {
        name: boto3.client(name, config=patient if name == "sagemaker-runtime" else quick) for name in account.SERVICES
    }
