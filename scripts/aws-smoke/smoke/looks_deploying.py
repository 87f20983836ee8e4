"""What an endpoint shows of its last update: by the deploying function, and by SageMaker, which may take it back."""

from __future__ import annotations

from typing import Any

from rollout.record import ASKING, FAILED, GOOD

from smoke.account import Account
from smoke.deployed import Deployed, production
from smoke.stages import ENDPOINT
from smoke.verdict import CannotTell, Check, Verdict, judged

_SECOND = "a second model that is approved: it updates the endpoint of the first"
_TWO = (
    "two instances by register-scalable-target with --min-capacity 2, deploy.instance_count 1; then a second approval"
)
_HIGH = "SageMakerVariantConcurrentRequestsPerModelHighResolution"
_TRIPLE = {"EndpointName", "VariantName", "EndpointConfigName"}


def guarded_update(account: Account) -> Verdict:
    found = production(account)
    if found.record["phase"] == ASKING:
        return judged(False, f"{found.name}: {found.record['asked']} was asked for and is not on its way; see the log")
    last = found.described.get("LastDeploymentConfig", {})
    policy = last.get("BlueGreenUpdatePolicy", {})
    routing = policy.get("TrafficRoutingConfiguration", {}).get("Type", "")
    wait, alarms = (
        policy.get("TerminationWaitInSeconds", 0),
        last.get("AutoRollbackConfiguration", {}).get("Alarms", []),
    )
    if routing != "ALL_AT_ONCE" or not wait or not alarms:
        raise CannotTell(
            f"the last deployment of {found.name}: {last or 'its first one'}", f"one instance, and {_SECOND}"
        )
    told = f"{found.name} was updated {routing}, with {len(alarms)} alarms for {wait} s; it is {found.status}"
    return judged(found.status in ("InService", "Updating"), told)


def kept_count(account: Account) -> Verdict:
    """What scaling had made of the fleet before the configuration that it has now was made."""
    found = production(account)
    initial, made = int(found.variant()["InitialInstanceCount"]), found.config()["CreationTime"]
    scaled = found.scaled()
    before = [count for when, count in scaled if when < made]
    if not before or before[0] == initial or len(before) < len(scaled):
        raise CannotTell(f"of {initial} asked for, scaled to {scaled or 'nothing'}; updated at {made}", _TWO)
    count = int(found.described["ProductionVariants"][0]["DesiredInstanceCount"])
    return judged(count == before[0], f"scaled to {before[0]}, then updated: {count}; its configuration has {initial}")


def machine_change(account: Account) -> Verdict:
    """A variant that scales, whose scaling was taken back for another kind of machine."""
    found = production(account)
    record = found.record
    pair = (record["before"], record["good"]) if record["phase"] == GOOD else (record["good"], record["asked"])
    kinds = [found.variant(name).get("InstanceType", "") if name else "" for name in pair]
    if not all(kinds) or kinds[0] == kinds[1]:
        raise CannotTell(f"{found.name} had {kinds[0]!r}, then {kinds[1]!r}", f"deploy.instance_type, and {_SECOND}")
    if record["phase"] == FAILED:
        raise CannotTell(f"{found.name}: {record['reason']}", "again, with a model that comes into service")
    targets = account.ask(
        "application-autoscaling",
        "describe_scalable_targets",
        ServiceNamespace=found.about["ServiceNamespace"],
        ResourceIds=[found.about["ResourceId"]],
    )["ScalableTargets"]
    told = f"{kinds[0]} to {kinds[1]}: {record['phase']}, {len(targets)} scalable targets"
    return judged(record["phase"] == GOOD and bool(targets), told)


def silent_rollback(account: Account) -> Verdict:
    found = production(account)
    record = found.record
    if found.serves == record["asked"]:
        raise CannotTell(f"{found.name} has what was asked for", "an update that SageMaker rolls back: see rolled-back")
    if record["phase"] == FAILED and "rolled back" not in record["reason"]:
        raise CannotTell(f"{found.name} went back for another reason: {record['reason']}", "see rolled-back")
    told = f"{found.name} is {found.status} by {found.serves}; {record['asked']}: {record['phase']}, {record['reason']}"
    return judged(found.status == "InService" and record["phase"] == FAILED, told)


def golden_pictures(account: Account) -> Verdict:
    found = production(account)
    record = found.record
    if record["smoke_test"] != "true" or record["phase"] not in (GOOD, FAILED):
        raise CannotTell(
            f"{found.name}: {record['phase']}, smoke_test {record['smoke_test']}", "deploy.smoke_test: true"
        )
    wrong = "smoke test failed" in record["reason"]
    if record["phase"] == FAILED and not wrong:
        raise CannotTell(f"{found.name}: {record['reason']}", "a deployment that comes into service")
    return judged(not wrong, f"{found.name}: {record['phase']} {record['reason']}".rstrip())


def alarm_dimensions(account: Account) -> Verdict:
    found = production(account)
    named = [{"Name": "EndpointName", "Value": found.name}]
    seen = {
        metric: [
            {each["Name"] for each in row["Dimensions"]}
            for row in account.pages(
                "cloudwatch",
                "list_metrics",
                "Metrics",
                Namespace="AWS/SageMaker",
                MetricName=metric,
                Dimensions=named,
            )
        ]
        for metric in ("Invocation5XXErrors", "ModelLatency")
    }
    if not all(seen.values()):
        raise CannotTell(f"metrics of {found.name}: {seen}", "ask it once, and look again ten minutes later")
    told = {metric: sorted(map(sorted, several)) for metric, several in seen.items()}
    return judged(all(_TRIPLE in several for several in seen.values()), f"dimensions: {told}")


def concurrency_alarm(account: Account) -> Verdict:
    found = production(account)
    rows = account.pages("application-autoscaling", "describe_scaling_policies", "ScalingPolicies", **found.about)
    policies = [row for row in rows if _metric(row) == _HIGH]
    if not policies:
        raise CannotTell(f"no policy of {found.name} is of {_HIGH}", "deploy.scaling.metric: concurrency, and approve")
    names = [each["AlarmName"] for row in policies for each in row["Alarms"]]
    alarms = account.ask("cloudwatch", "describe_alarms", AlarmNames=names)["MetricAlarms"]
    periods = sorted(_period(alarm) for alarm in alarms)
    return judged(bool(periods) and periods[0] < 60, f"seconds that its alarms look at: {periods}")


def scaled_to_nothing(account: Account) -> Verdict:
    """An asynchronous endpoint without requests, and then with more than one."""
    found = production(account)
    counts = [count for _, count in reversed(found.scaled())]
    if 0 not in counts:
        raise CannotTell(f"{found.name} was scaled to {counts or 'nothing'}", "deploy.asynchronous, scaling.min: 0")
    woken = any(counts[counts.index(0) :])
    if not woken:
        raise CannotTell(f"{found.name} is at nothing: {counts}", "a dozen requests at once; half an hour later")
    return judged(woken, f"{found.name} was scaled to {counts}")


def serverless_update(account: Account) -> Verdict:
    found: Deployed = production(account)
    variant = (found.described.get("ProductionVariants") or [{}])[0]
    record = found.record
    if "CurrentServerlessConfig" not in variant or not (record["before"] or record["phase"] == ASKING):
        raise CannotTell(
            f"{found.name}: {variant}, after {record['before'] or 'nothing'}", f"deploy.serverless, {_SECOND}"
        )
    return judged(record["phase"] == GOOD, f"{found.name}: {record['phase']} {record['reason']}".rstrip())


def fleet_messages(account: Account) -> Verdict:
    """While an update goes on: what SageMaker says of the variants that come."""
    found = production(account)
    coming = found.described.get("PendingDeploymentSummary", {}).get("ProductionVariants", [])
    if found.status != "Updating" or not coming:
        raise CannotTell(f"{found.name} is {found.status}, and nothing comes", f"while it is updated: {_SECOND}")
    told = [said for each in coming for said in each.get("VariantStatus", [])]
    return judged(bool(told) and all(each.get("Status") for each in told), f"{found.name} is updated: {told}")


def _metric(policy: dict[str, Any]) -> str:
    tracking = policy.get("TargetTrackingScalingPolicyConfiguration", {})
    return str(tracking.get("PredefinedMetricSpecification", {}).get("PredefinedMetricType", ""))


def _period(alarm: dict[str, Any]) -> int:
    """Of a metric that is computed out of others, the shortest of theirs."""
    periods = [each["MetricStat"]["Period"] for each in alarm.get("Metrics", ()) if "MetricStat" in each]
    return int(min(periods, default=alarm.get("Period", 60)))


CHECKS = (
    Check("golden-pictures", ENDPOINT, golden_pictures, "phase good, with smoke_test true"),
    Check("guarded-update", ENDPOINT, guarded_update, "ALL_AT_ONCE with alarms and a wait, and InService or Updating"),
    Check("fleet-messages", ENDPOINT, fleet_messages, "VariantStatus of the fleet that comes, while an update goes on"),
    Check("alarm-dimensions", ENDPOINT, alarm_dimensions, "EndpointConfigName beside EndpointName and VariantName"),
    Check("kept-count", ENDPOINT, kept_count, "as many instances after the update as scaling had made before"),
    Check("machine-change", ENDPOINT, machine_change, "phase good on the other machine, and a scalable target again"),
    Check("silent-rollback", ENDPOINT, silent_rollback, "phase failed, InService by the configuration before"),
    Check("concurrency-alarm", ENDPOINT, concurrency_alarm, "alarms that look at less than 60 s"),
    Check("scaled-to-nothing", ENDPOINT, scaled_to_nothing, "0 instances, and later some again"),
    Check("serverless-update", ENDPOINT, serverless_update, "phase good, with a configuration before it"),
)
