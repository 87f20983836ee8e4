"""Alarms of the team's topic: what was not delivered, functions that fail, endpoints that answer with errors."""

from __future__ import annotations

from pipeline.infra.events import ACTING, QUEUE, RULES
from pipeline.infra.functions import LOGICAL
from pipeline.infra.intrinsics import Json, either, ref, sub
from pipeline.infra.messages import TEAM
from pipeline.infra.packaging import CHAMPION, DEPLOY
from pipeline.infra.setting import Setting

PERIOD = 300  # seconds
VARIANT = "AllTraffic"  # as lambda_deploy.py calls it
_NAMES = ("staging", "production")


def resources(setting: Setting, rules: Json) -> Json:
    """`rules`: those of them that are there."""
    programs = [package.program for package in setting.packages]
    found = {"UndeliveredAlarm": _undelivered()}
    found["RulesAlarm"] = _rules([each for each in RULES if each in rules])
    for program in (each for each in (DEPLOY, CHAMPION) if each in programs):
        found[f"{LOGICAL[program]}Alarm"] = _function(LOGICAL[program])
    for name, endpoint in zip(_NAMES, setting.endpoints, strict=True):
        found[f"{name.capitalize()}Alarm"] = _endpoint(name, endpoint)
    return found


def _undelivered() -> Json:
    """In this queue, nothing is right: one message is enough."""
    metric = {"Namespace": "AWS/SQS", "MetricName": "ApproximateNumberOfMessagesVisible", "Statistic": "Maximum"}
    text = "An event was not acted on, such as an approval that deployed nothing; the queue has it for two weeks"
    return _alarm("undelivered-events", text, metric, QueueName={"Fn::GetAtt": [QUEUE, "QueueName"]})


def _rules(rules: list[str]) -> Json:
    """One for all: EventBridge counts only what failed, and a rule that is not there has no such metric."""
    metrics = [_failures(f"m{number}", rule) for number, rule in enumerate(rules)]
    total = {"Id": "total", "Expression": "SUM(METRICS())", "Label": "not delivered"}
    names = ", ".join(rules)
    alarm = _alarm("rules", f"One of the rules could not reach its target: {names}", {"Metrics": [total, *metrics]})
    del alarm["Properties"]["Period"], alarm["Properties"]["Dimensions"]
    return alarm


def _failures(name: str, rule: str) -> Json:
    metric = {
        "Namespace": "AWS/Events",
        "MetricName": "FailedInvocations",
        "Dimensions": [{"Name": "RuleName", "Value": ref(rule)}],
    }
    found = {"Id": name, "ReturnData": False, "MetricStat": {"Metric": metric, "Period": PERIOD, "Stat": "Sum"}}
    return either("HasFunctions", found) if rule in ACTING else found


def _function(function: str) -> Json:
    metric = {"Namespace": "AWS/Lambda", "MetricName": "Errors", "Statistic": "Sum"}
    text = f"{function} ended with an error; its log group says which"
    return _alarm(f"{function}-errors", text, metric, FunctionName=ref(function)) | {"Condition": "HasFunctions"}


def _endpoint(name: str, endpoint: str) -> Json:
    metric = {"Namespace": "AWS/SageMaker", "MetricName": "Invocation5XXErrors", "Statistic": "Sum"}
    text = f"Endpoint {endpoint} answered with errors of its own"
    return _alarm(f"{name}-5xx", text, metric, EndpointName=endpoint, VariantName=VARIANT)


def _alarm(name: str, description: str, metric: Json, **dimensions: object) -> Json:
    return {
        "Type": "AWS::CloudWatch::Alarm",
        "Properties": {
            "AlarmName": sub(f"${{AWS::StackName}}-{name}"),
            "AlarmDescription": description,
            **metric,
            "Dimensions": [{"Name": key, "Value": value} for key, value in dimensions.items()],
            "Period": PERIOD,
            "EvaluationPeriods": 1,
            "Threshold": 1,
            "ComparisonOperator": "GreaterThanOrEqualToThreshold",
            "TreatMissingData": "notBreaching",
            "AlarmActions": [ref(TEAM)],
        },
    }
