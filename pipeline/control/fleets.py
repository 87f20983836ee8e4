"""Endpoints as what they cost: machines, price, age, and when somebody last asked them."""

from __future__ import annotations

import re
from collections import namedtuple
from datetime import UTC, datetime, timedelta

from pipeline.client import pages
from pipeline.errors import ServiceError
from pipeline.plan.prices import HOSTING

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from pipeline.client import Hosting
    from pipeline.plan.prices import Prices

HOUR_S = 3600
UNKNOWN = "unknown"  # a machine that nothing tells any more
_ABSENT = ("ValidationException", "ResourceNotFound")
# deploy names models and configurations <endpoint>-v<version>-<hex digits>, cut where that is too long
_MADE = re.compile(r"(.+)-v[0-9]+-[0-9a-f]{8,10}(-[a-z0-9-]+)?")
_KEPT = 40  # characters of the endpoint's name that are left at least

# invocations: in the window, None where nobody counts, `uncounted` says why; last: hour in which it was asked, or None
Fleet = namedtuple("Fleet", "name ours status created variants hourly prices invocations last uncounted")


def fleets(hosting: Hosting, ours: Sequence[str], window: timedelta, prices: Prices, now: datetime) -> list[Fleet]:
    """Every endpoint, newest first; one that goes while it is looked at is left out."""
    rows = sorted(
        pages(hosting.sagemaker.list_endpoints, "Endpoints"), key=lambda row: row["CreationTime"], reverse=True
    )
    found = []
    for row in rows:
        try:
            found.append(_fleet(hosting, row, row["EndpointName"] in ours, (window, now), prices))
        except ServiceError as exc:
            if exc.code not in _ABSENT:
                raise
    return found


def idle(fleet: Fleet, window: timedelta, now: datetime) -> str:
    """Empty where it may go; else why it stays. A window of nothing takes whatever there is."""
    if not window:
        return ""
    if now - fleet.created < window:
        return f"younger than {told(window)}"
    if fleet.invocations is None:
        return f"nobody knows whether it is asked: {fleet.uncounted}"
    return f"asked {fleet.invocations:,} times in {told(window)}" if fleet.invocations else ""


def told(window: timedelta) -> str:
    hours = int(window.total_seconds() // HOUR_S)
    return f"{hours} h" if hours < 48 or hours % 24 else f"{hours // 24} days"


def made_for(name: str, endpoint: str) -> bool:
    """Whether a model, configuration or alarm is called as those are that deploy makes for this endpoint."""
    made = _MADE.fullmatch(name)
    if made is None:
        return False
    return made[1] == endpoint or (len(made[1]) >= _KEPT and endpoint.startswith(made[1]))


def _fleet(
    hosting: Hosting, row: dict[str, Any], ours: bool, when: tuple[timedelta, datetime], prices: Prices
) -> Fleet:
    name = row["EndpointName"]
    endpoint = hosting.sagemaker.describe_endpoint(EndpointName=name)
    variants = _variants(hosting, endpoint)
    each = [prices.of(HOSTING, machine) for _, machine, _ in variants]
    known = [count * price.usd for (_, _, count), price in zip(variants, each, strict=True) if price is not None]
    hourly = sum(known) if len(known) == len(variants) and known else None
    counted, last, why = _invocations(hosting, name, [variant for variant, *_ in variants], *when)
    created = datetime.fromtimestamp(row["CreationTime"].timestamp(), UTC)
    return Fleet(name, ours, endpoint["EndpointStatus"], created, variants, hourly, each, counted, last, why)


def _variants(hosting: Hosting, endpoint: dict[str, Any]) -> list[tuple[str, str, int]]:
    """(name, machine, how many run now) of each. The configuration may be deleted while its machines run, and cost."""
    running = {each["VariantName"]: each.get("CurrentInstanceCount") for each in endpoint.get("ProductionVariants", ())}
    try:
        config = hosting.sagemaker.describe_endpoint_config(EndpointConfigName=endpoint["EndpointConfigName"])
    except ServiceError as exc:
        if exc.code not in _ABSENT:
            raise
        return [(name, UNKNOWN, int(count or 0)) for name, count in running.items()]
    return [
        (
            each["VariantName"],
            str(each.get("InstanceType", "serverless")),
            int(running.get(each["VariantName"]) or each.get("InitialInstanceCount") or 0),
        )
        for each in config["ProductionVariants"]
    ]


def _invocations(
    hosting: Hosting, name: str, variants: Sequence[str], window: timedelta, now: datetime
) -> tuple[int | None, datetime | None, str]:
    """How often it was asked within the window, and in which hour last; without a window within a day."""
    total, last = 0, None
    for variant in variants:
        try:
            answer = hosting.metrics.get_metric_statistics(
                Namespace="AWS/SageMaker",
                MetricName="Invocations",
                Dimensions=[{"Name": "EndpointName", "Value": name}, {"Name": "VariantName", "Value": variant}],
                StartTime=now - (window or timedelta(days=1)),
                EndTime=now,
                Period=HOUR_S,
                Statistics=["Sum"],
            )
        except ServiceError as exc:
            return None, None, exc.message
        for point in answer["Datapoints"]:
            if point["Sum"] > 0:
                total += int(point["Sum"])
                last = max(last or point["Timestamp"], point["Timestamp"])
    return total, last, ""
