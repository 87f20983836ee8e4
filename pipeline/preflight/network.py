"""Subnets and security groups of the jobs, where pipeline.yaml names them: there, in one VPC, with a way to S3."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pipeline.errors import ServiceError
from pipeline.preflight.demand import needs
from pipeline.preflight.finding import Finding, error, ok, warning
from pipeline.preflight.setting import Setting

_NO_SUBNET = ("InvalidSubnetID.NotFound", "InvalidSubnetID.Malformed")
_NO_GROUP = ("InvalidGroup.NotFound", "InvalidGroupId.Malformed", "InvalidGroupID.NotFound")


def subnets(setting: Setting) -> Iterator[Finding]:
    wanted = setting.config.security.subnets
    if not wanted:
        return
    found = _asked(setting, "describe_subnets", "SubnetIds", wanted, _NO_SUBNET)
    if isinstance(found, ServiceError):
        yield error(", ".join(wanted), found.message, "name subnets of this account and region in security.subnets")
        return
    rows: Sequence[Mapping[str, Any]] = found["Subnets"]
    if len({row["VpcId"] for row in rows}) > 1:
        vpcs = ", ".join(f"{row['SubnetId']} in {row['VpcId']}" for row in rows)
        yield error(", ".join(wanted), f"a job takes subnets of one VPC: {vpcs}", "name those of one VPC")
    free = sum(int(row["AvailableIpAddressCount"]) for row in rows)
    most = max((need.count for need in needs(setting)), default=1)
    if free < most:
        yield error(
            ", ".join(wanted),
            f"{free} addresses are free, and {most} machines run at once, each with one",
            "name larger subnets, or further ones, in security.subnets",
        )
    else:
        yield ok(", ".join(wanted), f"{free} addresses are free, of {most} that are needed at once")


def groups(setting: Setting) -> Iterator[Finding]:
    """Hosts of one training talk to each other: their group has to let them."""
    wanted = setting.config.security.security_groups
    if not wanted:
        return
    found = _asked(setting, "describe_security_groups", "GroupIds", wanted, _NO_GROUP)
    if isinstance(found, ServiceError):
        yield error(", ".join(wanted), found.message, "name groups of this account in security.security_groups")
        return
    rows: Sequence[Mapping[str, Any]] = found["SecurityGroups"]
    vpc = _vpc(setting)
    strangers = [row["GroupId"] for row in rows if row.get("VpcId") != vpc]
    if strangers:
        yield error(", ".join(strangers), f"it is not of {vpc}, the VPC of the subnets", "name groups of that VPC")
    if int(setting.values.get("TrainingInstanceCount", 1)) > 1 and not any(_among_themselves(row) for row in rows):
        group = rows[0]["GroupId"]
        yield error(
            ", ".join(wanted),
            "it lets the hosts of a training not talk to each other",
            f"aws ec2 authorize-security-group-ingress --group-id {group} --protocol -1 --source-group {group}",
        )
    elif not strangers:
        yield ok(", ".join(wanted), f"of {vpc}")


def way_to_s3(setting: Setting) -> Iterator[Finding]:
    """SageMaker brings data into a job in a VPC through that VPC: by an endpoint for S3, or by a NAT gateway."""
    if not setting.config.security.subnets:
        return
    vpc, service = _vpc(setting), f"com.amazonaws.{setting.config.pipeline.region}.s3"
    filters = [{"Name": "vpc-id", "Values": [vpc]}, {"Name": "service-name", "Values": [service]}]
    found = setting.service("ec2").ask("describe_vpc_endpoints", Filters=filters)["VpcEndpoints"]
    if any(str(row.get("State")).lower() == "available" for row in found):
        yield ok(vpc, "it has an endpoint for S3")
        return
    yield warning(
        vpc,
        "it has no endpoint for S3: without a NAT gateway jobs wait for their data until they fail",
        f"aws ec2 create-vpc-endpoint --vpc-id {vpc} --service-name {service} --route-table-ids rtb-…",
    )


def _vpc(setting: Setting) -> str:
    first = setting.config.security.subnets[0]
    rows = setting.service("ec2").ask("describe_subnets", SubnetIds=[first])["Subnets"]
    return str(rows[0]["VpcId"])


def _among_themselves(group: Mapping[str, Any]) -> bool:
    return any(
        pair.get("GroupId") == group["GroupId"]
        for permission in group.get("IpPermissions", ())
        for pair in permission.get("UserIdGroupPairs", ())
    )


def _asked(
    setting: Setting, method: str, member: str, ids: tuple[str, ...], absent: tuple[str, ...]
) -> Mapping[str, Any] | ServiceError:
    """The error where it says that one of them is not there."""
    try:
        answer: Mapping[str, Any] = setting.service("ec2").ask(method, **{member: list(ids)})
    except ServiceError as exc:
        if exc.code not in absent:
            raise
        return exc
    return answer
