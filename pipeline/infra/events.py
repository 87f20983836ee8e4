"""EventBridge rules: approvals deploy, deployments go on, people are told, what cannot be delivered is kept."""

from __future__ import annotations

import json

from pipeline.config.deployment import request
from pipeline.infra.functions import LOGICAL
from pipeline.infra.intrinsics import Json, admission, arn, either, over_tls, policy, ref, service
from pipeline.infra.messages import APPROVER, TEAM
from pipeline.infra.packaging import DEPLOY
from pipeline.infra.setting import Setting

QUEUE = "UndeliveredEvents"
KEPT_SECONDS = 1_209_600  # two weeks, the longest
ACTING = ("ApprovedModel", "EndpointChange")  # these call the deploying function
RULES = (*ACTING, "WaitingModel", "FailedExecution", "EndpointTrouble")
_PACKAGE = "SageMaker Model Package State Change"
_EXECUTION = "SageMaker Model Building Pipeline Execution Status Change"
_ENDPOINT = "SageMaker Endpoint State Change"
_DEPLOYMENT = "SageMaker Endpoint Deployment State Change"
_LOOKS = "rate(5 minutes)"  # in case an event is lost; a look at an endpoint that is at rest is two quick calls
# In events an endpoint's status is written IN_SERVICE, where the API writes InService: both are taken.
_TROUBLES = ("Failed", "RollingBack", "UpdateRollbackFailed", "OutOfService")
_ATTEMPTS, _AGE_SECONDS = 8, 3600


def approved(setting: Setting) -> Json:
    """Only an update of the approval itself: the status is in every later event of the package, of metadata too."""
    return _pattern(
        _PACKAGE,
        ModelPackageGroupName=[setting.config.package_group],
        ModelApprovalStatus=["Approved"],
        UpdatedModelPackageFields=["ModelApprovalStatus"],
    )


def waiting(setting: Setting) -> Json:
    """A new package has no UpdatedModelPackageFields; one that was put back to waiting names the status there."""
    detail = {
        "ModelPackageGroupName": [setting.config.package_group],
        "ModelApprovalStatus": ["PendingManualApproval"],
        "ModelPackageStatus": ["Completed"],
        "$or": [
            {"UpdatedModelPackageFields": [{"exists": False}]},
            {"UpdatedModelPackageFields": ["ModelApprovalStatus"]},
        ],
    }
    return _pattern(_PACKAGE, **detail)


def failed(setting: Setting) -> Json:
    """SageMaker's ARNs had small letters alone, and newer ones keep capitals."""
    arns = list(dict.fromkeys([setting.pipeline_arn, setting.pipeline_arn.lower()]))
    return _pattern(_EXECUTION, pipelineArn=arns, currentPipelineExecutionStatus=["Failed"])


def trouble(setting: Setting) -> Json:
    both = [spelled for status in _TROUBLES for spelled in (_capitals(status), status)]
    return _pattern(_ENDPOINT, EndpointName=list(setting.endpoints), EndpointStatus=list(dict.fromkeys(both)))


def changed(setting: Setting) -> Json:
    """Any change of either endpoint: the function looks for itself what came of it."""
    return _pattern(_ENDPOINT, EndpointName=list(setting.endpoints)) | {"detail-type": [_ENDPOINT, _DEPLOYMENT]}


def resources(setting: Setting) -> Json:
    name, group = setting.config.pipeline.name, setting.config.package_group
    rules: Json = {
        "WaitingModel": _telling(
            waiting(setting),
            f"A model of {group} waits for approval",
            APPROVER,
            {"version": "$.detail.ModelPackageVersion", "package": "$.detail.ModelPackageArn"},
            f"Version <version> of {group} waits for approval.",
            "darkroom models --target aws",
            "darkroom approve <version> --target aws",
            "<package>",
        ),
        "FailedExecution": _telling(
            failed(setting),
            f"An execution of {name} failed",
            TEAM,
            {"execution": "$.detail.pipelineExecutionArn", "end": "$.detail.executionEndTime"},
            f"An execution of {name} failed at <end>.",
            "darkroom show <execution> --target aws",
        ),
        "EndpointTrouble": _telling(
            trouble(setting),
            f"An endpoint of {name} is in trouble",
            TEAM,
            {"endpoint": "$.detail.EndpointName", "status": "$.detail.EndpointStatus"},
            "Endpoint <endpoint> is <status>.",
            "aws sagemaker describe-endpoint --endpoint-name <endpoint>",
        ),
    }
    if any(package.program == DEPLOY for package in setting.packages):
        acting = {"ApprovedModel": _deploying(setting), "EndpointChange": _advancing(setting)}
        rules = {**acting, **{f"{name}Invokes": _permission(name) for name in acting}, **rules}
    return {QUEUE: _queue(), f"{QUEUE}Policy": _queue_policy([each for each in RULES if each in rules]), **rules}


def _pattern(kind: str, **detail: object) -> Json:
    return {"source": ["aws.sagemaker"], "detail-type": [kind], "detail": detail}


def _capitals(status: str) -> str:
    """RollingBack → ROLLING_BACK"""
    return "".join(f"_{letter}" if letter.isupper() and at else letter for at, letter in enumerate(status)).upper()


def _rule(pattern: Json, description: str, target: Json, **more: object) -> Json:
    undelivered = {
        "DeadLetterConfig": {"Arn": arn(QUEUE)},
        "RetryPolicy": {"MaximumRetryAttempts": _ATTEMPTS, "MaximumEventAgeInSeconds": _AGE_SECONDS},
    }
    properties = {"Description": description, "EventPattern": pattern, "Targets": [{**target, **undelivered}]}
    return {"Type": "AWS::Events::Rule", **more, "Properties": properties}


def _telling(pattern: Json, description: str, topic: str, paths: dict[str, str], *lines: str) -> Json:
    """Each line is a JSON text of its own, which is how EventBridge wants several."""
    template = "\n".join(json.dumps(line) for line in lines)
    target = {"Id": "tell", "Arn": ref(topic), "InputTransformer": {"InputPathsMap": paths, "InputTemplate": template}}
    return _rule(pattern, description, target)


def _deploying(setting: Setting) -> Json:
    """The handler finds what an event that comes twice has made already."""
    paths = {"package": "$.detail.ModelPackageArn", "time": "$.time"}
    transformer = {"InputPathsMap": paths, "InputTemplate": deployment(setting)}
    target = {"Id": "deploy", "Arn": arn(LOGICAL[DEPLOY]), "InputTransformer": transformer}
    description = f"An approved model of {setting.config.package_group} goes to {setting.production}"
    rule = _rule(approved(setting), description, target, Condition="HasFunctions")
    rule["Properties"]["State"] = either("DeploysOnApproval", "ENABLED", "DISABLED")
    return rule


def _advancing(setting: Setting) -> Json:
    """Events and clock in one rule: the function tells them apart, and knows its endpoints from its environment."""
    rule = _rule(
        changed(setting), "Deployments go on", {"Id": "advance", "Arn": arn(LOGICAL[DEPLOY])}, Condition="HasFunctions"
    )
    rule["Properties"]["ScheduleExpression"] = _LOOKS
    return rule


def deployment(setting: Setting) -> str:
    """What lambda_deploy.py is told; EventBridge puts texts in place of <package> and <time>, quotes included.

    The event's own time makes an approval that comes late, or twice, known as such.
    """
    payload = {**request(setting.config, "production"), "model_package_arn": "<package>", "asked_at": "<time>"}
    return json.dumps(payload).replace('"<package>"', "<package>").replace('"<time>"', "<time>")


def _permission(rule: str) -> Json:
    return {
        "Type": "AWS::Lambda::Permission",
        "Condition": "HasFunctions",
        "Properties": {
            "Action": "lambda:InvokeFunction",
            "FunctionName": ref(LOGICAL[DEPLOY]),
            "Principal": "events.amazonaws.com",
            "SourceAccount": ref("AWS::AccountId"),
            "SourceArn": arn(rule),
        },
    }


def _queue() -> Json:
    return {
        "Type": "AWS::SQS::Queue",
        "DeletionPolicy": "Delete",
        "UpdateReplacePolicy": "Delete",
        "Properties": {"MessageRetentionPeriod": KEPT_SECONDS, "SqsManagedSseEnabled": True},
    }


def _queue_policy(rules: list[str]) -> Json:
    """The rules that need the functions are there only with them."""
    sources = [either("HasFunctions", arn(rule)) if rule in ACTING else arn(rule) for rule in rules]
    from_rules = {"ArnEquals": {"aws:SourceArn": sources}}
    return {
        "Type": "AWS::SQS::QueuePolicy",
        "Properties": {
            "Queues": [ref(QUEUE)],
            "PolicyDocument": policy(
                admission(service("events"), "Events", "sqs:SendMessage", arn(QUEUE), from_rules),
                over_tls("sqs:SendMessage", arn(QUEUE)),
            ),
        },
    }
