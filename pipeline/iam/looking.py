"""The role of whoever asks `darkroom check`: it looks at what the pipeline needs, and changes nothing."""

from __future__ import annotations

from pipeline.iam import clauses
from pipeline.iam.addresses import READ
from pipeline.iam.execution import group_of
from pipeline.iam.scope import JOBS, Scope, images_of
from pipeline.iam.statements import Statement

_BUCKET = (
    *("s3:GetBucketLocation", "s3:GetBucketPolicy", "s3:GetBucketPublicAccessBlock", "s3:GetBucketVersioning"),
    *("s3:GetEncryptionConfiguration", "s3:ListBucket"),
)
_ROLES = ("iam:GetRole", "iam:ListAttachedRolePolicies", "iam:ListRolePolicies", "iam:SimulatePrincipalPolicy")
_READ_LOGS = ("logs:DescribeLogStreams", "logs:FilterLogEvents", "logs:GetLogEvents")
_GROUPS = ("/aws/sagemaker/ProcessingJobs", "/aws/sagemaker/TrainingJobs")
_ANYWHERE = (
    *("ec2:DescribeRegions", "events:ListRuleNamesByTarget"),
    *("servicequotas:ListAWSDefaultServiceQuotas", "servicequotas:ListServiceQuotas"),
)


def checking(scope: Scope, roles: tuple[str, ...]) -> list[Statement]:
    """`roles`: ARNs of those that the account is asked about, the asking one among them."""
    place, config = scope.place, scope.config
    name = config.pipeline.name
    return [
        Statement("LookAtRoles", _ROLES, roles),
        Statement("LookAtBucket", _BUCKET, (place.objects(config.pipeline.bucket_name),)),
        *clauses.listing(place, scope.patterns([step.name for step in scope.steps(*JOBS)], READ)),
        *clauses.found(place, [config.serving_image, *(uri for step in scope.steps(*JOBS) for uri in images_of(step))]),
        Statement("LookAtFunctions", ("lambda:GetFunctionConfiguration",), scope.functions),
        Statement("LookAtPackageGroup", ("sagemaker:DescribeModelPackageGroup",), group_of(scope)),
        Statement("ReadLogs", _READ_LOGS, clauses.log_groups(place, _GROUPS)),
        Statement("LookAtStack", ("cloudformation:DescribeStacks",), (place.arn("cloudformation", f"stack/{name}/*"),)),
        Statement("LookAtRules", ("events:DescribeRule",), (place.arn("events", f"rule/{name}-*"),)),
        Statement("LookAtAccount", (*_ANYWHERE, *_network(scope)), clauses.ALL),
        *clauses.keys(scope, ("kms:DescribeKey", "kms:GetKeyPolicy"), "LookAtKey"),
    ]


def _network(scope: Scope) -> tuple[str, ...]:
    looks = ("ec2:DescribeSecurityGroups", "ec2:DescribeSubnets", "ec2:DescribeVpcEndpoints")
    return looks if scope.config.security.subnets else ()
