"""What the stack of infra/template.yaml shows: that it was made, and what its parts did since."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from smoke.account import Account
from smoke.execution import keys
from smoke.stages import AGAIN, EXECUTION, SPECIAL, STACK
from smoke.verdict import CannotTell, Check, Verdict, judged

_DAYS = 14
_MADE = ("CREATE_COMPLETE", "UPDATE_COMPLETE", "IMPORT_COMPLETE")


def stack(account: Account) -> Verdict:
    name = _name(account)
    [found] = account.ask("cloudformation", "describe_stacks", StackName=name)["Stacks"]
    phases = {each["ParameterKey"]: each["ParameterValue"] for each in found["Parameters"]}
    if phases.get("Functions") != "present":
        raise CannotTell(f"{name} is {found['StackStatus']}, without functions", "docs/aws.md, step 3")
    return judged(found["StackStatus"] in _MADE, f"{name}: {found['StackStatus']}, Functions=present")


def mails(account: Account) -> Verdict:
    """Messages that the topics took, and invocations that the rules could not deliver."""
    published = {
        name: _sum(account, "AWS/SNS", "NumberOfMessagesPublished", "TopicName", _resource(account, name))
        for name in ("ApproverTopic", "TeamTopic")
    }
    failed = {
        name: _sum(account, "AWS/Events", "FailedInvocations", "RuleName", _resource(account, name))
        for name in ("WaitingModel", "FailedExecution")
    }
    if not any(published.values()) and not any(failed.values()):
        raise CannotTell(f"nothing was published in {_DAYS} days", "an execution: its model waits for approval")
    return judged(not any(failed.values()), f"published {published}, could not be delivered {failed}")


def rules_alarm(account: Account) -> Verdict:
    name = f"{_name(account)}-rules"
    rows = account.ask(
        "cloudwatch", "describe_alarm_history", AlarmName=name, HistoryItemType="StateUpdate", MaxRecords=50
    )["AlarmHistoryItems"]
    told = [row["HistorySummary"] for row in rows]
    if not any("to ALARM" in each for each in told):
        raise CannotTell(f"{name}: {told or 'no change of its state'}", "take a topic's policy away for a minute")
    return judged(True, f"{name}: {told}")


def function_network(account: Account) -> Verdict:
    name = account.pipeline.deploy.function or "darkroom-deploy"
    found = account.ask("lambda", "get_function_configuration", FunctionName=name)
    if not found.get("VpcConfig", {}).get("SubnetIds"):
        raise CannotTell(f"{name} is in no VPC", "the stack with FunctionSubnets and FunctionSecurityGroups")
    return judged(found.get("State") == "Active", f"{name}: {found.get('State')} {found.get('StateReason', '')}")


def tiering(account: Account) -> Verdict:
    """Archive tiers would need a configuration of the bucket; an object there could not be read at once."""
    bucket = account.pipeline.pipeline.bucket_name
    rows = account.ask("s3", "list_bucket_intelligent_tiering_configurations", Bucket=bucket)
    configured = [each["Id"] for each in rows.get("IntelligentTieringConfigurationList", [])]
    address = f"s3://{bucket}/{account.pipeline.pipeline.folder}/runs/"
    heads = [account.ask("s3", "head_object", Bucket=bucket, Key=key) for key in keys(account, address, most=50)]
    tiered = [head for head in heads if head.get("StorageClass") == "INTELLIGENT_TIERING"]
    archived = [head["ArchiveStatus"] for head in tiered if "ArchiveStatus" in head]
    if not tiered:
        raise CannotTell(f"archive tiers: {configured or 'none'}; nothing has moved yet", "30 days after an execution")
    return judged(not archived, f"{len(tiered)} of {len(heads)} have moved, archived: {archived or 'none'}")


def denied_calls(account: Account) -> Verdict:
    """What CloudTrail has of the roles' calls in the last day."""
    role = account.pipeline.pipeline.role_arn.rpartition("/")[2]
    begin = datetime.now(UTC) - timedelta(days=1)
    ours, denied = 0, list[str]()
    for row in account.pages("cloudtrail", "lookup_events", "Events", StartTime=begin, MaxResults=50):
        event: dict[str, Any] = json.loads(row["CloudTrailEvent"])
        issuer = event.get("userIdentity", {}).get("sessionContext", {}).get("sessionIssuer", {})
        if issuer.get("userName") == role:
            ours += 1
            if event.get("errorCode", "").startswith(("AccessDenied", "Client.UnauthorizedOperation")):
                denied.append(f"{event['eventSource']}:{event['eventName']} {event.get('errorMessage', '')}")
    if not ours:
        raise CannotTell(
            f"CloudTrail has no call of {role} in the last day", "an execution; a quarter of an hour later"
        )
    return judged(not denied, f"{ours} calls of {role}; denied: {sorted(set(denied)) or 'none'}")


def _name(account: Account) -> str:
    return account.options.stack or account.pipeline.pipeline.name


def _resource(account: Account, logical: str) -> str:
    """Its physical name; the last part of an ARN."""
    found = account.ask(
        "cloudformation", "describe_stack_resource", StackName=_name(account), LogicalResourceId=logical
    )
    return str(found["StackResourceDetail"]["PhysicalResourceId"]).rpartition(":")[2]


def _sum(account: Account, namespace: str, metric: str, dimension: str, value: str) -> float:
    end = datetime.now(UTC)
    rows = account.ask(
        "cloudwatch",
        "get_metric_statistics",
        Namespace=namespace,
        MetricName=metric,
        Dimensions=[{"Name": dimension, "Value": value}],
        StartTime=end - timedelta(days=_DAYS),
        EndTime=end,
        Period=86400,
        Statistics=["Sum"],
    )["Datapoints"]
    return float(sum(row["Sum"] for row in rows))


CHECKS = (
    Check("stack", STACK, stack, "CREATE_COMPLETE or UPDATE_COMPLETE, with Functions=present"),
    Check("function-network", STACK, function_network, "the function with a VpcConfig is Active"),
    Check("denied-calls", EXECUTION, denied_calls, "CloudTrail has calls of the execution role, and no denial"),
    Check("mails", AGAIN, mails, "the topics took messages, and no rule failed to deliver one"),
    Check("rules-alarm", SPECIAL, rules_alarm, "the alarm went to ALARM when one rule's topic refused it"),
    Check("tiering", SPECIAL, tiering, "objects below runs/ in INTELLIGENT_TIERING, none with an ArchiveStatus"),
)
