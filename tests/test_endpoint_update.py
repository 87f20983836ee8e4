"""Updates of endpoints: blue/green with real processes under load, stages and alarms on a clock that runs fast."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hosted import Load, ask, config, deploy, gone, instances, model, processes, running, service, settled, soon

from pipeline.errors import ServiceError
from pipeline.local import clock, endpoint
from pipeline.local.operations.alarms import Alarms
from pipeline.local.service import LocalSageMaker

SPEED = 600.0  # ten minutes of AWS a second
PAUSE = {"WaitIntervalInSeconds": 1200}
ALARM = {
    "AlarmName": "tripwire",
    "MetricName": "Invocation5XXErrors",
    "Namespace": "AWS/SageMaker",
    "Statistic": "Average",
    "Dimensions": [{"Name": "EndpointName", "Value": "e"}, {"Name": "VariantName", "Value": "A"}],
    "Period": 60,
    "EvaluationPeriods": 1,
    "Threshold": 0.1,
    "ComparisonOperator": "GreaterThanThreshold",
    "TreatMissingData": "notBreaching",
}


@pytest.fixture
def sagemaker(tmp_path: Path) -> Iterator[LocalSageMaker]:
    """With one endpoint of two instances of the model `old`, as variant A, by configuration `e`."""
    with service(tmp_path) as found:
        clock.set_speed(found.store, SPEED)
        Alarms(found.store, found.storage).put_metric_alarm(**ALARM)
        deploy(found, "old", InitialInstanceCount=2, VariantName="A")
        yield found


def routing(kind: str, **more: Any) -> dict[str, Any]:
    return {"BlueGreenUpdatePolicy": {"TrafficRoutingConfiguration": {"Type": kind, **PAUSE, **more}}}


def canary(**more: Any) -> dict[str, Any]:
    return routing("CANARY", CanarySize={"Type": "INSTANCE_COUNT", "Value": 1}, **more)


WATCHED = {"AutoRollbackConfiguration": {"Alarms": [{"AlarmName": "tripwire"}]}}


def update(sagemaker: LocalSageMaker, text: str, deployment: dict[str, Any] | None = None, **request: Any) -> None:
    """To the configuration `next` with two instances of a model with this text."""
    made = config(sagemaker, "next", model(sagemaker, "next", text), VariantName="A", InitialInstanceCount=2)
    if deployment:
        request["DeploymentConfig"] = deployment
    sagemaker.update_endpoint(EndpointName="e", EndpointConfigName=made, **request)


def baking(sagemaker: LocalSageMaker) -> str:
    """What the pending variant is at, while it bakes."""
    described = sagemaker.describe_endpoint(EndpointName="e")
    variants = described.get("PendingDeploymentSummary", {}).get("ProductionVariants", [])
    status = next((each for variant in variants for each in variant.get("VariantStatus", ())), {})
    return str(status["StatusMessage"]) if status.get("Status") == "Baking" else ""


def test_no_request_fails_during_an_update_and_the_old_processes_end(sagemaker: LocalSageMaker) -> None:
    before = instances(sagemaker)
    with Load(sagemaker) as load:
        assert soon(lambda: len(load.answers) > 20)
        update(sagemaker, "new")
        described = settled(sagemaker)
        answered = len(load.answers)
        assert soon(lambda: len(load.answers) > answered + 20)
    assert (described["EndpointStatus"], described["EndpointConfigName"]) == ("InService", "next")
    assert load.errors == []
    assert load.answers[0] == "old ?" and load.answers[-1] == "new ?"
    assert len(instances(sagemaker)) == 2 and not set(instances(sagemaker)) & set(before)
    assert len([line for line in processes(sagemaker) if "server.py" in line]) == 2


def test_a_canary_takes_its_part_of_the_traffic_while_it_bakes(sagemaker: LocalSageMaker) -> None:
    update(sagemaker, "new", canary())
    assert soon(lambda: baking(sagemaker))
    described = sagemaker.describe_endpoint(EndpointName="e")
    message = (
        "Baking for 1200 seconds (WaitIntervalInSeconds) with traffic enabled on canary capacity of 1 instance(s)."
    )
    assert baking(sagemaker) == message
    assert (described["EndpointStatus"], described["EndpointConfigName"]) == ("Updating", "e")
    assert described["PendingDeploymentSummary"]["EndpointConfigName"] == "next"
    assert soon(lambda: ask(sagemaker) == "new ?")
    answers = [ask(sagemaker) for _ in range(40)]
    assert 5 <= answers.count("new ?") <= 35
    with pytest.raises(ServiceError, match='Cannot update in-progress endpoint "arn:.*endpoint/e"'):
        sagemaker.update_endpoint(EndpointName="e", EndpointConfigName="next")
    with pytest.raises(ServiceError, match="Cannot update in-progress endpoint"):
        sagemaker.delete_endpoint(EndpointName="e")
    described = settled(sagemaker)
    assert described["LastDeploymentConfig"] == canary()
    assert "PendingDeploymentSummary" not in described and "FailureReason" not in described
    assert {ask(sagemaker) for _ in range(10)} == {"new ?"}


def test_an_alarm_during_baking_brings_the_old_fleet_back_and_says_so(sagemaker: LocalSageMaker) -> None:
    before = instances(sagemaker)
    with Load(sagemaker) as load:
        update(sagemaker, "new", canary() | WATCHED)
        assert soon(lambda: "new ?" in load.answers)
        trip(sagemaker)
        described = settled(sagemaker)
    assert (described["EndpointStatus"], described["EndpointConfigName"]) == ("InService", "e")
    assert "alarm(s) in ALARM during the deployment: tripwire" in described["FailureReason"]
    assert load.errors == []
    assert {ask(sagemaker) for _ in range(10)} == {"old ?"}
    assert instances(sagemaker) == before


def trip(sagemaker: LocalSageMaker) -> None:
    """Until it is seen: the alarm is evaluated anew each minute of AWS, which a busy machine may not look within."""
    request = {"AlarmName": "tripwire", "StateValue": "ALARM", "StateReason": "tried"}

    def seen() -> bool:
        Alarms(sagemaker.store, sagemaker.storage).set_alarm_state(**request)
        return bool(sagemaker.describe_endpoint(EndpointName="e")["EndpointStatus"] != "Updating")

    assert soon(seen)


def test_a_new_model_that_is_never_healthy_leaves_the_old_one_in_service(sagemaker: LocalSageMaker) -> None:
    with Load(sagemaker) as load:
        update(sagemaker, "broken")
        described = settled(sagemaker)
    assert (described["EndpointStatus"], described["EndpointConfigName"]) == ("InService", "e")
    assert "variant A did not pass the ping health check" in described["FailureReason"]
    assert set(load.answers) == {"old ?"} and load.errors == []


def test_a_deployment_that_takes_too_long_is_rolled_back(sagemaker: LocalSageMaker) -> None:
    deployment = routing("ALL_AT_ONCE")
    deployment["BlueGreenUpdatePolicy"]["MaximumExecutionTimeoutInSeconds"] = 600
    clock.set_speed(sagemaker.store, 60 * SPEED)  # ten minutes are shorter than a process takes to start
    endpoint.stop(sagemaker.store, "e")  # the next supervisor goes by the new clock
    update(sagemaker, "new", deployment)
    assert "MaximumExecutionTimeoutInSeconds (600)" in settled(sagemaker)["FailureReason"]


def test_a_rolling_update_ends_old_instances_as_new_ones_come(sagemaker: LocalSageMaker) -> None:
    size = {"Type": "INSTANCE_COUNT", "Value": 1}
    with Load(sagemaker) as load:
        update(sagemaker, "new", {"RollingUpdatePolicy": {"MaximumBatchSize": size, **PAUSE}})
        assert soon(lambda: baking(sagemaker) and len(instances(sagemaker)) == 3)
        described = settled(sagemaker)
    assert described["EndpointConfigName"] == "next"
    assert load.errors == [] and len(instances(sagemaker)) == 2


def test_an_alarm_during_a_rolling_update_brings_ended_instances_back(sagemaker: LocalSageMaker) -> None:
    size = {"Type": "INSTANCE_COUNT", "Value": 1}
    with Load(sagemaker) as load:
        update(sagemaker, "new", {"RollingUpdatePolicy": {"MaximumBatchSize": size, **PAUSE}} | WATCHED)
        assert soon(lambda: "full capacity" in baking(sagemaker))
        trip(sagemaker)
        described = settled(sagemaker)
    assert (described["EndpointStatus"], described["EndpointConfigName"]) == ("InService", "e")
    assert load.errors == [] and ask(sagemaker) == "old ?" and len(instances(sagemaker)) == 2


def test_an_update_goes_on_after_its_supervisor_was_killed(sagemaker: LocalSageMaker) -> None:
    update(sagemaker, "new", canary())
    assert soon(lambda: baking(sagemaker))
    os.kill(running(sagemaker).pid, signal.SIGKILL)
    assert settled(sagemaker)["EndpointConfigName"] == "next"
    assert ask(sagemaker) == "new ?"


def test_killed_servers_are_replaced_and_only_what_they_had_is_lost(sagemaker: LocalSageMaker) -> None:
    first, second = instances(sagemaker)
    with Load(sagemaker, callers=6) as load:
        assert soon(lambda: len(load.answers) > 20)
        os.kill(first, signal.SIGKILL)
        assert soon(lambda: len(instances(sagemaker)) == 2 and first not in instances(sagemaker))
        answered = len(load.answers)
        assert soon(lambda: len(load.answers) > answered + 20)
    assert second in instances(sagemaker)
    assert len(load.errors) <= 12  # what it had, and what was at its door when it died
    assert all("broke off the connection" in error for error in load.errors)


def test_a_killed_router_comes_back_on_its_port(sagemaker: LocalSageMaker) -> None:
    port = running(sagemaker).port
    with Load(sagemaker) as load:
        assert soon(lambda: len(load.answers) > 20)
        os.kill(router(port), signal.SIGKILL)
        answered = len(load.answers)
        assert soon(lambda: len(load.answers) > answered + 20)
    assert running(sagemaker).port == port
    assert len(load.errors) <= 8  # what it had, and what was at its door when it died
    assert all("broke off the connection" in error for error in load.errors)


def router(port: int) -> int:
    """Its process."""
    for name in filter(str.isdigit, os.listdir("/proc")):
        with suppress(FileNotFoundError, ProcessLookupError):
            if f"pipeline.local.endpoint_router\0{port}\0".encode() in Path("/proc", name, "cmdline").read_bytes():
                return int(name)
    raise AssertionError(f"no router on port {port}")


def test_counts_and_weights_stay_where_they_are_to_be_retained(sagemaker: LocalSageMaker) -> None:
    made = config(sagemaker, "next", model(sagemaker, "next", "new"), VariantName="A", InitialInstanceCount=1)
    request = {"EndpointName": "e", "EndpointConfigName": made, "RetainAllVariantProperties": True}
    sagemaker.update_endpoint(**request)
    [variant] = settled(sagemaker)["ProductionVariants"]
    assert (variant["CurrentInstanceCount"], variant["DesiredInstanceCount"]) == (2, 2)
    excluded = [{"VariantPropertyType": "DesiredInstanceCount"}]
    sagemaker.update_endpoint(**request, ExcludeRetainedVariantProperties=excluded)
    [variant] = settled(sagemaker)["ProductionVariants"]
    assert variant["DesiredInstanceCount"] == 1 and len(instances(sagemaker)) == 1


def test_an_alarm_that_is_not_there_and_a_type_that_is_scaled_are_refused(sagemaker: LocalSageMaker) -> None:
    nobody = {"AutoRollbackConfiguration": {"Alarms": [{"AlarmName": "nobody"}]}}
    with pytest.raises(ServiceError, match="there is no CloudWatch alarm 'nobody'"):
        update(sagemaker, "new", nobody)
    assert sagemaker.describe_endpoint(EndpointName="e")["EndpointStatus"] == "InService"


def test_a_deleted_endpoint_answers_what_it_has_and_is_gone(sagemaker: LocalSageMaker) -> None:
    with Load(sagemaker) as load:
        assert soon(lambda: len(load.answers) > 20)
        sagemaker.delete_endpoint(EndpointName="e")
        assert soon(lambda: gone(sagemaker))
    assert not [error for error in load.errors if "broke off" in error]
    assert soon(lambda: processes(sagemaker) == [])


def of_fleet(config: str) -> list[dict[str, str]]:
    return [*ALARM["Dimensions"], {"Name": "EndpointConfigName", "Value": config}]


def measured(sagemaker: LocalSageMaker, config: str) -> set[str]:
    """Metrics that there are of the fleet of this configuration."""
    found = Alarms(sagemaker.store, sagemaker.storage).list_metrics()["Metrics"]
    return {each["MetricName"] for each in found if each["Dimensions"] == of_fleet(config)}


def test_a_canary_that_answers_with_errors_trips_its_alarm_and_is_rolled_back(sagemaker: LocalSageMaker) -> None:
    with Load(sagemaker, pause_s=0.01) as load:
        update(sagemaker, "faulty", canary(WaitIntervalInSeconds=3600) | WATCHED)
        described = settled(sagemaker)
        failed = len(load.errors)
        answered = len(load.answers)
        assert soon(lambda: len(load.answers) > answered + 20)
        # how busy instances are is seen from time to time, which a fleet may not live to see
        assert soon(lambda: "ConcurrentRequestsPerModel" in measured(sagemaker, "e"))
    assert (described["EndpointStatus"], described["EndpointConfigName"]) == ("InService", "e")
    assert "alarm(s) in ALARM during the deployment: tripwire" in described["FailureReason"]
    assert failed and all("Received server error (500)" in error for error in load.errors)
    assert len(load.errors) == failed and set(load.answers) == {"old ?"}
    assert {"Invocation5XXErrors", "ModelLatency"} <= measured(sagemaker, "next")
    cloudwatch = Alarms(sagemaker.store, sagemaker.storage)
    now = clock.clock_of(sagemaker.store).now()
    series = {"Namespace": "AWS/SageMaker", "MetricName": "Invocation5XXErrors", "Dimensions": of_fleet("next")}
    times = {"StartTime": now - 36_000, "EndTime": now, "Period": 60}
    points = cloudwatch.get_metric_statistics(**series, **times, Statistics=["Sum"])["Datapoints"]
    assert sum(point["Sum"] for point in points) == failed
