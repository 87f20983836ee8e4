"""Autoscaling by real processes under load, on AWS's alarm periods with a clock that runs fast."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hosted import Load, ask, config, deploy, instances, processes, service, settled, soon

from pipeline.errors import ServiceError
from pipeline.local import alarm_states, autoscaling, clock, metrics
from pipeline.local.endpoint_tally import Tally
from pipeline.local.operations.alarms import Alarms
from pipeline.local.operations.scaling import Scaling
from pipeline.local.service import LocalSageMaker
from pipeline.local.store import Store

SPEED = 240.0  # four minutes of AWS a second
TARGET = {
    "ServiceNamespace": "sagemaker",
    "ResourceId": "endpoint/e/variant/A",
    "ScalableDimension": "sagemaker:variant:DesiredInstanceCount",
}
PER_INSTANCE = {"PredefinedMetricType": "SageMakerVariantInvocationsPerInstance"}
CONCURRENCY = {"PredefinedMetricType": "SageMakerVariantConcurrentRequestsPerModelHighResolution"}
BEGIN = 1_800_000_000.0  # a full minute


def policy(store: Store, metric: dict[str, str], target: float = 10, **more: Any) -> dict[str, Any]:
    """Of one to three instances, 30 s and 120 s apart."""
    scaling = Scaling(store, None)  # type: ignore[arg-type]  # it needs no storage
    scaling.register_scalable_target(**TARGET, MinCapacity=1, MaxCapacity=3)
    tracking = {"TargetValue": target, "ScaleOutCooldown": 30, "ScaleInCooldown": 120, **more}
    return scaling.put_scaling_policy(
        **TARGET,
        PolicyName=metric["PredefinedMetricType"],
        PolicyType="TargetTrackingScaling",
        TargetTrackingScalingPolicyConfiguration={"PredefinedMetricSpecification": metric, **tracking},
    )


@pytest.fixture
def sagemaker(tmp_path: Path) -> Iterator[LocalSageMaker]:
    with service(tmp_path) as found:
        clock.set_speed(found.store, SPEED)
        deploy(found, "model", VariantName="A", InstanceType="ml.m5.large")
        yield found


def test_instances_come_with_load_and_go_without(sagemaker: LocalSageMaker) -> None:
    policy(sagemaker.store, PER_INSTANCE)
    with Load(sagemaker) as load:
        assert soon(lambda: len(instances(sagemaker)) == 3)
    [variant] = settled(sagemaker)["ProductionVariants"]
    assert (variant["CurrentInstanceCount"], variant["DesiredInstanceCount"]) == (3, 3)
    assert len([line for line in processes(sagemaker) if "server.py" in line]) == 3
    with Load(sagemaker, callers=1, pause_s=0.1) as little:
        assert soon(lambda: len(instances(sagemaker)) == 1)
    assert settled(sagemaker)["ProductionVariants"][0]["DesiredInstanceCount"] == 1
    assert load.errors == little.errors == []
    activities = Scaling(sagemaker.store, sagemaker.storage).describe_scaling_activities(ServiceNamespace="sagemaker")
    assert soon(lambda: {each["StatusCode"] for each in activities["ScalingActivities"]} == {"Successful"})
    newest, *_, oldest = activities["ScalingActivities"]
    assert newest["Description"] == "Setting desired instance count to 1."
    assert "-AlarmLow-" in newest["Cause"] and "-AlarmHigh-" in oldest["Cause"]


def test_a_scaled_endpoint_is_updated_with_the_instances_it_has(sagemaker: LocalSageMaker) -> None:
    request = {"VariantName": "A", "DesiredInstanceCount": 2}
    sagemaker.update_endpoint_weights_and_capacities(EndpointName="e", DesiredWeightsAndCapacities=[request])
    assert settled(sagemaker)["ProductionVariants"][0]["CurrentInstanceCount"] == 2
    config(sagemaker, "next", "e", VariantName="A", InstanceType="ml.m5.large")
    sagemaker.update_endpoint(EndpointName="e", EndpointConfigName="next", RetainAllVariantProperties=True)
    assert settled(sagemaker)["ProductionVariants"][0]["CurrentInstanceCount"] == 2
    assert len(instances(sagemaker)) == 2 and ask(sagemaker) == "model ?"
    with pytest.raises(ServiceError, match="no variant 'B'"):
        request = {"VariantName": "B", "DesiredInstanceCount": 2}
        sagemaker.update_endpoint_weights_and_capacities(EndpointName="e", DesiredWeightsAndCapacities=[request])


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """With an endpoint that nobody supervises."""
    found = Store(str(tmp_path))
    found.add("endpoint", "e", {"variants": [{"VariantName": "A", "count": 1}]}, status="InService")
    return found


def after(store: Store, seconds: float, count: int) -> int:
    """How many instances the variant is to have then, of so many now."""
    now = BEGIN + seconds
    for record in store.list(alarm_states.KIND):
        if record.body["evaluated"] > now:  # made by the real clock
            store.change(alarm_states.KIND, record.name, {"evaluated": BEGIN})
    alarm_states.refresh(store, now)
    wish = autoscaling.wanted(store, "e", "A", count, now)
    if wish is None:
        return count
    autoscaling.begin(store, "e", "A", count, wish, now)
    return int(wish.count)


def called(store: Store, minute: int, times: int, instances: int = 1) -> None:
    tally = Tally()
    for _ in range(times):
        tally.count(("c", "A"), 200, instances, 0.0, 0.0)
    metrics.record(store, "e", BEGIN + 60 * minute, tally.taken())


def test_out_after_three_minutes_in_proportion_and_not_above_the_most(store: Store) -> None:
    policy(store, PER_INSTANCE)
    for minute in range(4):
        called(store, minute, 15)
    assert [after(store, seconds, 1) for seconds in (60, 120, 179)] == [1, 1, 1]
    assert after(store, 180, 1) == 2
    for minute in range(4, 7):
        called(store, minute, 200, instances=2)
    assert after(store, 420, 2) == 3


def test_in_after_fifteen_minutes_and_no_sooner_than_the_cooldown(store: Store) -> None:
    policy(store, PER_INSTANCE)
    for minute in range(18):
        called(store, minute, 9, instances=3)
    assert [after(store, 60 * minute, 3) for minute in (3, 14)] == [3, 3]
    assert after(store, 900, 3) == 1
    assert [after(store, seconds, 3) for seconds in (960, 1019, 1020)] == [3, 3, 1]


def test_nothing_goes_while_nobody_calls_at_all_as_on_aws(store: Store) -> None:
    policy(store, PER_INSTANCE)
    called(store, 0, 1)
    assert [after(store, 60 * minute, 3) for minute in (20, 30, 60)] == [3, 3, 3]


def test_concurrency_of_ten_seconds_scales_out_within_half_a_minute(store: Store) -> None:
    policy(store, CONCURRENCY, target=2)
    for number in range(3):
        counted = [("c", "A", {"ConcurrentRequestsPerModel": {"n": 1, "sum": 5.0, "min": 5.0, "max": 5.0}})]
        metrics.record(store, "e", BEGIN + 10 * number, counted)
    assert [after(store, seconds, 1) for seconds in (10, 20, 30)] == [1, 1, 3]


def test_policies_have_their_alarms_which_go_with_them(store: Store) -> None:
    made = policy(store, PER_INSTANCE)["Alarms"]
    assert len(made) == 2
    alarms = Alarms(store, None)  # type: ignore[arg-type]
    shown = alarms.describe_alarms(AlarmNamePrefix="TargetTracking-endpoint/e/variant/A-")["MetricAlarms"]
    assert {(each["EvaluationPeriods"], each["Threshold"]) for each in shown} == {(3, 10), (15, 9)}
    assert len(policy(store, PER_INSTANCE, DisableScaleIn=True)["Alarms"]) == 1
    Scaling(store, None).deregister_scalable_target(**TARGET)  # type: ignore[arg-type]
    assert alarms.describe_alarms()["MetricAlarms"] == []
