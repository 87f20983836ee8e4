"""What lies in the stack of infra/template.yaml, and what CloudWatch has counted of it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from smoke.account import Account

DAYS = 14


def name_of(account: Account) -> str:
    return account.options.stack or account.pipeline.pipeline.name


def detail(account: Account, logical: str) -> dict[str, Any]:
    """StackResourceDetail of one resource. Raises ClientError where the stack, or the resource, is not there."""
    found = account.ask(
        "cloudformation", "describe_stack_resource", StackName=name_of(account), LogicalResourceId=logical
    )
    return dict(found["StackResourceDetail"])


def resource(account: Account, logical: str) -> str:
    """Its physical name; the last part of an ARN."""
    return str(detail(account, logical)["PhysicalResourceId"]).rpartition(":")[2]


def counted(
    account: Account, metric: str, dimension: tuple[str, str], hours: int = DAYS * 24, statistic: str = "Sum"
) -> list[float]:
    """Datapoints of `AWS/Service Metric`: one a day, or one in five minutes of a few hours."""
    namespace, _, name = metric.partition(" ")
    end = datetime.now(UTC)
    rows = account.ask(
        "cloudwatch",
        "get_metric_statistics",
        Namespace=namespace,
        MetricName=name,
        Dimensions=[{"Name": dimension[0], "Value": dimension[1]}],
        StartTime=end - timedelta(hours=hours),
        EndTime=end,
        Period=86400 if hours > 24 else 300,
        Statistics=[statistic],
    )["Datapoints"]
    return [float(row[statistic]) for row in rows]
