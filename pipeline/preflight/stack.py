"""The stack around the pipeline, and whether an approval deploys."""

from __future__ import annotations

import json
from collections.abc import Iterator

from pipeline.errors import ServiceError
from pipeline.preflight.finding import Finding, error, ok, warning
from pipeline.preflight.setting import Setting


def deployed(setting: Setting) -> Iterator[Finding]:
    name = setting.stack
    try:
        arn = setting.arn("cloudformation", f"stack/{name}/*")
        stacks = setting.service("cloudformation").ask("describe_stacks", arn, StackName=name)["Stacks"]
    except ServiceError as exc:
        if exc.code not in ("ValidationError", "ValidationException"):
            raise
        yield warning(
            name,
            "there is no stack of that name: if another made what this needs, nothing is amiss",
            setting.deploy_stack,
        )
        return
    status = str(stacks[0]["StackStatus"])
    if status.endswith("_IN_PROGRESS"):
        yield warning(
            name, f"the stack is {status}", f"aws cloudformation wait stack-update-complete --stack-name {name}"
        )
    elif "FAILED" in status or status.startswith("ROLLBACK"):
        yield error(name, f"the stack is {status}", f"aws cloudformation describe-stack-events --stack-name {name}")
    else:
        yield ok(name, f"the stack is {status}")


def approvals(setting: Setting) -> Iterator[Finding]:
    """A rule of EventBridge that is on, matches this group and calls the function that deploys."""
    function, group = setting.config.deploy_function, setting.config.package_group
    events = setting.service("events")
    for name in events.ask("list_rule_names_by_target", TargetArn=function).get("RuleNames", ()):
        rule = events.ask("describe_rule", setting.arn("events", f"rule/{name}"), Name=name)
        detail = json.loads(rule.get("EventPattern") or "{}").get("detail", {})
        if group not in detail.get("ModelPackageGroupName", ()):
            continue
        if rule.get("State") != "DISABLED":
            yield ok(str(name), f"an approval in {group} deploys")
        else:
            yield warning(
                str(name), f"it is off: no approval in {group} deploys", f"aws events enable-rule --name {name}"
            )
        return
    yield warning(group, f"no rule calls {function}: an approval deploys nothing", setting.deploy_stack)
