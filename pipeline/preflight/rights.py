"""What roles are allowed, asked of IAM's own simulator: every statement of `darkroom iam`, action by action.

https://docs.aws.amazon.com/IAM/latest/APIReference/API_SimulatePrincipalPolicy.html: it changes nothing, and takes
boundaries and an organisation's policies into account, but no policies of resources such as buckets and keys.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from itertools import product
from typing import Any, NamedTuple

from pipeline.errors import ServiceError
from pipeline.iam.statements import Statement
from pipeline.preflight.finding import Finding, error, ok, unknown, warning
from pipeline.preflight.roles import ABSENT
from pipeline.preflight.setting import Setting

ALLOWED = "allowed"
SAMPLE = "x"  # stands for what `*` leaves open
_ESCAPED = re.compile(r"\$\{([*?$])\}")
_OF_CALLER = ("ChangePipeline", "PassRoles", "WriteCodeAndData")  # what upsert and start need of ci-deploy's rights
_SESSION = re.compile(r"arn:([a-z-]+):sts::([0-9]{12}):assumed-role/([^/]+)/")


class Denied(NamedTuple):
    """`by`: what stands in the way, where it is no missing statement."""

    action: str
    resource: str
    by: str


def of_execution(setting: Setting) -> Iterator[Finding]:
    for role in setting.roles_of("execution"):
        yield from covers(setting, role.arn, role.statements, role.purpose)


def of_caller(setting: Setting) -> Iterator[Finding]:
    """Whether who asks may upsert and start: hand over the role, above all."""
    arn = _principal(setting, str(setting.service("sts").ask("get_caller_identity")["Arn"]))
    if arn.endswith(":root"):
        return
    (role,) = setting.roles_of("ci-deploy")
    wanted = [each for each in role.statements if each.sid in _OF_CALLER]
    yield from covers(setting, arn, tuple(wanted), "upsert and start", own=False)


def covers(
    setting: Setting, arn: str, statements: tuple[Statement, ...], purpose: str, own: bool = True
) -> Iterator[Finding]:
    """`own`: a role that this project makes, to which a policy can be added by name."""
    missing: list[tuple[Statement, list[Denied]]] = []
    try:
        for statement in statements:
            if denied := list(_denied(setting, arn, statement)):
                missing.append((statement, denied))
    except ServiceError as exc:
        if exc.code not in ABSENT:
            raise
        yield unknown(arn, "there is no such role, so nobody knows what it may do", setting.deploy_stack)
        return
    if not missing:
        yield ok(arn, f"may do all that {purpose} needs ({len(statements)} statements of darkroom iam)")
    for statement, denied in missing:
        tell = error if own else warning  # another may upsert than the one who asks
        yield tell(arn, _told(purpose, denied), _mend(arn, statement, denied, own))


def _denied(setting: Setting, arn: str, statement: Statement) -> Iterator[Denied]:
    resources = [_sample(each, setting.account) for each in statement.resources]
    told: dict[str, Denied] = {}
    for context in _contexts(statement):
        for result in _simulated(setting, arn, statement.actions, resources, context):
            for denied in _refused(result):
                told.setdefault(denied.action, denied)
    yield from told.values()


def _simulated(
    setting: Setting, arn: str, actions: tuple[str, ...], resources: list[str], context: list[dict[str, Any]]
) -> Iterator[Mapping[str, Any]]:
    request: dict[str, Any] = {
        "PolicySourceArn": arn,
        "ActionNames": list(actions),
        "ResourceArns": resources,
        **({"ContextEntries": context} if context else {}),
    }
    while True:
        answer = setting.service("iam").ask("simulate_principal_policy", arn, **request)
        yield from answer["EvaluationResults"]
        if not answer.get("IsTruncated"):
            return
        request["Marker"] = answer["Marker"]


def _refused(result: Mapping[str, Any]) -> Iterator[Denied]:
    """One result an action; of several resources each has its own below it."""
    boundary = result.get("PermissionsBoundaryDecisionDetail") or {}
    organisation = result.get("OrganizationsDecisionDetail") or {}
    own = [{"EvalResourceName": result.get("EvalResourceName", "*"), "EvalResourceDecision": result["EvalDecision"]}]
    for each in result.get("ResourceSpecificResults") or own:
        decision = each["EvalResourceDecision"]
        if decision == ALLOWED:
            continue
        by = "a statement that denies it" if decision == "explicitDeny" else ""
        if boundary.get("AllowedByPermissionsBoundary") is False:
            by = "its permissions boundary"
        if organisation.get("AllowedByOrganizations") is False:
            by = "a service control policy of the organisation"
        yield Denied(str(result["EvalActionName"]), str(each["EvalResourceName"]), by)


def _contexts(statement: Statement) -> Iterator[list[dict[str, Any]]]:
    """One for each combination of the values that the statement's conditions name: all of them have to be allowed."""
    named = [
        [(key, str(value)) for value in ([values] if isinstance(values, str) else values)]
        for keys in statement.conditions.values()
        for key, values in keys.items()
    ]
    for combination in product(*named):
        yield [
            {"ContextKeyName": key, "ContextKeyValues": [_plain(value)], "ContextKeyType": _type(key)}
            for key, value in combination
        ]


def _type(key: str) -> str:
    return {"kms:GrantIsForAWSResource": "boolean", "kms:ResourceAliases": "stringList"}.get(key, "string")


def _sample(resource: str, account: str) -> str:
    """An ARN that the pattern covers: the simulator takes real ones."""
    if resource == "*":
        return resource
    parts = resource.split(":", 5)
    if len(parts) == 6 and parts[4] == "*":
        parts[4] = account
    return _plain(":".join(parts))


def _plain(pattern: str) -> str:
    """What IAM writes for a character itself stays that character."""
    kept = _ESCAPED.sub(lambda found: {"*": "\0", "?": "\1", "$": "\2"}[found[1]], pattern)
    return kept.replace("*", SAMPLE).replace("?", SAMPLE).translate({0: "*", 1: "?", 2: "$"})


def _principal(setting: Setting, arn: str) -> str:
    """The role behind a session: its name is all that the session's ARN has of it, and its path is part of its own."""
    session = _SESSION.match(arn)
    if not session:
        return arn
    found = setting.service("iam").ask("get_role", RoleName=session[3])
    return str(found["Role"]["Arn"])


def _told(purpose: str, denied: list[Denied]) -> str:
    actions = " ".join(each.action for each in denied)
    because = next((f": {each.by} is in the way" for each in denied if each.by), "")
    return f"may not {actions} on {denied[0].resource}, which {purpose} needs{because}"


def _mend(arn: str, statement: Statement, denied: list[Denied], own: bool) -> str:
    if by := next((each.by for each in denied if each.by), ""):
        return f"have {by} changed by its owner; a statement that allows it does not help"
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement.document()]})
    if not own or ":role/" not in arn:
        return f"attach to it: {document}"
    name = arn.rpartition("/")[2]
    return (
        f"aws iam put-role-policy --role-name {name} --policy-name darkroom-{statement.sid} "
        f"--policy-document '{document}'"
    )
