"""What SageMaker's events hold: a rule of EventBridge brings them into a queue, which is read."""

from __future__ import annotations

import json
import time
from types import SimpleNamespace
from typing import Any

from pipeline.infra.events import trouble
from smoke.account import Account
from smoke.stages import ENDPOINT, FREE
from smoke.verdict import CannotTell, Check, Verdict, judged

_QUEUE = "a queue and a rule, deleted again"
_MAKES = "a queue, a rule, and a group with two model packages without a model, deleted again"
_NOTE = "a queue, a rule, and a group with one model package without a model, deleted again"
_PACKAGE, _ENDPOINT = "SageMaker Model Package State Change", "SageMaker Endpoint State Change"
_DEPLOYMENT = "SageMaker Endpoint Deployment State Change"
_FIELDS = "UpdatedModelPackageFields"


def approval_event(account: Account) -> Verdict:
    events = _of_a_package(account)
    named = {event["detail"].get("ModelApprovalStatus"): event["detail"].get(_FIELDS) for event in events}
    approvals = [event["detail"].get(_FIELDS, []) for event in events if _status(event) == "Approved"]
    if len(approvals) < 2:
        raise CannotTell(f"{len(events)} events: {named}", "again with a longer --seconds")
    with_field = [fields for fields in approvals if "ModelApprovalStatus" in fields]
    return judged(len(with_field) == 1, f"{_FIELDS} of the events that say Approved: {approvals}")


def new_package_event(account: Account) -> Verdict:
    """Of one that waits for approval, version 1, and of one that is born Approved, version 2."""
    events = _of_a_package(account)
    new = [
        event["detail"]
        for event in events
        if _status(event) == "PendingManualApproval" or event["detail"].get("ModelPackageVersion") == 2
    ]
    if len(new) < 2:
        raise CannotTell(f"{len(events)} events, {len(new)} of new packages", "again with a longer --seconds")
    return judged(all(_FIELDS not in detail for detail in new), f"{json.dumps(new)}")


def approval_note(account: Account) -> Verdict:
    """A note alone, the same status once more, an empty note, and one of two lines, all on one package."""
    group = account.name()
    messages = _listening(account, _PACKAGE, {"ModelPackageGroupName": [group]})
    _group(account, group)
    arn = _package(account, group, "PendingManualApproval")
    messages(enough=1)
    approval = {"ModelPackageArn": arn, "ModelApprovalStatus": "Approved"}
    account.ask("sagemaker", "update_model_package", **approval, ApprovalDescription="one")
    messages(enough=1)
    account.ask("sagemaker", "update_model_package", ModelPackageArn=arn, ApprovalDescription="two")
    noted = [event["detail"].get(_FIELDS, []) for event in messages(enough=1)]
    status = account.ask("sagemaker", "describe_model_package", ModelPackageName=arn)["ModelApprovalStatus"]
    account.ask("sagemaker", "update_model_package", **approval)
    again = [event["detail"].get(_FIELDS, []) for event in messages(enough=1)]
    account.ask("sagemaker", "update_model_package", ModelPackageArn=arn, ApprovalDescription="")
    emptied = account.ask("sagemaker", "describe_model_package", ModelPackageName=arn).get("ApprovalDescription", "")
    lines = {"ModelPackageArn": arn, "ApprovalDescription": "a\nb"}
    code, _ = account.refusal("sagemaker", "update_model_package", **lines)
    if not again:
        raise CannotTell(f"no event of a second approval; of a note: {noted}", "again with a longer --seconds")
    silent = not any("ModelApprovalStatus" in fields for fields in noted)
    named = any("ModelApprovalStatus" in fields for fields in again)
    right = (status, silent, named, emptied, bool(code)) == ("Approved", True, True, "", True)
    said = (
        f"{_FIELDS} of a note {noted}, of a second approval {again}; emptied: {emptied!r}; two lines: {code or 'taken'}"
    )
    return judged(right, f"{status}; {said}")


def endpoint_event(account: Account) -> Verdict:
    """Waits for what an endpoint goes through: name one that is about to fail."""
    name = account.options.endpoint
    if not name:
        raise CannotTell("no endpoint was named", "--endpoint NAME, of one whose image is wrong, before it is made")
    messages = _listening(account, _ENDPOINT, {"EndpointName": [name]})
    statuses = list(dict.fromkeys(_status(event, "EndpointStatus") for event in messages(enough=99)))
    if not statuses:
        raise CannotTell(f"no event of {name} in {account.options.seconds:.0f} s", "make it while this waits")
    known = trouble(SimpleNamespace(endpoints=[name]))["detail"]["EndpointStatus"]
    quiet = ("CREATING", "Creating", "IN_SERVICE", "InService", "UPDATING", "Updating", "DELETING", "Deleting")
    return judged(set(statuses) <= {*known, *quiet}, f"{name} went through {statuses}")


def deployment_event(account: Account) -> Verdict:
    """Waits for the events of an update: approve another model while it does."""
    name = account.options.endpoint
    if not name:
        raise CannotTell("no endpoint was named", "--endpoint NAME --seconds 1800, of one that is updated meanwhile")
    messages = _listening(account, _DEPLOYMENT, {"EndpointArn": [{"suffix": f":endpoint/{name}"}]})
    details = [event["detail"] for event in messages(enough=3)]
    if not details:
        raise CannotTell(f"no event of {name} in {account.options.seconds:.0f} s", "update it while this waits")
    return judged(all(each.get("EndpointName") == name for each in details), json.dumps(details))


def _of_a_package(account: Account) -> list[dict[str, Any]]:
    """Events of a package that is registered, approved, and then gets metadata; and of one that is born Approved."""
    group = account.name()
    messages = _listening(account, _PACKAGE, {"ModelPackageGroupName": [group]})
    _group(account, group)
    arn = _package(account, group, "PendingManualApproval")
    found = messages(enough=1)
    account.ask("sagemaker", "update_model_package", ModelPackageArn=arn, ModelApprovalStatus="Approved")
    found += messages(enough=1)
    account.ask("sagemaker", "update_model_package", ModelPackageArn=arn, CustomerMetadataProperties={"smoke": "1"})
    found += messages(enough=1)
    _package(account, group, "Approved")
    return found + messages(enough=1)


def _group(account: Account, group: str) -> None:
    account.tell(f"makes the model package group {group}")
    account.ask("sagemaker", "create_model_package_group", ModelPackageGroupName=group)
    account.later(
        f"the group {group}",
        lambda: account.ask("sagemaker", "delete_model_package_group", ModelPackageGroupName=group),
    )


def _package(account: Account, group: str, status: str) -> str:
    answer = account.ask(
        "sagemaker",
        "create_model_package",
        ModelPackageGroupName=group,
        ModelApprovalStatus=status,
        ClientToken=account.token(),
    )
    arn = str(answer["ModelPackageArn"])
    account.later(f"the package {arn}", lambda: account.ask("sagemaker", "delete_model_package", ModelPackageName=arn))
    return arn


def _status(event: dict[str, Any], member: str = "ModelApprovalStatus") -> str:
    return str(event["detail"].get(member, ""))


def _listening(account: Account, kind: str, detail: dict[str, Any]) -> Any:
    """messages(enough): what has come since the last look, once there are so many or the time is over."""
    name = account.name()
    account.tell(f"makes the queue and the rule {name}")
    url = account.ask("sqs", "create_queue", QueueName=name)["QueueUrl"]
    account.later(f"the queue {name}", lambda: account.ask("sqs", "delete_queue", QueueUrl=url))
    queue = account.ask("sqs", "get_queue_attributes", QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]
    pattern = {"source": ["aws.sagemaker"], "detail-type": [kind], "detail": detail}
    rule = account.ask("events", "put_rule", Name=name, EventPattern=json.dumps(pattern))["RuleArn"]
    account.later(f"the rule {name}", lambda: account.ask("events", "delete_rule", Name=name))
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": "events.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": queue["QueueArn"],
        "Condition": {"ArnEquals": {"aws:SourceArn": rule}},
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    account.ask("sqs", "set_queue_attributes", QueueUrl=url, Attributes={"Policy": policy})
    account.ask("events", "put_targets", Rule=name, Targets=[{"Id": "queue", "Arn": queue["QueueArn"]}])
    account.later("the rule's target", lambda: account.ask("events", "remove_targets", Rule=name, Ids=["queue"]))
    return lambda enough: _received(account, url, enough)


def _received(account: Account, url: str, enough: int) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    deadline = time.monotonic() + account.options.seconds
    while len(found) < enough and time.monotonic() < deadline:
        wait = int(min(10, max(0, deadline - time.monotonic())))
        answer = account.ask("sqs", "receive_message", QueueUrl=url, WaitTimeSeconds=wait, MaxNumberOfMessages=10)
        for message in answer.get("Messages", []):
            found.append(json.loads(message["Body"]))
            account.ask("sqs", "delete_message", QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    return found


CHECKS = (
    Check("approval-event", FREE, approval_event, f"of two Approved events one has it in {_FIELDS}", _MAKES),
    Check("new-package-event", FREE, new_package_event, f"the new package's event has no {_FIELDS}", _MAKES),
    Check("approval-note", FREE, approval_note, "a note's event names no approval; a second approval's does", _NOTE),
    Check("endpoint-event", ENDPOINT, endpoint_event, "statuses spelled as the team's rule knows them", _QUEUE),
    Check("deployment-event", ENDPOINT, deployment_event, "events while an update goes on, with EndpointName", _QUEUE),
)
