"""Which events of SageMaker the stack acts on, how, and what becomes of those that it cannot deliver."""

from __future__ import annotations

import json
import shlex
from fnmatch import fnmatch
from typing import Any

import lambda_deploy
import pytest
from cloudformation import Stack
from event_patterns import matches
from rendered import about, changed, shipped
from rollout import asking, made
from sagemaker_events import GROUP, PLACE, endpoint, execution, package

from pipeline.cli import parser
from pipeline.infra import events, template

STAGING, PRODUCTION = f"{GROUP}-staging", f"{GROUP}-production"
STACK = {"Functions": "present"}


def rule(name: str, **given: str) -> dict[str, Any]:
    return Stack(shipped(), **{**STACK, **given}).of("AWS::Events::Rule")[name]


def deploys(event: dict[str, Any]) -> bool:
    return matches(rule("ApprovedModel")["EventPattern"], event)


def tells_approver(event: dict[str, Any]) -> bool:
    return matches(rule("WaitingModel")["EventPattern"], event)


def test_an_approval_deploys() -> None:
    assert deploys(package("Approved", ["ModelApprovalStatus"]))
    assert deploys(package("Approved", ["ApprovalDescription", "ModelApprovalStatus"]))


def test_an_approval_after_a_rejection_deploys_again() -> None:
    history = [package(status, ["ModelApprovalStatus"]) for status in ("Approved", "Rejected", "Approved")]
    assert [deploys(each) for each in history] == [True, False, True]


@pytest.mark.parametrize("field", ["CustomerMetadataProperties", "ApprovalDescription", "ModelLifeCycle", "sourceUri"])
def test_another_change_of_an_approved_model_deploys_nothing(field: str) -> None:
    assert not deploys(package("Approved", [field]))


def test_nothing_else_deploys() -> None:
    assert not deploys(package("Rejected", ["ModelApprovalStatus"]))
    assert not deploys(package("PendingManualApproval", ["ModelApprovalStatus"]))
    assert not deploys(package("Approved", ["ModelApprovalStatus"], group="another"))
    assert not deploys(package("Approved", ["ModelApprovalStatus"], group=f"{GROUP}-2"))
    assert not deploys({**package("Approved", ["ModelApprovalStatus"]), "source": "somebody.else"})
    assert not deploys(execution("Succeeded"))


def test_the_approver_hears_of_each_waiting_model_once() -> None:
    assert tells_approver(package("PendingManualApproval"))
    assert tells_approver(package("PendingManualApproval", ["ModelApprovalStatus"]))
    assert not tells_approver(package("PendingManualApproval", ["CustomerMetadataProperties"]))
    assert not tells_approver(package("Approved"))
    assert not tells_approver(package("PendingManualApproval", group="another"))


def test_the_team_hears_of_failed_executions_of_this_pipeline() -> None:
    pattern = rule("FailedExecution")["EventPattern"]
    statuses = ("Executing", "Succeeded", "Failed", "Stopping", "Stopped")
    assert [status for status in statuses if matches(pattern, execution(status))] == ["Failed"]
    assert not matches(pattern, execution("Failed", pipeline="another"))


def test_a_pipeline_with_capitals_is_known_by_either_spelling_of_its_arn() -> None:
    pattern = events.failed(about(changed(pipeline={"name": "Digits"})))
    assert matches(pattern, execution("Failed", pipeline="Digits"))
    assert matches(pattern, execution("Failed", pipeline="digits"))


@pytest.mark.parametrize("name", [STAGING, PRODUCTION])
def test_the_team_hears_of_troubles_of_both_endpoints(name: str) -> None:
    pattern = rule("EndpointTrouble")["EventPattern"]
    assert all(matches(pattern, endpoint(status, name)) for status in ("FAILED", "Failed", "ROLLING_BACK"))
    assert not any(matches(pattern, endpoint(status, name)) for status in ("IN_SERVICE", "UPDATING", "CREATING"))
    assert not matches(pattern, endpoint("FAILED", "another"))


def filled(transformer: dict[str, Any], event: dict[str, Any]) -> str:
    """As EventBridge does: what a path finds takes its place, texts of JSON with their quotes."""
    template = str(transformer["InputTemplate"])
    for name, path in transformer["InputPathsMap"].items():
        value: Any = event
        for part in path.removeprefix("$.").split("."):
            value = value[part]
        quoted = template.lstrip().startswith("{")
        template = template.replace(f"<{name}>", json.dumps(value) if quoted else str(value))
    return template


def test_what_the_function_is_told_is_what_it_takes() -> None:
    [target] = rule("ApprovedModel")["Targets"]
    told = json.loads(filled(target["InputTransformer"], package("Approved", ["ModelApprovalStatus"])))
    assert set(asking.NEEDED) <= set(told)
    assert told["action"] in lambda_deploy.ACTIONS
    assert (told["stage"], told["endpoint_name"]) == ("production", PRODUCTION)
    assert asking.checked(told, 0.0).at == "2026-12-01T17:00:14.000000Z"
    assert told["model_package_arn"] == f"arn:aws:sagemaker:{PLACE}:model-package/{GROUP}/2"


def test_network_and_key_of_pipeline_yaml_reach_the_production_endpoint() -> None:
    key = "arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"
    security = {"kms_key": key, "subnets": ("subnet-0a1b2c3d", "subnet-1a1b2c3d"), "security_groups": ("sg-0a1b2c3d",)}
    told = json.loads(
        events.deployment(about(changed(security=security))).replace("<package>", '"arn"').replace("<time>", '""')
    )
    assert (told["kms_key"], told["subnets"]) == (key, "subnet-0a1b2c3d,subnet-1a1b2c3d")
    nvme = changed(security=security, deploy={"instance_type": "ml.g5.xlarge"})
    assert '"kms_key"' not in events.deployment(about(nvme))


@pytest.mark.parametrize("name", [STAGING, PRODUCTION])
def test_any_change_of_an_endpoint_has_the_function_look_at_it(name: str) -> None:
    changes = rule("EndpointChange")
    for kind in ("SageMaker Endpoint State Change", "SageMaker Endpoint Deployment State Change"):
        event = {**endpoint("IN_SERVICE", name), "detail-type": kind}
        assert matches(changes["EventPattern"], event)
        assert lambda_deploy.translated(event) == {"action": "advance", "endpoint_name": name}
    assert not matches(changes["EventPattern"], endpoint("IN_SERVICE", "another"))


def test_the_clock_has_the_function_look_at_both_endpoints(monkeypatch: pytest.MonkeyPatch) -> None:
    assert rule("EndpointChange")["ScheduleExpression"] == "rate(5 minutes)"
    function = Stack(shipped(), **STACK).of("AWS::Lambda::Function")["DeployFunction"]
    assert function["Timeout"] == 480
    for name, value in function["Environment"]["Variables"].items():
        monkeypatch.setenv(name, value)
    looked = lambda_deploy.translated({"detail-type": "Scheduled Event", "source": "aws.events", "detail": {}})
    assert looked == {"action": "advance", "endpoint_name": f"{STAGING},{PRODUCTION}"}


@pytest.mark.parametrize(
    ("name", "topic", "address"),
    [
        ("WaitingModel", "ApproverTopic", "ApproverEmail"),
        ("FailedExecution", "TeamTopic", "TeamEmail"),
        ("EndpointTrouble", "TeamTopic", "TeamEmail"),
    ],
)
def test_a_message_reaches_the_address_of_whom_it_is_for(name: str, topic: str, address: str) -> None:
    [target] = rule(name)["Targets"]
    assert target["Arn"] == {"Ref": topic}
    given = {address: "somebody@example.org"}
    assert Stack(shipped(), **STACK, **given).of("AWS::SNS::Subscription") == {
        f"{topic}Subscription": {"TopicArn": {"Ref": topic}, "Protocol": "email", "Endpoint": given[address]}
    }
    assert Stack(shipped(), **STACK).of("AWS::SNS::Subscription") == {}


def test_messages_name_what_it_is_about() -> None:
    told = lines("WaitingModel", package("PendingManualApproval"))
    assert told[0] == "Version 2 of darkroom-digits waits for approval."
    assert lines("FailedExecution", execution("Failed"))[0] == (
        "An execution of darkroom-digits failed at 2021-03-15T16:10:10Z."
    )
    assert lines("EndpointTrouble", endpoint("FAILED", STAGING))[0] == f"Endpoint {STAGING} is FAILED."


def test_what_messages_say_to_type_can_be_typed() -> None:
    told = lines("WaitingModel", package("PendingManualApproval")) + lines("FailedExecution", execution("Failed"))
    commands = [shlex.split(line)[1:] for line in told if line.startswith("darkroom ")]
    assert [words[0] for words in commands] == ["models", "approve", "show"]
    for name, *words in commands:
        parser(name).parse_args(words)


def lines(name: str, event: dict[str, Any]) -> list[str]:
    [target] = rule(name)["Targets"]
    return [json.loads(line) for line in filled(target["InputTransformer"], event).splitlines()]


@pytest.mark.parametrize("name", [STAGING, PRODUCTION])
def test_the_functions_role_covers_the_names_that_the_function_makes(name: str) -> None:
    stack = Stack(shipped(), **STACK)
    attached = stack.of("AWS::IAM::Role")["DeployFunctionRole"]["ManagedPolicyArns"]
    statements = [
        each
        for policy in attached
        for each in stack.of("AWS::IAM::ManagedPolicy")[policy["Ref"]]["PolicyDocument"]["Statement"]
    ]
    model = made.name(name, "12", {"container": "any"})
    for action, resource in (
        ("sagemaker:CreateModel", f"model/{model}"),
        ("sagemaker:CreateEndpointConfig", f"endpoint-config/{model}"),
        ("sagemaker:UpdateEndpoint", f"endpoint-config/{model}"),
        ("sagemaker:UpdateEndpoint", f"endpoint/{name}"),
    ):
        assert allows(statements, action, f"arn:aws:sagemaker:{PLACE}:{resource}"), (action, resource)
    assert not allows(statements, "sagemaker:UpdateEndpoint", f"arn:aws:sagemaker:{PLACE}:endpoint/another")


def allows(statements: list[dict[str, Any]], action: str, resource: str) -> bool:
    return any(
        action in as_list(each["Action"])
        and any(isinstance(pattern, str) and fnmatch(resource, pattern) for pattern in as_list(each["Resource"]))
        for each in statements
    )


def as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def test_whatever_cannot_be_delivered_or_is_refused_is_kept_and_raises_an_alarm() -> None:
    stack = Stack(shipped(), **STACK)
    queue = {"Fn::GetAtt": ["UndeliveredEvents", "Arn"]}
    rules = stack.of("AWS::Events::Rule")
    assert set(rules) == set(events.RULES)
    assert all(target["DeadLetterConfig"] == {"Arn": queue} for each in rules.values() for target in each["Targets"])
    refused = stack.of("AWS::Lambda::EventInvokeConfig")["DeployFunctionInvocations"]["DestinationConfig"]
    assert refused == {"OnFailure": {"Destination": queue}}
    alarm = stack.of("AWS::CloudWatch::Alarm")["UndeliveredAlarm"]
    assert (alarm["MetricName"], alarm["Threshold"]) == ("ApproximateNumberOfMessagesVisible", 1)


def test_the_queue_takes_from_exactly_these_rules() -> None:
    [policy] = Stack(shipped(), **STACK).of("AWS::SQS::QueuePolicy").values()
    [allowed] = [each for each in policy["PolicyDocument"]["Statement"] if each["Effect"] == "Allow"]
    sources = allowed["Condition"]["ArnEquals"]["aws:SourceArn"]
    assert [each["Fn::GetAtt"][0] for each in sources] == list(events.RULES)


def test_every_alarm_reaches_the_team_and_its_topic_takes_it() -> None:
    stack = Stack(shipped(), **STACK)
    alarms = stack.of("AWS::CloudWatch::Alarm")
    assert len(alarms) == 6
    assert all(each["AlarmActions"] == [{"Ref": "TeamTopic"}] for each in alarms.values())
    names = [each["AlarmName"]["Fn::Sub"] for each in alarms.values()]
    [taken] = [
        each["Condition"]["ArnLike"]["aws:SourceArn"]["Fn::Sub"]
        for each in stack.of("AWS::SNS::TopicPolicy")["TeamTopicPolicy"]["PolicyDocument"]["Statement"]
        if each["Sid"] == "Alarms"
    ]
    assert all(fnmatch(name, taken.rpartition(":alarm:")[2]) for name in names)


def test_eventbridges_own_statements_have_no_condition_that_it_could_not_meet() -> None:
    for policy in Stack(shipped()).of("AWS::SNS::TopicPolicy").values():
        [allowed] = [each for each in policy["PolicyDocument"]["Statement"] if each["Sid"] == "Events"]
        assert "Condition" not in allowed


def test_approvals_may_be_left_to_people() -> None:
    assert rule("ApprovedModel")["State"] == "ENABLED"
    assert rule("ApprovedModel", DeployOnApproval="false")["State"] == "DISABLED"


def test_without_the_functions_nothing_invokes_them_and_messages_go_out() -> None:
    stack = Stack(shipped())
    assert set(stack.of("AWS::Events::Rule")) == set(events.RULES) - {*events.ACTING}
    assert stack.of("AWS::Lambda::Permission") == {}
    there = template.template(about())["Resources"]
    assert there["ApprovedModelInvokes"]["Properties"]["SourceArn"] == {"Fn::GetAtt": ["ApprovedModel", "Arn"]}
