"""What is wrong with a role's policies: wildcards that nothing forces, unknown actions, sizes, characters."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any

from pipeline.errors import DefinitionError
from pipeline.iam.actions import ANY_ACCOUNT, FORCED, KINDS, NO_OPERATION, WHOLE_KINDS
from pipeline.iam.policies import Role
from pipeline.iam.statements import MANAGED_SIZE, MOST_POLICIES, TRUST_SIZE, Statement, size

_ACTION = re.compile(r"[a-z0-9-]+:[A-Za-z0-9]+")
_SID = re.compile(r"[A-Za-z0-9]+")
# tab, line ends, and the first page of Unicode: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html
_CHARACTERS = re.compile(r"[\t\n\r\u0020-\u00ff]*")
# resource type → how IAM writes what comes before a name; others write <type>/<name>
_SHAPES = {
    "bucket": r"arn:[a-z-]+:s3:::[^/*?]+",
    "object": r"arn:[a-z-]+:s3:::[^/*?]+/[^*?].*",
    "role": r"arn:[a-z-]+:iam::[0-9]{12}:role/[^*?]+",
    "service-linked-role": r"arn:[a-z-]+:iam::[0-9]{12}:role/aws-service-role/[a-z.-]+/[A-Za-z_]+",
    "alarm": r"arn:[a-z-]+:cloudwatch:[a-z0-9-]+:[0-9]{12}:alarm:[A-Za-z0-9][^*?]*\*?",
    "topic": r"arn:[a-z-]+:sns:[a-z0-9-]+:[0-9]{12}:[^*?]+",
    "repository": r"arn:[a-z-]+:ecr:[a-z0-9-]+:[0-9]{12}:repository/[^*?]+",
    "function": r"arn:[a-z-]+:lambda:[a-z0-9-]+:[0-9]{12}:function:[^*?]+",
    "log-group": r"arn:[a-z-]+:logs:[a-z0-9-]+:[0-9]{12}:log-group:[^*?:]+(:\*)?",
    "log-stream": r"arn:[a-z-]+:logs:[a-z0-9-]+:[0-9]{12}:log-group:[^*?:]+(:\*)?",
    "pipeline-execution": r"arn:[a-z-]+:sagemaker:[a-z0-9-]+:[0-9]{12}:pipeline/[^*?/]+/execution/\*",
    "pipeline": r"arn:[a-z-]+:sagemaker:[a-z0-9-]+:[0-9]{12}:pipeline/[^*?/]+",
    "stack": r"arn:[a-z-]+:cloudformation:[a-z0-9-]+:[0-9]{12}:stack/[^*?/]+/\*",
    "model-package": r"arn:[a-z-]+:sagemaker:[a-z0-9-]+:[0-9]{12}:model-package/[^*?/]+/\*",
}
# resource type that is named as a whole → the condition key that has to narrow it
_NARROWED = {"key": "kms:ResourceAliases", "scalable-target": "application-autoscaling:service-namespace"}


def refuse(roles: Iterable[Role]) -> None:
    """Raises DefinitionError with all findings."""
    found = [finding for role in roles for finding in findings(role)]
    if found:
        lines = "".join(f"\n  {each}" for each in found)
        raise DefinitionError(f"no policy that IAM takes comes of this pipeline:{lines}", "mend these in pipeline.yaml")


def findings(role: Role) -> list[str]:
    """Empty for a role that IAM takes and that has no more than it needs."""
    found = [finding for each in role.statements for finding in _of_statement(each)]
    sids = [each.sid for each in role.statements]
    found += [f"{sid}: the name is taken twice" for sid in sorted({sid for sid in sids if sids.count(sid) > 1})]
    return [f"{role.name}: {each}" for each in (*found, *_of_documents(role))]


def _of_statement(statement: Statement) -> Iterator[str]:
    if not _SID.fullmatch(statement.sid):
        yield f"{statement.sid!r}: a Sid has letters and digits"
    if not _CHARACTERS.fullmatch(json.dumps(statement.document(), ensure_ascii=False)):
        yield f"{statement.sid}: IAM takes no characters beyond U+00FF: {' '.join(statement.resources)}"
    for action in statement.actions:
        if not _ACTION.fullmatch(action):
            yield f"{statement.sid}: {action!r} is no single action"
        elif action not in KINDS and action not in FORCED:
            yield f"{statement.sid}: {action} is in no table of pipeline/iam/actions.py"
        else:
            yield from (f"{statement.sid}: {action}: {each}" for each in _of_action(action, statement))


def _of_action(action: str, statement: Statement) -> Iterator[str]:
    keys = {key for condition in statement.conditions.values() for key in condition}
    if not is_known(action):
        yield "AWS has no such action"
    if action == "iam:PassRole" and "iam:PassedToService" not in keys:
        yield "handed to any service: iam:PassedToService is missing"
    for resource in statement.resources:
        if resource == "*":
            if action not in FORCED:
                yield 'on "*", which nothing forces'
            elif FORCED[action].condition and FORCED[action].condition not in keys:
                yield f'on "*" without the condition {FORCED[action].condition}'
        elif not any(_is_of(kind, resource, keys) for kind in KINDS.get(action, ())):
            yield f"{resource} is none of {', '.join(KINDS.get(action, ())) or 'the resources it can be limited to'}"


def _is_of(kind: str, resource: str, conditions: set[str]) -> bool:
    """Whether `resource` names things of this type, and so few that a name, or a part of one, stands there."""
    plain = re.sub(r"\$\{[*?$]\}", "_", resource)  # characters that stand for themselves
    if kind in WHOLE_KINDS and re.fullmatch(rf"arn:[a-z-]+:[a-z0-9-]+:[a-z0-9-]+:[0-9]{{12}}:{kind}/\*", plain):
        return _NARROWED.get(kind, "") in {"", *conditions}
    if kind in _SHAPES:
        return re.fullmatch(_SHAPES[kind], plain) is not None
    account = r"(\*|[0-9]{12})" if kind in ANY_ACCOUNT else "[0-9]{12}"
    named = re.fullmatch(rf"arn:[a-z-]+:[a-z0-9]+:[a-z0-9-]+:{account}:{kind}/(?P<name>[^/]+)", plain)
    return named is not None and len(re.sub(r"[*?-]|pipelines", "", named["name"])) > 0


def _of_documents(role: Role) -> Iterator[str]:
    documents = role.policies()
    if len(documents) > MOST_POLICIES:
        yield f"{len(documents)} policies, and a role takes {MOST_POLICIES} unless AWS raises the quota"
    for name, document in documents.items():
        if size(document) > MANAGED_SIZE:
            yield f"{name} has {size(document):,} characters, and IAM takes {MANAGED_SIZE:,}"
    if role.trust is not None and size(role.trust) > TRUST_SIZE:
        yield f"its trust policy has {size(role.trust):,} characters, and IAM takes {TRUST_SIZE:,}"


def is_known(action: str) -> bool:
    service, _, name = action.partition(":")
    return action in NO_OPERATION or name in _operations(service)


@cache
def _operations(prefix: str) -> frozenset[str]:
    """Names of all API operations that botocore knows of the service with this prefix in IAM."""
    from botocore.loaders import Loader

    several = {"sagemaker": ("sagemaker", "sagemaker-runtime"), "servicequotas": ("service-quotas",)}
    services = several.get(prefix, (prefix,))
    models: list[dict[str, Any]] = [Loader().load_service_model(service, "service-2") for service in services]
    return frozenset(name for model in models for name in model["operations"])
