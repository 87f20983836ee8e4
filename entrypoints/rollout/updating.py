"""UpdateEndpoint as a blue/green deployment: a canary where the fleet is large enough, alarms that take it back."""

from __future__ import annotations

from typing import Any

from botocore.exceptions import ClientError

from rollout import alarms, scaling
from rollout.account import Account
from rollout.record import Record
from rollout.settings import Alarms, Update

BUSY = ("Creating", "Updating", "SystemUpdating", "RollingBack")
BROKEN = ("Failed", "UpdateRollbackFailed", "OutOfService")


def target(live: dict[str, Any]) -> str:
    """The configuration that the endpoint has, or is on its way to."""
    pending = live.get("PendingDeploymentSummary") or {}
    return str(pending.get("EndpointConfigName") or live["EndpointConfigName"])


def send(account: Account, live: dict[str, Any], config: str, record: Record, *, guarded: bool = True) -> None:
    """Points the endpoint at `config`; what another invocation sent meanwhile is taken as sent.

    Not `guarded`: all at once and without alarms, for the way back to what was good.
    """
    before, after = account.variant(live["EndpointConfigName"]), account.variant(config)
    if before.get("InstanceType") != after.get("InstanceType"):
        # https://docs.aws.amazon.com/sagemaker/latest/dg/endpoint-scaling-update.html: such an update fails otherwise
        scaling.delete(account, live["EndpointName"])
    request = _kept(live, before, after) if "ServerlessConfig" not in after else {}
    if count := request.pop("count", 0):  # a serverless endpoint has no fleets: SageMaker updates it in its own way
        request["DeploymentConfig"] = deployment(count, config, record, guarded)
    try:
        account.sagemaker.update_endpoint(EndpointName=live["EndpointName"], EndpointConfigName=config, **request)
    except ClientError:
        now = account.endpoint(live["EndpointName"])
        if now is None or target(now) != config:
            raise


def deployment(count: int, config: str, record: Record, guarded: bool = True) -> dict[str, Any]:
    """DeploymentConfig for a fleet of `count` instances.

    A canary is at most half of it, so a single instance changes all at once: its alarms count while the old one waits.
    """
    settings = Update.read(record.update)
    if not guarded:
        return {
            "BlueGreenUpdatePolicy": {"TrafficRoutingConfiguration": _routing("ALL_AT_ONCE", 0), **_timeout(settings)}
        }
    traffic = _routing("ALL_AT_ONCE", 0)
    if count > 1:
        size = max(1, count * settings.canary // 100)
        traffic = _routing("CANARY", settings.bake_s) | {"CanarySize": {"Type": "INSTANCE_COUNT", "Value": size}}
    wait = {"TerminationWaitInSeconds": settings.wait_s}
    watched = [{"AlarmName": name} for name in alarms.names(config, Alarms.read(record.alarms))]
    return {
        "BlueGreenUpdatePolicy": {"TrafficRoutingConfiguration": traffic, **wait, **_timeout(settings)},
        "AutoRollbackConfiguration": {"Alarms": watched},
    }


def _routing(kind: str, seconds: int) -> dict[str, Any]:
    return {"Type": kind, "WaitIntervalInSeconds": seconds}


def _timeout(settings: Update) -> dict[str, int]:
    return {"MaximumExecutionTimeoutInSeconds": settings.timeout_s}


def _kept(live: dict[str, Any], before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    """Autoscaling's current count survives an update, unless another count is asked for than last time."""
    retained = bool(after) and before.get("InitialInstanceCount") == after.get("InitialInstanceCount")
    count = _count(live) if retained else int(after.get("InitialInstanceCount", 1))
    return {"RetainAllVariantProperties": retained, "count": count}


def _count(live: dict[str, Any]) -> int:
    variants = live.get("ProductionVariants") or [{}]
    return int(variants[0].get("CurrentInstanceCount") or variants[0].get("DesiredInstanceCount") or 1)
