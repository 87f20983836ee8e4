"""Parameters and conditions of the template: what differs from account to account, and no line of pipeline.yaml."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pipeline.config import Config
from pipeline.infra.intrinsics import Json, ref

RETENTION = [1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653]
ROLE_POLICY = r"^(arn:aws[a-z-]*:iam::[0-9]{12}:policy/.+)?$"
KEY = r"^(arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:(key|alias)/[a-zA-Z0-9/_-]+)?$"
ADDRESS = r"^([^@\s]+@[^@\s]+)?$"
SUBJECT = r"^[^*?]*$"  # an exact one: StringEquals would take these for letters, and people would not


def parameters(config: Config) -> Json:
    return {
        "Functions": _choice(
            "absent", ["absent", "present"], "present once `make package` is uploaded to the bucket of this stack"
        ),
        "DeployOnApproval": _choice("true", ["true", "false"], "whether approving a model deploys it to production"),
        "InvokeConcurrency": _number(
            2,
            "calls of the asking function that are kept warm, for money; 0: none, as in accounts with a quota of 10",
            0,
        ),
        "ApproverEmail": _text("who is told that a model waits for approval; empty: nobody", ADDRESS),
        "TeamEmail": _text("who is told of failures and alarms; empty: nobody", ADDRESS),
        "PlanSubject": _text("exact OIDC subject of CI jobs that only look; empty: no such role", SUBJECT),
        "DeploySubject": _text("exact OIDC subject of CI jobs that upsert and start; empty: no such role", SUBJECT),
        "OidcProvider": _choice(
            "create", ["create", "exists"], "exists: the account, which can have one of each host, has it already"
        ),
        "PermissionsBoundaryArn": _text("boundary of every role of this stack; empty: none", ROLE_POLICY),
        "DataKeyArn": _text(
            "KMS key of bucket and image repository; empty: keys of S3 and ECR", KEY, config.security.kms_key or ""
        ),
        "MessagesKeyArn": _text("KMS key of the topics; empty: this stack makes one, for 1 USD a month", KEY),
        "LogsKeyArn": _text("KMS key of the log groups, which has to admit CloudWatch Logs; empty: theirs", KEY),
        "FunctionSubnets": _list("subnets of the functions, with a way to SageMaker; empty: outside any VPC"),
        "FunctionSecurityGroups": _list("security groups of the functions in that VPC"),
        "JobLogGroups": _choice(
            "leave", ["leave", "create"], "create: log groups of SageMaker's jobs, too, which must not exist yet"
        ),
        "LogRetentionDays": _number(90, "days that logs are kept", AllowedValues=RETENTION),
        "NoncurrentDays": _number(30, "days that an object can be had back after it was overwritten or deleted", 1),
        "CheckpointDays": _number(14, "days that checkpoints are kept; longer than any training takes", 6),
        "DebuggerDays": _number(30, "days that tensors saved for SageMaker Debugger are kept", 1),
        "RunsDays": _number(
            0, "days that results of executions are kept, MODELS THAT ARE REGISTERED INCLUDED; 0: for ever", 0
        ),
    }


def conditions() -> Json:
    """`Has<parameter>` for texts that may be empty."""
    return {
        "HasFunctions": _is("Functions", "present"),
        "DeploysOnApproval": _is("DeployOnApproval", "true"),
        "KeepsWarm": {"Fn::Not": [_is("InvokeConcurrency", "0")]},
        "HasApprover": _given("ApproverEmail"),
        "HasTeam": _given("TeamEmail"),
        "HasPlanRole": _given("PlanSubject"),
        "HasDeployRole": _given("DeploySubject"),
        "HasCi": {"Fn::Or": [{"Condition": "HasPlanRole"}, {"Condition": "HasDeployRole"}]},
        "MakesProvider": {"Fn::And": [_is("OidcProvider", "create"), {"Condition": "HasCi"}]},
        "HasBoundary": _given("PermissionsBoundaryArn"),
        "HasDataKey": _given("DataKeyArn"),
        "MakesMessagesKey": _is("MessagesKeyArn", ""),
        "HasLogsKey": _given("LogsKeyArn"),
        "HasVpc": {"Fn::Not": [{"Fn::Equals": [{"Fn::Join": ["", ref("FunctionSubnets")]}, ""]}]},
        "MakesJobLogGroups": _is("JobLogGroups", "create"),
        "ExpiresRuns": {"Fn::Not": [_is("RunsDays", "0")]},
    }


def needed_by(value: Any) -> set[str]:
    """Names of the parameters and conditions that it mentions, and of those that these mention."""
    found, known = set(_mentioned(value)), conditions()
    while further := {name for each in found & set(known) for name in _mentioned(known[each])} - found:
        found |= further
    return found


def _mentioned(value: Any) -> Iterator[str]:
    match value:
        case {"Ref": str(name)} | {"Fn::If": [str(name), *_]} | {"Condition": str(name)}:
            yield name
    for each in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _mentioned(each)


def _is(parameter: str, value: str) -> Json:
    return {"Fn::Equals": [ref(parameter), value]}


def _given(parameter: str) -> Json:
    return {"Fn::Not": [_is(parameter, "")]}


def _text(description: str, pattern: str, default: str = "") -> Json:
    return {"Type": "String", "Default": default, "AllowedPattern": pattern, "Description": description}


def _choice(default: str, values: list[str], description: str) -> Json:
    return {"Type": "String", "Default": default, "AllowedValues": values, "Description": description}


def _list(description: str) -> Json:
    return {"Type": "CommaDelimitedList", "Default": "", "Description": description}


def _number(default: int, description: str, least: int | None = None, **more: object) -> Json:
    limits = {} if least is None else {"MinValue": least}
    return {"Type": "Number", "Default": default, **limits, **more, "Description": description}
