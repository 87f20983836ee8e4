"""What the functions of the stack did: called by approvals and by the clock, in time, kept warm; failures are kept."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from pipeline.infra.events import QUEUE
from pipeline.infra.functions import ALIAS, SECONDS
from pipeline.infra.packaging import DEPLOY
from smoke.account import Account
from smoke.deployed import production
from smoke.stack import DAYS, counted, detail, resource
from smoke.stages import AGAIN, SPECIAL, STACK
from smoke.verdict import CannotTell, Check, Verdict, judged

_AN_HOUR = 12  # looks of rate(5 minutes); one may fall out of the hour at either end
_FAILING = (
    'what the function refuses: aws lambda invoke --invocation-type Event --payload \'{"action": "none"}\' '
    "--cli-binary-format raw-in-base64-out --function-name darkroom-deploy /dev/stdout; some minutes later"
)


def schedule(account: Account) -> Verdict:
    """The rule has a pattern and a schedule: each of the two alone has to set it off."""
    rule = detail(account, "EndpointChange")
    if rule["LastUpdatedTimestamp"] > datetime.now(UTC) - timedelta(hours=1):
        raise CannotTell(f"the rule is of {rule['LastUpdatedTimestamp']:%H:%M} UTC", "look again in an hour")
    name = str(rule["PhysicalResourceId"])
    calls = counted(account, "AWS/Events Invocations", ("RuleName", name), hours=1)
    right = sum(1 for each in calls if each) >= _AN_HOUR - 1
    return judged(right, f"{name} called the function in {len(calls)} of twelve five minutes")


def function_time(account: Account) -> Verdict:
    name = _function(account)
    times = counted(account, "AWS/Lambda Duration", ("FunctionName", name), statistic="Maximum")
    if not times:
        raise CannotTell(f"{name} was not called in {DAYS} days", "darkroom start --target aws --wait")
    longest = max(times) / 1000
    return judged(longest < SECONDS[DEPLOY], f"the longest call took {longest:.1f} s, of {SECONDS[DEPLOY]} that it has")


def approval_input(account: Account) -> Verdict:
    """The rule's input is JSON only if EventBridge puts quotes around what it fills in."""
    rule = resource(account, "ApprovedModel")
    calls = sum(counted(account, "AWS/Events Invocations", ("RuleName", rule)))
    failed = sum(counted(account, "AWS/Events FailedInvocations", ("RuleName", rule)))
    if not calls and not failed:
        raise CannotTell(f"{rule} matched nothing in {DAYS} days", "darkroom approve 1 --target aws")
    found = production(account)
    right = found.record.get("stage") == "production" and "T" in found.record.get("at", "") and not failed
    told = f"{calls:.0f} calls, {failed:.0f} failed; {found.name} was asked for at {found.record.get('at')!r}"
    return judged(right, told)


def undelivered(account: Account) -> Verdict:
    """What the function refused of an event went into the queue."""
    name, queue = _function(account), resource(account, QUEUE).rpartition("/")[2]
    if not sum(counted(account, "AWS/Lambda Errors", ("FunctionName", name))):
        raise CannotTell(f"{name} refused nothing in {DAYS} days", _FAILING)
    lost = sum(counted(account, "AWS/Lambda DestinationDeliveryFailures", ("FunctionName", name)))
    sent = sum(counted(account, "AWS/SQS NumberOfMessagesSent", ("QueueName", queue)))
    if not sent and not lost:
        raise CannotTell("nothing came into the queue: those errors may be of DeployModel's own calls", _FAILING)
    return judged(not lost, f"{sent:.0f} messages came into {queue}, {lost:.0f} were lost")


def warm_invoke(account: Account) -> Verdict:
    name = account.pipeline.invoke_function.rpartition(":")[2]
    request = {"FunctionName": name, "Qualifier": ALIAS}
    code, message = account.refusal("lambda", "get_provisioned_concurrency_config", **request)
    if code:
        raise CannotTell(f"{name}:{ALIAS}: {code} {message}", "the stack with Functions=present, InvokeConcurrency=2")
    found = account.ask("lambda", "get_provisioned_concurrency_config", **request)
    warm, asked = (
        found.get("AvailableProvisionedConcurrentExecutions", 0),
        found["RequestedProvisionedConcurrentExecutions"],
    )
    if found["Status"] == "IN_PROGRESS":
        raise CannotTell(f"{name}:{ALIAS} has {warm} of {asked} yet", "look again some minutes later")
    told = f"{name}:{ALIAS}: {found['Status']}, {warm} of {asked} {found.get('StatusReason', '')}"
    return judged(found["Status"] == "READY" and warm == asked, told.rstrip())


def _function(account: Account) -> str:
    return account.pipeline.deploy_function.rpartition(":")[2]


CHECKS = (
    Check("schedule", STACK, schedule, "the rule called the function every five minutes of the last hour"),
    Check("warm-invoke", STACK, warm_invoke, "READY, with as many as InvokeConcurrency says"),
    Check("approval-input", AGAIN, approval_input, "no failed invocation; production's tag at is the event's time"),
    Check("function-time", AGAIN, function_time, f"the longest call took less than {SECONDS[DEPLOY]} s"),
    Check("undelivered", SPECIAL, undelivered, "messages in the queue, no DestinationDeliveryFailures"),
)
