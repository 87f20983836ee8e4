"""Target tracking, as Application Auto Scaling does it: two alarms for each policy, and what they ask for.

https://docs.aws.amazon.com/autoscaling/application/userguide/target-tracking-scaling-policy-overview.html. Out when the
metric was above the target for three periods, in when it was below 90 % of it for 15 minutes. As on AWS nothing scales
in while nobody calls at all: there are no values then.
"""

from __future__ import annotations

import math
from collections import namedtuple

from pipeline.local import alarm_states, metrics, names

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from pipeline.local.store import Record, Store

TARGET, POLICY, ACTIVITY = "scalable-target", "scaling-policy", "scaling-activity"
HIGH, LOW = "AlarmHigh", "AlarmLow"
_COOLDOWN_S = 300  # of SageMaker's variants, where a policy has none of its own
_INVOCATIONS, _CONCURRENCY = (
    "SageMakerVariantInvocationsPerInstance",
    "SageMakerVariantConcurrentRequestsPerModelHighResolution",
)
# predefined metric → CloudWatch's, its statistic, and the period of the high alarm; the low one's is a minute
_PREDEFINED = {
    _INVOCATIONS: ("InvocationsPerInstance", "Sum", 60),
    _CONCURRENCY: ("ConcurrentRequestsPerModel", "Average", 10),
}
_PERIODS = {HIGH: 3, LOW: 15}
_LOW_PART = 0.9

# what a policy asks for: `count` instances, because of `alarm`, whose metric was `value`
Wish = namedtuple("Wish", "count alarm value")


def alarms(policy: Mapping[str, Any], policy_arn: str) -> list[dict[str, Any]]:
    """Of a target tracking policy, as PutMetricAlarm takes them; none for metrics that are not gathered here."""
    configuration = policy.get("TargetTrackingScalingPolicyConfiguration")
    metric = _metric(policy["ResourceId"], configuration) if configuration else None
    if configuration is None or metric is None:
        return []
    kinds = [HIGH] if configuration.get("DisableScaleIn") else [HIGH, LOW]
    return [_alarm(kind, policy, configuration["TargetValue"], metric, policy_arn) for kind in kinds]


def _alarm(
    kind: str, policy: Mapping[str, Any], target: float, metric: Mapping[str, Any], policy_arn: str
) -> dict[str, Any]:
    high = kind == HIGH
    return {
        **metric,
        "AlarmName": f"TargetTracking-{policy['ResourceId']}-{kind}-{names.random_id(36)}",
        "AlarmDescription": f"DO NOT EDIT OR DELETE. For TargetTrackingScaling policy {policy_arn}.",
        "ComparisonOperator": "GreaterThanThreshold" if high else "LessThanThreshold",
        "Threshold": target if high else target * _LOW_PART,
        "EvaluationPeriods": _PERIODS[kind],
        "Period": metric["Period"] if high else 60,
        "AlarmActions": [policy_arn],
    }


def _metric(resource: str, configuration: Mapping[str, Any]) -> dict[str, Any] | None:
    _, endpoint, _, variant = resource.split("/")
    dimensions = [{"Name": "EndpointName", "Value": endpoint}, {"Name": "VariantName", "Value": variant}]
    predefined = configuration.get("PredefinedMetricSpecification", {}).get("PredefinedMetricType")
    if predefined in _PREDEFINED:
        name, statistic, period = _PREDEFINED[predefined]
        namespace = metrics.NAMESPACE
    else:
        custom = configuration.get("CustomizedMetricSpecification", {})
        name, namespace = custom.get("MetricName", ""), custom.get("Namespace", "")
        dimensions, statistic = custom.get("Dimensions", []), custom.get("Statistic", "Average")
        period = 60
        if namespace != metrics.NAMESPACE or metrics.series(name, dimensions) is None:
            return None
    return {
        "Namespace": namespace,
        "MetricName": name,
        "Dimensions": dimensions,
        "Statistic": statistic,
        "Period": period,
    }


def wanted(store: Store, endpoint: str, variant: str, count: int, now: float) -> Wish | None:
    """How many instances the variant is to have now, where that is another number than it has.

    Out by the policy that asks for most; in only when all of them say so. Not before a cooldown is over, but for out
    after in.
    """
    resource = f"endpoint/{endpoint}/variant/{variant}"
    for target in store.list(TARGET, f"sagemaker {resource} "):
        policies = store.list(POLICY, f"{target.name} ")
        wishes = [wish for policy in policies if (wish := _wish(store, policy, count))]
        out = [wish for wish in wishes if wish.count > count]
        chosen = max(out, key=lambda wish: wish.count) if out else None
        if chosen is None and wishes and len(wishes) == len([p for p in policies if p.body["Alarms"]]):
            chosen = max(wishes, key=lambda wish: wish.count)
        if chosen is None:
            continue
        bounded = min(max(chosen.count, target.body["MinCapacity"]), target.body["MaxCapacity"])
        if bounded != count and _may(target, policies, bounded > count, now):
            return chosen._replace(count=bounded)
    return None


def _wish(store: Store, policy: Record, count: int) -> Wish | None:
    """What its alarm in ALARM asks for, by the newest value of the metric."""
    configuration = policy.body.get("TargetTrackingScalingPolicyConfiguration", {})
    for each in policy.body["Alarms"]:
        for alarm in store.find(alarm_states.KIND, each["AlarmName"]):
            if alarm.status != alarm_states.ALARM or (value := _newest(store, alarm)) is None:
                continue
            asked = max(1, math.ceil(count * value / configuration["TargetValue"]))
            high = HIGH in alarm.name
            if (asked > count) == high and asked != count:
                return Wish(asked, alarm.name, value)
    return None


def _newest(store: Store, alarm: Record) -> float | None:
    """The metric's value in the last period that was evaluated and has one."""
    body = alarm.body
    wanted_series = metrics.series(body["MetricName"], body["Dimensions"])
    if wanted_series is None:
        return None
    end, count = body["evaluated"], body["EvaluationPeriods"]
    found = metrics.windows(store, wanted_series, end - body["Period"] * count, end, body["Period"])
    return metrics.statistic(found[-1][1], body["Statistic"]) if found else None


def _may(target: Record, policies: list[Record], out: bool, now: float) -> bool:
    if target.body["SuspendedState"]["DynamicScalingOutSuspended" if out else "DynamicScalingInSuspended"]:
        return False
    last = target.body.get("last")
    if not last:
        return True
    if out and not last["out"]:
        return True  # a scale-out waits for no scale-in's cooldown
    member = "ScaleOutCooldown" if last["out"] else "ScaleInCooldown"
    cooldowns = [
        policy.body.get("TargetTrackingScalingPolicyConfiguration", {}).get(member, _COOLDOWN_S) for policy in policies
    ]
    return bool(now - last["time"] >= max(cooldowns, default=_COOLDOWN_S))


def begin(store: Store, endpoint: str, variant: str, before: int, wish: Wish, now: float) -> str:
    """Keeps that the variant is being scaled; returns the activity's id."""
    name = names.random_id(36)
    [target, *_] = store.list(TARGET, f"sagemaker endpoint/{endpoint}/variant/{variant} ")
    body = {
        **{key: target.body[key] for key in ("ServiceNamespace", "ResourceId", "ScalableDimension")},
        "ActivityId": name,
        "Description": f"Setting desired instance count to {wish.count}.",
        "Cause": f"monitor alarm {wish.alarm} in state ALARM triggered policy; its metric was {wish.value:.6g}",
        "StartTime": now,
    }
    store.add(ACTIVITY, name, body, status="InProgress")
    store.change(TARGET, target.name, {"last": {"out": wish.count > before, "time": now}})
    return name


def end(store: Store, activity: str, now: float, failure: str = "") -> None:
    body = store.get(ACTIVITY, activity).body
    done = body["Description"].replace("Setting", "Successfully set")
    message = f"Failed: {failure}" if failure else f"{done} Change successfully fulfilled by sagemaker."
    status = "Failed" if failure else "Successful"
    store.change(ACTIVITY, activity, {"EndTime": now, "StatusMessage": message}, status=status)
