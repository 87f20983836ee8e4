"""CloudWatch alarms of a new fleet, which SageMaker watches while it updates the endpoint.

https://docs.aws.amazon.com/sagemaker/latest/dg/deployment-guardrails-configuration.html: the dimension
EndpointConfigName has the new fleet's answers alone, so an old fleet that is ill does not keep its cure away.
"""

from __future__ import annotations

from typing import Any

from rollout.account import Account, gone
from rollout.settings import Alarms

VARIANT = "AllTraffic"
_MICROSECONDS = 1000  # in a millisecond


def ensure(account: Account, endpoint: str, config: str, settings: Alarms) -> list[str]:
    """Names of the alarms for an update to `config`; PutMetricAlarm changes one that is there."""
    for request in requests(endpoint, config, settings):
        account.cloudwatch.put_metric_alarm(**request)
    return names(config, settings)


def names(config: str, settings: Alarms) -> list[str]:
    return [_errors(config), *([_latency(config)] if settings.latency_ms else []), *settings.others]


def requests(endpoint: str, config: str, settings: Alarms) -> list[dict[str, Any]]:
    """Without data nothing breaches: nobody may ask the endpoint at night."""
    dimensions = {"EndpointName": endpoint, "VariantName": VARIANT, "EndpointConfigName": config}
    common = {
        "Namespace": "AWS/SageMaker",
        "Dimensions": [{"Name": name, "Value": value} for name, value in dimensions.items()],
        "Period": 60,
        "EvaluationPeriods": settings.minutes,
        "ComparisonOperator": "GreaterThanOrEqualToThreshold",
        "TreatMissingData": "notBreaching",
    }
    errors = {
        "AlarmName": _errors(config),
        "AlarmDescription": f"Of the answers of {config}, {settings.errors:.0%} or more had a status of 5xx",
        "MetricName": "Invocation5XXErrors",
        "Statistic": "Average",  # the metric is 1 or 0 for each invocation
        "Threshold": settings.errors,
    }
    latency = {
        "AlarmName": _latency(config),
        "AlarmDescription": f"The slowest hundredth of the answers of {config} took {settings.latency_ms} ms or more",
        "MetricName": "ModelLatency",
        "ExtendedStatistic": "p99",
        "Threshold": float(settings.latency_ms * _MICROSECONDS),
    }
    return [common | each for each in ([errors, latency] if settings.latency_ms else [errors])]


def raised(account: Account, wanted: list[str]) -> str:
    """Which of them are in alarm, and why; empty when none is."""
    known = account.cloudwatch.describe_alarms(AlarmNames=wanted)["MetricAlarms"]
    return "; ".join(
        f"alarm {each['AlarmName']}: {each.get('StateReason', '')}" for each in known if each["StateValue"] == "ALARM"
    )


def delete(account: Account, config: str) -> None:
    """DeleteAlarms with one name that does not exist may delete none: only those that are there are named."""
    ours = [_errors(config), _latency(config)]
    there = [each["AlarmName"] for each in account.cloudwatch.describe_alarms(AlarmNames=ours)["MetricAlarms"]]
    if there:
        gone(lambda: account.cloudwatch.delete_alarms(AlarmNames=there))


def _errors(config: str) -> str:
    return f"{config}-errors"


def _latency(config: str) -> str:
    return f"{config}-latency"
