"""An endpoint as it is kept: its status, the fleet that serves, and the one that a deployment under way brings.

Of a record's body, `variants` are what the present configuration named when it came: each with its model's containers,
with `count` (instances wanted) and `weight`, which scaling changes. `pending` is the next configuration, likewise.
"""

from __future__ import annotations

from pipeline.local import endpoint_stages, names
from pipeline.local.operations.answers import pick, remove_tags
from pipeline.request_sizes import LARGEST_ASYNC_INPUT, LARGEST_BODY, LARGEST_SERVERLESS_BODY

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from pipeline.local.endpoint_fleet import Fleet
    from pipeline.local.store import Record, Store

CREATING, UPDATING, ROLLING_BACK, DELETING = "Creating", "Updating", "RollingBack", "Deleting"
IN_SERVICE, FAILED, ROLLBACK_FAILED = "InService", "Failed", "UpdateRollbackFailed"
IN_PROGRESS = (CREATING, UPDATING, ROLLING_BACK, DELETING)
_LONGEST_REASON = 1024  # FailureReason


def fleet(config: str, variants: Sequence[Mapping[str, Any]], containers: Sequence[Any]) -> dict[str, Any]:
    """What a configuration brings: a copy, since an endpoint outlives its models and configuration."""
    kept = []
    for variant, of_model in zip(variants, containers, strict=True):
        count, weight = variant.get("InitialInstanceCount", 1), variant.get("InitialVariantWeight", 1.0)
        kept.append({**variant, "containers": of_model, "count": count, "weight": weight})
    return {"EndpointConfigName": config, "variants": kept, "revision": names.random_id()}


def retain(before: Sequence[Mapping[str, Any]], after: Sequence[dict[str, Any]], excluded: Sequence[str]) -> None:
    """RetainAllVariantProperties: counts and weights stay for variants of the same name, but for those excluded."""
    known = {variant["VariantName"]: variant for variant in before}
    for variant in after:
        old = known.get(variant["VariantName"], {})
        if "DesiredInstanceCount" not in excluded:
            variant |= pick(old, "count")
        if "DesiredWeight" not in excluded:
            variant |= pick(old, "weight")


def plan(pending: Mapping[str, Any], operation: str = "UpdateEndpoint") -> endpoint_stages.Plan:
    counts = {variant["VariantName"]: variant["count"] for variant in pending["variants"]}
    return endpoint_stages.plan(pending.get("deployment", {}), counts, operation)


def limits(body: Mapping[str, Any]) -> dict[str, Any]:
    """`most` bytes of a request; whether it may be `patient`, and ask for more time than a minute."""
    patient = bool(body.get("AsyncInferenceConfig"))
    serverless = any("ServerlessConfig" in variant for variant in body["variants"])
    most = LARGEST_ASYNC_INPUT if patient else LARGEST_SERVERLESS_BODY if serverless else LARGEST_BODY
    return {"most": most, "patient": patient}


def after_update(body: Mapping[str, Any]) -> dict[str, Any]:
    """The changes that make the pending fleet the present one."""
    coming = body["pending"]
    kept = pick(coming, "EndpointConfigName", "variants", "revision")
    return {**kept, "AsyncInferenceConfig": coming.get("AsyncInferenceConfig"), "pending": None, "live": {}}


def resized(
    body: Mapping[str, Any], counts: Mapping[str, int], weights: Mapping[str, float], now: float, activity: str = ""
) -> dict[str, Any]:
    """The changes that begin a scaling: the variants as they are to be, and how they were."""
    known = {variant["VariantName"]: variant for variant in body["variants"]}
    variants, live = [], {}
    for name, variant in known.items():
        count, weight = counts.get(name, variant["count"]), weights.get(name, variant["weight"])
        variants.append({**variant, "count": count, "weight": weight})
        if count != variant["count"]:
            words = f"Scaling {'out' if count > variant['count'] else 'in'} desired instance count to {count}."
            status = [{"Status": UPDATING, "StatusMessage": words, "StartTime": now}]
            live[name] = {"count": variant["count"], "status": status}
    before = {name: {"count": variant["count"], "weight": variant["weight"]} for name, variant in known.items()}
    return {"variants": variants, "live": live, "scaling": {"before": before, "activity": activity}}


def before(body: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The variants before the scaling that is under way."""
    old = (body.get("scaling") or {}).get("before", {})
    return [{**variant, **old.get(variant["VariantName"], {})} for variant in body["variants"]]


def told(body: dict[str, Any], status: str, message: str, now: float, green: Fleet | None) -> dict[str, Any]:
    """The changes that say what a deployment is about, in the new fleet's variants."""
    if not body.get("pending"):
        return {}
    live = {
        variant["VariantName"]: {
            "count": len(green.ports(variant["VariantName"])) if green else 0,
            "status": [{"Status": status, "StatusMessage": message, "StartTime": now}],
        }
        for variant in body["pending"]["variants"]
    }
    return {"pending": {**body["pending"], "live": live}}


def reason(cause: str, log: str) -> str:
    """A FailureReason: the cause, and as much of the end of the log as there is room for."""
    text = cause if cause.endswith(log) else f"{cause}\n{log}"
    if len(text) <= _LONGEST_REASON:
        return text
    head = cause[: _LONGEST_REASON // 2]
    return f"{head}\n…{text[-(_LONGEST_REASON - len(head) - 2) :]}"


def settle(store: Store, name: str) -> None:
    """What is under way is done, as there is no process to do it."""
    with store.transaction():
        body = store.get("endpoint", name).body
        changes = after_update(body) if body.get("pending") else {"scaling": None, "live": {}}
        store.change("endpoint", name, changes, status=IN_SERVICE)


def remove(store: Store, name: str) -> None:
    """If it is (still) one that is Deleting; with what waits for its answers."""
    from pipeline.local import async_host

    with store.transaction():
        for record in store.find("endpoint", name):
            if record.status == DELETING:
                async_host.abandon(store, name)
                store.remove("endpoint", name)
                remove_tags(store, record.arn)


def described(record: Record) -> dict[str, Any]:
    """DescribeEndpoint's members that tell of fleets."""
    body = record.body
    found: dict[str, Any] = {}
    if record.status != CREATING:
        live = body.get("live") or {}
        found["ProductionVariants"] = [_summary(variant, live, asleep=True) for variant in body["variants"]]
    if pending := body.get("pending"):
        live = pending.get("live") or {}
        variants = [_summary(variant, live, asleep=False) for variant in pending["variants"]]
        summary = pick(pending, "EndpointConfigName", "StartTime")
        found["PendingDeploymentSummary"] = {**summary, "ProductionVariants": variants}
    return found


def _summary(variant: Mapping[str, Any], live: Mapping[str, Any], asleep: bool) -> dict[str, Any]:
    """`asleep`: instances that are not known to run are there nevertheless: they wake on demand."""
    now = live.get(variant["VariantName"], {})
    count = now.get("count", variant["count"] if asleep else 0)
    images = [{"SpecifiedImage": container["Image"]} for container in variant["containers"]]
    summary = {
        "VariantName": variant["VariantName"],
        "DeployedImages": images,
        "CurrentWeight": variant["weight"] if asleep or count else 0.0,
        "DesiredWeight": variant["weight"],
        "CurrentInstanceCount": count,
        "DesiredInstanceCount": variant["count"],
    }
    if not asleep:
        summary |= pick(variant, "InstanceType")
    return summary | ({"VariantStatus": now["status"]} if now.get("status") else {})
