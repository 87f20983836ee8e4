"""The roles that SageMaker takes: there, taken by SageMaker for this account and region, and no wider than needed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pipeline.errors import ServiceError
from pipeline.iam.execution import SERVICE
from pipeline.iam.policies import Role
from pipeline.iam.statements import Place
from pipeline.iam.trust import of_sagemaker
from pipeline.preflight.assumed import NO, YES, may_assume
from pipeline.preflight.finding import Finding, error, ok, unknown, warning
from pipeline.preflight.setting import Setting

ABSENT = ("NoSuchEntity", "NoSuchEntityException")
_TOO_WIDE = ("AmazonSageMakerFullAccess", "AdministratorAccess", "PowerUserAccess", "AmazonS3FullAccess")


def there(setting: Setting) -> Iterator[Finding]:
    for role in setting.roles_of("execution"):
        found = described(setting, role.arn)
        if found is None:
            yield error(role.arn, f"there is no such role; it is for {role.purpose}", _making(setting, role))
        else:
            yield from _trusted(setting, role, found)


def attached(setting: Setting) -> Iterator[Finding]:
    for role in setting.roles_of("execution"):
        request = {"RoleName": role.name}
        try:
            answer = setting.service("iam").ask("list_attached_role_policies", role.arn, **request)
            inline = setting.service("iam").ask("list_role_policies", role.arn, **request)
        except ServiceError as exc:
            if exc.code not in ABSENT:
                raise
            continue  # there() says so
        names = [str(each["PolicyName"]) for each in answer.get("AttachedPolicies", ())]
        wide = [name for name in names if name in _TOO_WIDE]
        if wide:
            policy = f"arn:{setting.partition}:iam::aws:policy/{wide[0]}"
            yield warning(
                role.arn,
                f"{' and '.join(wide)} lets it do far more than this pipeline needs: darkroom iam --role execution",
                f"aws iam detach-role-policy --role-name {role.name} --policy-arn {policy}",
            )
        else:
            count = len(names) + len(inline.get("PolicyNames", ()))
            yield ok(role.arn, f"{count} {'policy' if count == 1 else 'policies'}, none of AWS's wide ones")


def described(setting: Setting, arn: str) -> Mapping[str, Any] | None:
    """GetRole; None where there is no such role."""
    try:
        answer = setting.service("iam").ask("get_role", arn, RoleName=arn.rpartition("/")[2])
    except ServiceError as exc:
        if exc.code not in ABSENT:
            raise
        return None
    role: Mapping[str, Any] = answer["Role"]
    return role


def _trusted(setting: Setting, role: Role, found: Mapping[str, Any]) -> Iterator[Finding]:
    where = setting.config.pipeline
    context = {
        "aws:sourceaccount": where.account,
        "aws:sourcearn": setting.arn("sagemaker", "training-job/pipelines-x"),
    }
    if str(found["Arn"]) != role.arn:
        yield error(role.arn, f"the role of that name is {found['Arn']}", "write that ARN to pipeline.role")
    answer = may_assume(found.get("AssumeRolePolicyDocument") or {}, SERVICE, context)
    boundary = (found.get("PermissionsBoundary") or {}).get("PermissionsBoundaryArn")
    bounded = f"; within the boundary {boundary}" if boundary else ""
    mend = _trusting(role, Place(setting.partition, where.region, where.account))
    if answer == YES:
        yield ok(role.arn, f"SageMaker may take it{bounded}")
    elif answer == NO:
        yield error(role.arn, f"its trust policy does not let {SERVICE} take it for {where.account}", mend)
    else:
        yield unknown(
            role.arn, f"its trust policy has conditions that only AWS can judge{bounded}", f"compare it with: {mend}"
        )


def _trusting(role: Role, place: Place) -> str:
    import json

    document = json.dumps(of_sagemaker(place))
    return f"aws iam update-assume-role-policy --role-name {role.name} --policy-document '{document}'"


def _making(setting: Setting, role: Role) -> str:
    if role.arn.split(":")[4] != setting.account:
        return "roles have to be of the same account as the pipeline: mend the ARN in pipeline.yaml"
    return setting.deploy_stack
