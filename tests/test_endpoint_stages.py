"""A DeploymentConfig as stages of traffic, and what SageMaker refuses of it."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.errors import ServiceError
from pipeline.local.endpoint_stages import plan


def shifting(kind: str, terminate: int = 0, **more: Any) -> dict[str, Any]:
    routing = {"Type": kind, "WaitIntervalInSeconds": 60, **more}
    return {"BlueGreenUpdatePolicy": {"TrafficRoutingConfiguration": routing, "TerminationWaitInSeconds": terminate}}


def size(value: int, kind: str = "INSTANCE_COUNT") -> dict[str, Any]:
    return {"Type": kind, "Value": value}


def percent(value: int) -> dict[str, Any]:
    return size(value, "CAPACITY_PERCENT")


@pytest.mark.parametrize(
    ("deployment", "instances", "expected"),
    [
        ({}, 1, [(1, 0)]),
        (shifting("ALL_AT_ONCE", 300), 1, [(1, 300)]),
        (shifting("CANARY", 300, CanarySize=size(1)), 3, [(1, 60), (3, 300)]),
        (shifting("CANARY", 0, CanarySize=percent(30)), 10, [(3, 60), (10, 0)]),
        (shifting("CANARY", 0, CanarySize=percent(50)), 3, [(1, 60), (3, 0)]),
        (shifting("LINEAR", 120, LinearStepSize=size(2)), 5, [(2, 60), (4, 60), (5, 120)]),
        (shifting("LINEAR", 0, LinearStepSize=percent(50)), 2, [(1, 60), (2, 0)]),
    ],
)
def test_traffic_shifts_in_stages_and_bakes_after_each(
    deployment: dict[str, Any], instances: int, expected: list[tuple[int, int]]
) -> None:
    stages = plan(deployment, {"A": instances}, "UpdateEndpoint").stages
    assert [(stage.active["A"], stage.bake) for stage in stages] == expected


def test_a_rolling_update_takes_batches_of_each_variant() -> None:
    policy = {"MaximumBatchSize": size(1), "WaitIntervalInSeconds": 60, "MaximumExecutionTimeoutInSeconds": 600}
    rolling = plan({"RollingUpdatePolicy": policy}, {"A": 2, "B": 3}, "UpdateEndpoint")
    assert rolling.rolling and rolling.limit == 600
    assert [stage.active for stage in rolling.stages] == [{"A": 1, "B": 1}, {"A": 2, "B": 2}, {"A": 2, "B": 3}]


@pytest.mark.parametrize(
    ("deployment", "instances", "match"),
    [
        (shifting("CANARY", CanarySize=size(1)), 1, "less than or equal to 50% of the variant's instance count"),
        (shifting("CANARY", CanarySize=percent(50)), 1, "is 1 of 1 instance"),
        (shifting("CANARY", CanarySize=percent(51)), 10, "from 1 to 50 percent"),
        (shifting("LINEAR", LinearStepSize=percent(9)), 20, "from 10 to 50 percent"),
        (shifting("CANARY"), 2, "CanarySize belongs to .* CANARY, which needs it"),
        (shifting("LINEAR", LinearStepSize=size(1), CanarySize=size(1)), 2, "CanarySize belongs to"),
        ({**shifting("ALL_AT_ONCE"), "RollingUpdatePolicy": {"MaximumBatchSize": size(1)}}, 2, "exclude each other"),
        ({"AutoRollbackConfiguration": {"Alarms": [{"AlarmName": str(n)} for n in range(11)]}}, 1, "11 alarms"),
    ],
)
def test_what_the_service_refuses_is_refused(deployment: dict[str, Any], instances: int, match: str) -> None:
    with pytest.raises(ServiceError, match=match) as caught:
        plan(deployment, {"A": instances}, "UpdateEndpoint")
    assert caught.value.code == "ValidationException"


def test_a_limit_below_the_waiting_times_is_refused() -> None:
    deployment = shifting("ALL_AT_ONCE", 900)
    deployment["BlueGreenUpdatePolicy"]["MaximumExecutionTimeoutInSeconds"] = 600
    with pytest.raises(ServiceError, match="MaximumExecutionTimeoutInSeconds 600"):
        plan(deployment, {"A": 1}, "UpdateEndpoint")
