"""What an event asks for, checked: every value is a text, because Lambda steps send nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from rollout.account import DeployRefused
from rollout.settings import Alarms, Asynchronous, Scaling, Serverless, Update

STAGES = ("staging", "production")
NAME_LENGTH = 63
NEEDED = ("stage", "model_package_arn", "endpoint_name", "role_arn")
TRUTH = {"true": True, "false": False}


@dataclass(frozen=True)
class Asked:
    """One request to deploy. `at`: when it was made, ISO 8601 in UTC; later requests win."""

    stage: str
    package: str
    endpoint: str
    role: str
    at: str
    machine: dict[str, Any]  # members of the production variant
    security: dict[str, Any]  # members of CreateModel that keep the container apart from the rest of the world
    key: str
    smoke_test: bool
    scaling: Scaling | None
    update: Update
    alarms: Alarms
    asynchronous: Asynchronous | None


def checked(event: dict[str, Any], now: float) -> Asked:
    """Raises DeployRefused for what makes no sense. `now`: seconds, the time of an event that tells none."""
    missing = [key for key in NEEDED if event.get(key) in (None, "")]
    if missing:
        raise DeployRefused(f"the event lacks {', '.join(missing)}")
    if event["stage"] not in STAGES:
        raise DeployRefused(f"stage {event['stage']!r}: take one of {', '.join(STAGES)}")
    endpoint_name(event)
    scaling = Scaling.read(event.get("scaling", ""))
    machine = _machine(event)
    asynchronous = Asynchronous.read(event.get("asynchronous", ""))
    if "ServerlessConfig" in machine and (scaling or asynchronous):
        raise DeployRefused("serverless: such an endpoint scales by itself, and answers at once; leave the others out")
    if asynchronous and _truth(event, "smoke_test"):
        raise DeployRefused("smoke_test: an asynchronous endpoint answers into S3 alone; write false")
    return Asked(
        event["stage"],
        event["model_package_arn"],
        event["endpoint_name"],
        event["role_arn"],
        moment(event.get("asked_at") or now),
        machine,
        _security(event),
        event.get("kms_key") or "",
        _truth(event, "smoke_test"),
        scaling,
        Update.read(event.get("update", "")),
        Alarms.read(event.get("alarms", "")),
        asynchronous,
    )


def endpoint_name(event: dict[str, Any]) -> str:
    name = str(event.get("endpoint_name") or "")
    plain = name.replace("-", "")
    if not (plain.isascii() and plain.isalnum()) or name[0] == "-" or name[-1] == "-" or len(name) > NAME_LENGTH:
        raise DeployRefused(f"endpoint_name {name!r}: take letters, digits and inner hyphens, at most {NAME_LENGTH}")
    return name


def _machine(event: dict[str, Any]) -> dict[str, Any]:
    if serverless := Serverless.read(event.get("serverless", "")):
        return {"ServerlessConfig": serverless.members()}
    missing = [key for key in ("instance_type", "instance_count") if event.get(key) in (None, "")]
    if missing:
        raise DeployRefused(f"the event lacks {', '.join(missing)}")
    count = str(event["instance_count"])
    if not count.isdecimal() or int(count) < 1:
        raise DeployRefused(f"instance_count {event['instance_count']!r}: take a whole number from 1 on")
    ami = {"InferenceAmiVersion": event["inference_ami"]} if event.get("inference_ami") else {}
    return {"InstanceType": event["instance_type"], "InitialInstanceCount": int(count), **ami}


def _security(event: dict[str, Any]) -> dict[str, Any]:
    members: dict[str, Any] = {"EnableNetworkIsolation": _truth(event, "network_isolation")}
    subnets, groups = _ids(event, "subnets"), _ids(event, "security_groups")
    if bool(subnets) != bool(groups):
        raise DeployRefused("subnets and security_groups: a VPC takes both, so give both or neither")
    if subnets:
        members["VpcConfig"] = {"SecurityGroupIds": groups, "Subnets": subnets}
    return members


def _ids(event: dict[str, Any], key: str) -> list[str]:
    return [part.strip() for part in str(event.get(key) or "").split(",") if part.strip()]


def _truth(event: dict[str, Any], key: str) -> bool:
    if event.get(key, "true") not in TRUTH:
        raise DeployRefused(f"{key} {event[key]!r}: take true or false")
    return TRUTH[event.get(key, "true")]


def moment(given: str | float) -> str:
    """ISO 8601 in UTC with microseconds, so that two times are ordered as their texts are."""
    try:
        at = datetime.fromtimestamp(given, UTC) if isinstance(given, int | float) else datetime.fromisoformat(given)
    except (ValueError, TypeError, OverflowError, OSError):
        raise DeployRefused(f"asked_at {given!r}: take a time such as 2026-12-01T12:00:00Z") from None
    if at.tzinfo is None:
        raise DeployRefused(f"asked_at {given!r}: say in which time zone, such as with a Z behind it")
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
