"""What the stack of infra/template.yaml shows: that it was made, and what its parts did since."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from smoke.account import Account
from smoke.execution import keys
from smoke.stack import DAYS, counted, name_of, resource
from smoke.stages import AGAIN, EXECUTION, SPECIAL, STACK
from smoke.verdict import CannotTell, Check, Verdict, judged

_MADE = ("CREATE_COMPLETE", "UPDATE_COMPLETE", "IMPORT_COMPLETE")


def stack(account: Account) -> Verdict:
    name = name_of(account)
    [found] = account.ask("cloudformation", "describe_stacks", StackName=name)["Stacks"]
    phases = {each["ParameterKey"]: each["ParameterValue"] for each in found["Parameters"]}
    if phases.get("Functions") != "present":
        raise CannotTell(f"{name} is {found['StackStatus']}, without functions", "docs/aws.md, step 3")
    return judged(found["StackStatus"] in _MADE, f"{name}: {found['StackStatus']}, Functions=present")


def mails(account: Account) -> Verdict:
    """Messages that the topics took, and invocations that the rules could not deliver."""
    published = {
        name: sum(counted(account, "AWS/SNS NumberOfMessagesPublished", ("TopicName", resource(account, name))))
        for name in ("ApproverTopic", "TeamTopic")
    }
    failed = {
        name: sum(counted(account, "AWS/Events FailedInvocations", ("RuleName", resource(account, name))))
        for name in ("WaitingModel", "FailedExecution")
    }
    if not any(published.values()) and not any(failed.values()):
        raise CannotTell(f"nothing was published in {DAYS} days", "an execution: its model waits for approval")
    return judged(not any(failed.values()), f"published {published}, could not be delivered {failed}")


def rules_alarm(account: Account) -> Verdict:
    name = f"{name_of(account)}-rules"
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
    return _denied(account, account.pipeline.pipeline.role_arn.rpartition("/")[2], "an execution")


def deploy_denials(account: Account) -> Verdict:
    return _denied(account, resource(account, "DeployFunctionRole"), "an approval that deploys")


def _denied(account: Account, role: str, cause: str) -> Verdict:
    """What CloudTrail has of the role's calls in the last day."""
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
        raise CannotTell(f"CloudTrail has no call of {role} in the last day", f"{cause}; a quarter of an hour later")
    return judged(not denied, f"{ours} calls of {role}; denied: {sorted(set(denied)) or 'none'}")


CHECKS = (
    Check("stack", STACK, stack, "CREATE_COMPLETE or UPDATE_COMPLETE, with Functions=present"),
    Check("function-network", STACK, function_network, "the function with a VpcConfig is Active"),
    Check("denied-calls", EXECUTION, denied_calls, "CloudTrail has calls of the execution role, and no denial"),
    Check("deploy-denials", AGAIN, deploy_denials, "CloudTrail has calls of the deploying function, and no denial"),
    Check("mails", AGAIN, mails, "the topics took messages, and no rule failed to deliver one"),
    Check("rules-alarm", SPECIAL, rules_alarm, "the alarm went to ALARM when one rule's topic refused it"),
    Check("tiering", SPECIAL, tiering, "objects below runs/ in INTELLIGENT_TIERING, none with an ArchiveStatus"),
)
