"""Statements that several roles have: images, logs, metrics, network, keys, objects in S3."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pipeline.iam.scope import Scope, repositories
from pipeline.iam.statements import Place, Statement

ALL = ("*",)
PULL = ("ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer")
PUSH = (
    *("ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:CompleteLayerUpload", "ecr:DescribeImages"),
    *("ecr:InitiateLayerUpload", "ecr:PutImage", "ecr:UploadLayerPart"),
)
DESCRIBE_NETWORK = tuple(
    f"ec2:Describe{what}" for what in ("DhcpOptions", "NetworkInterfaces", "SecurityGroups", "Subnets", "Vpcs")
)


def images(place: Place, uris: Iterable[str]) -> list[Statement]:
    arns = repositories(place, uris)
    if not arns:
        return []
    return [Statement("RegistryToken", ("ecr:GetAuthorizationToken",), ALL), Statement("PullImages", PULL, arns)]


def found(place: Place, uris: Iterable[str]) -> list[Statement]:
    """Whether images are there: DescribeImages of one's own; BatchGetImage, which AWS's account lets everybody do."""
    arns = repositories(place, uris)
    return [Statement("FindImages", ("ecr:BatchGetImage", "ecr:DescribeImages"), arns)] if arns else []


def pushing(place: Place, uri: str) -> list[Statement]:
    """Into a repository of the account's own registry; nothing for an image that lies elsewhere."""
    arns = [arn for arn in repositories(place, [uri]) if arn.startswith(place.arn("ecr", "repository/"))]
    if not arns:
        return []
    return [Statement("RegistryToken", ("ecr:GetAuthorizationToken",), ALL), Statement("PushImage", PUSH, tuple(arns))]


def log_groups(place: Place, groups: Sequence[str]) -> tuple[str, ...]:
    """Of groups and of their streams: actions on a group are judged by its ARN with and without `:…` behind it."""
    return tuple(place.arn("logs", f"log-group:{group}{tail}") for group in groups for tail in ("", ":*"))


def logs(place: Place, groups: Sequence[str]) -> Statement:
    writing = ("logs:CreateLogGroup", "logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents")
    return Statement("WriteLogs", writing, log_groups(place, groups))


def metrics(namespaces: Sequence[str]) -> Statement:
    condition = {"StringEquals": {"cloudwatch:namespace": list(namespaces)}}
    return Statement("PutMetrics", ("cloudwatch:PutMetricData",), ALL, condition)


def reading(place: Place, patterns: Sequence[str]) -> list[Statement]:
    """GetObject, and ListBucket of the same beginnings of keys: without it S3 answers 403 for what does not exist.

    The key that was asked for is then the condition's s3:prefix: https://github.com/ceph/ceph/pull/68577
    """
    if not patterns:
        return []
    objects = Statement("ReadObjects", ("s3:GetObject",), tuple(place.objects(each) for each in patterns))
    return [objects, *listing(place, patterns)]


def listing(place: Place, patterns: Sequence[str]) -> list[Statement]:
    """One statement for each bucket, since the keys are a condition of it."""
    keys: dict[str, list[str]] = {}
    for pattern in patterns:
        bucket, _, key = pattern.partition("/")
        keys.setdefault(bucket, []).append(key)
    return [
        Statement("ListObjects", ("s3:ListBucket",), (place.objects(bucket),), {"StringLike": {"s3:prefix": each}})
        for bucket, each in keys.items()
    ]


def writing(place: Place, patterns: Sequence[str], sid: str = "WriteObjects", *more: str) -> list[Statement]:
    if not patterns:
        return []
    actions = ("s3:AbortMultipartUpload", "s3:PutObject", *more)
    return [Statement(sid, tuple(sorted(actions)), tuple(place.objects(each) for each in patterns))]


def network(scope: Scope) -> list[Statement]:
    """For containers in a VPC; nothing outside any. A shared VPC's subnets are another account's."""
    security, place = scope.config.security, scope.place
    if not security.subnets:
        return []
    shared = Place(place.partition, place.region, "*")
    subnets = tuple(shared.arn("ec2", f"subnet/{each}") for each in security.subnets)
    groups = tuple(shared.arn("ec2", f"security-group/{each}") for each in security.security_groups)
    interfaces = (place.arn("ec2", "network-interface/*"),)
    of_subnets = {"ArnLike": {"ec2:Subnet": list(subnets)}}
    permitted = ("ec2:CreateNetworkInterfacePermission", "ec2:DeleteNetworkInterface")
    return [
        Statement("CreateInterfaces", ("ec2:CreateNetworkInterface",), (*subnets, *groups, *interfaces)),
        Statement("UseInterfaces", permitted, interfaces, of_subnets),
        Statement("LookAtNetwork", ("ec2:DeleteNetworkInterfacePermission", *DESCRIBE_NETWORK), ALL),
    ]


def keys(scope: Scope, actions: Sequence[str], sid: str = "UseKey", via: str = "") -> list[Statement]:
    """`actions` with the configured key; nothing without one. `via`: only through that service."""
    key = scope.config.security.kms_key
    if key is None:
        return []
    service = {"StringEquals": {"kms:ViaService": via}} if via else {}
    return [_of_key(key, sid, actions, service)]


def grants(scope: Scope) -> list[Statement]:
    """For encrypted disks: a grant that only an AWS service can use."""
    key = scope.config.security.kms_key
    condition = {"Bool": {"kms:GrantIsForAWSResource": "true"}}
    return [] if key is None else [_of_key(key, "GrantKey", ("kms:CreateGrant",), condition)]


def _of_key(
    key: str, sid: str, actions: Sequence[str], conditions: dict[str, dict[str, object]] | dict[str, dict[str, str]]
) -> Statement:
    """An alias is no resource of these actions: it is a condition on all keys of its account."""
    front, _, name = key.partition(":key/")
    if name:
        return Statement(sid, tuple(actions), (key,), conditions)
    front, _, name = key.partition(":alias/")
    aliased = {"ForAnyValue:StringEquals": {"kms:ResourceAliases": f"alias/{name}"}}
    return Statement(sid, tuple(actions), (f"{front}:key/*",), {**conditions, **aliased})


def through_s3(scope: Scope) -> str:
    region = scope.place.region
    return f"s3.{region}.amazonaws.com{'.cn' if region.startswith('cn-') else ''}"
