"""The roles of the stack: their policies are those of pipeline.iam, and what only the stack's own resources need."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from pipeline.config import Config
from pipeline.iam import policies, trust
from pipeline.iam.statements import Statement, packed
from pipeline.infra.functions import ROLES
from pipeline.infra.intrinsics import Json, arn, either, policy, ref, statement, sub
from pipeline.infra.packaging import CHAMPION, DEPLOY, INVOKE
from pipeline.infra.setting import Setting

SUBJECTS = {"ci-plan": "PlanSubject", "ci-deploy": "DeploySubject"}
_CONDITIONS = {"ci-plan": "HasPlanRole", "ci-deploy": "HasDeployRole"}
_LOGICAL = {"ci-plan": "PlanRole", "ci-deploy": "DeployRole"}
_PROGRAMS = {"deploy-lambda": DEPLOY, "champion-lambda": CHAMPION, "invoke-lambda": INVOKE}
_OF_PEOPLE = ("approver", "check")  # nobody in the stack takes these; the first one's policy is there to be attached
APPROVING, APPROVER = "approver", "ApproverPolicy"
_OF_DATA = ("execution", "ci-plan", "ci-deploy")  # kinds of roles that touch the bucket
# https://docs.aws.amazon.com/lambda/latest/dg/configuration-vpc.html: Lambda asks for all network resources or none
_NETWORK = (
    *("ec2:AssignPrivateIpAddresses", "ec2:CreateNetworkInterface", "ec2:DeleteNetworkInterface"),
    "ec2:UnassignPrivateIpAddresses",
)
DATA_KEY, NETWORK, UNDELIVERED, CI = "DataKeyPolicy", "NetworkPolicy", "UndeliveredPolicy", "CiPolicy"
_NETWORK_LOOKS = ("ec2:DescribeNetworkInterfaces", "ec2:DescribeSubnets")


def resources(setting: Setting) -> Json:
    found: Json = {"CiProvider": _provider(setting), **_of_stack(setting)}
    there = roles(setting)
    common = _common(there)
    found |= {
        f"{CI}{number}": _managed(document["Statement"], "HasCi") for number, document in enumerate(packed(common), 1)
    }
    of_ci = [name for name in found if name.startswith(CI)]
    for number, role in enumerate(there):
        if role.kind in SUBJECTS:
            own = replace(role, statements=tuple(each for each in role.statements if each not in common))
            found |= _role(setting, own, _logical(role, number), of_ci)
        else:
            found |= _role(setting, role, _logical(role, number), [])
    return found | _approver(setting)


def roles(setting: Setting) -> list[policies.Role]:
    """Those that belong to this account and to something that is here, with what the production endpoint needs."""
    there = {package.program for package in setting.packages}
    account = setting.config.pipeline.account
    return [
        role
        for role in _for_both_endpoints(setting)
        if role.kind not in _OF_PEOPLE
        and role.arn.split(":")[4] == account
        and (role.kind not in _PROGRAMS or _PROGRAMS[role.kind] in there)
    ]


def _approver(setting: Setting) -> Json:
    """For whoever decides: people have roles of their own, or groups, to which their account attaches it."""
    role = next(each for each in _for_both_endpoints(setting) if each.kind == APPROVING)
    documents = packed(role.statements)
    names = [APPROVER, *(f"{APPROVER}{number}" for number in range(2, len(documents) + 1))]
    return {name: _managed(each["Statement"]) for name, each in zip(names, documents, strict=True)}


def _logical(role: policies.Role, number: int) -> str:
    """The pipeline's own role comes first; further ones of its kind have a number."""
    if role.kind == "execution":
        return f"ExecutionRole{number or ''}"
    return _LOGICAL[role.kind] if role.kind in _LOGICAL else ROLES[_PROGRAMS[role.kind]]


def _for_both_endpoints(setting: Setting) -> list[policies.Role]:
    """The policies of pipeline.iam know the staging endpoint; asked again with the other name, they tell the rest."""
    subjects: dict[str, trust.Subject] = {kind: ref(parameter) for kind, parameter in SUBJECTS.items()}
    staging, production = (
        policies.roles(config, setting.definition, setting.reads, subjects)
        for config in (setting.config, _with_endpoint(setting.config, setting.production))
    )
    return [replace(one, statements=_union(one, other)) for one, other in zip(staging, production, strict=True)]


def _with_endpoint(config: Config, name: str) -> Config:
    return config.model_copy(update={"deploy": config.deploy.model_copy(update={"endpoint_name": name})})


def _union(one: policies.Role, other: policies.Role) -> tuple[Statement, ...]:
    """Statements of both; those that differ in their resources alone become one."""
    found: dict[str, Statement] = {}
    for each in (*one.statements, *other.statements):
        key = repr((each.sid, each.actions, each.conditions))
        known = found.get(key, each)
        found[key] = replace(known, resources=tuple(dict.fromkeys((*known.resources, *each.resources))))
    return tuple(found.values())


def _common(found: list[policies.Role]) -> tuple[Statement, ...]:
    """What all roles of CI may do: written once, it keeps the template within what CloudFormation takes in a call."""
    first, *rest = (role.statements for role in found if role.kind in SUBJECTS)
    return tuple(each for each in first if all(each in others for others in rest))


def _role(setting: Setting, role: policies.Role, logical: str, shared: list[str]) -> Json:
    """Policies are attached by the role itself, so that whatever names the role comes after them."""
    condition = _CONDITIONS.get(role.kind, "")
    managed: Json = {
        f"{logical}Policy{number}": _managed(document["Statement"], condition)
        for number, document in enumerate(packed(role.statements), 1)
    }
    path, _, name = role.arn.partition(":role")[2].rpartition("/")
    # The definition names its roles. Others find theirs in the outputs: a second pipeline has its own beside them.
    named = {"RoleName": name} if role.kind == "execution" else {}
    properties = {
        **named,
        "Path": f"{path}/",
        "Description": f"{role.pipeline}: {role.purpose}",
        "AssumeRolePolicyDocument": _trusted(setting, role),
        "ManagedPolicyArns": [*map(ref, (*managed, *shared)), *_attached(role)],
        "PermissionsBoundary": either("HasBoundary", ref("PermissionsBoundaryArn")),
    }
    conditional = {"Condition": condition} if condition else {}
    return {**managed, logical: {"Type": "AWS::IAM::Role", **conditional, "Properties": properties}}


def _trusted(setting: Setting, role: policies.Role) -> Any:
    """GitHub's host stands in the provider's ARN and in the names of the conditions."""
    return json.loads(json.dumps(role.trust).replace(trust.ISSUER, setting.issuer))


def _provider(setting: Setting) -> Json:
    audience = f"sts.amazonaws.com{setting.suffix}"
    return {
        "Type": "AWS::IAM::OIDCProvider",
        "Condition": "MakesProvider",
        "Properties": {"Url": f"https://{setting.issuer}", "ClientIdList": [audience]},
    }


def _of_stack(setting: Setting) -> Json:
    """Policies about resources and parameters of the stack, each for several roles."""
    through = {"StringEquals": {"kms:ViaService": f"s3.{setting.config.pipeline.region}.amazonaws.com{setting.suffix}"}}
    use_key = statement("UseDataKey", ["kms:Decrypt", "kms:GenerateDataKey"], ref("DataKeyArn"), through)
    everywhere = sub("arn:${AWS::Partition}:ec2:${AWS::Region}:${AWS::AccountId}:*/*")
    return {
        DATA_KEY: _managed([use_key], "HasDataKey"),
        NETWORK: _managed(
            [
                statement("UseNetwork", list(_NETWORK), everywhere),
                statement("LookAtNetwork", list(_NETWORK_LOOKS), "*"),
            ],
            "HasVpc",
        ),
        UNDELIVERED: _managed([statement("KeepUndelivered", "sqs:SendMessage", arn("UndeliveredEvents"))]),
    }


def _attached(role: policies.Role) -> list[Json]:
    found = [either("HasDataKey", ref(DATA_KEY))] if role.kind in _OF_DATA else []
    if role.kind == "deploy-lambda":
        found.append(ref(UNDELIVERED))
    if role.kind in _PROGRAMS:
        found.append(either("HasVpc", ref(NETWORK)))
    return found


def _managed(statements: list[Json], condition: str = "") -> Json:
    return {
        "Type": "AWS::IAM::ManagedPolicy",
        **({"Condition": condition} if condition else {}),
        "Properties": {"PolicyDocument": policy(*statements)},
    }
