"""Events of endpoints on this machine: told once each, in SageMaker's words, and what a schedule mends."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from event_patterns import matches
from hosted import STAGING, processes, remove, serve_stub, soon
from lambda_deploy import handler, translated
from local_jobs import put_archive
from over_http import client
from rendered import about
from rollout import account, record

from pipeline.control import deployments
from pipeline.infra import events
from pipeline.local import endpoint, endpoint_events, endpoint_record, event_rules, names
from pipeline.local.clock import set_speed
from pipeline.local.event_host import Bus
from pipeline.local.event_rules import Rule
from pipeline.local.operations.answers import save_tags
from pipeline.local.server import LoopbackServer
from pipeline.local.service import LocalSageMaker, connect
from pipeline.local.store import Record, Store

NAME = STAGING["endpoint_name"]
FUNCTION = "arn:aws:lambda:us-east-1:111122223333:function:darkroom-deploy"
RULE = Rule(FUNCTION, deployments.MARK, deployments.PHASE, list(deployments.REST), event_rules.EVERY_S)


@pytest.fixture
def sagemaker(server: LoopbackServer, tmp_path: Path) -> Iterator[LocalSageMaker]:
    """Without a rule in its store nobody plays events but the test."""
    found = connect(server.home)
    serve_stub(found.store, "stub*", tmp_path)
    yield found
    for each in found.store.list("endpoint"):
        remove(found, each.name)
    for each in found.store.list(event_rules.KIND):
        found.store.remove(event_rules.KIND, each.name)


@pytest.fixture
def function(server: LoopbackServer) -> Any:
    clients = {service: client(server, service) for service in account.SERVICES}
    return lambda event: handler(event, None, clients)


def package(sagemaker: LocalSageMaker) -> str:
    group = "digits"
    put_archive(Path(sagemaker.home), "s3://bucket/model.tar.gz", {"text": "model"})
    if not sagemaker.store.find("model-package-group", group):
        sagemaker.create_model_package_group(ModelPackageGroupName=group)
    container = {"Image": "stub:1", "ModelDataUrl": "s3://bucket/model.tar.gz"}
    types = {"SupportedContentTypes": ["image/png"], "SupportedResponseMIMETypes": ["application/json"]}
    specification = {"Containers": [container], **types}
    made = sagemaker.create_model_package(ModelPackageGroupName=group, InferenceSpecification=specification)
    return str(made["ModelPackageArn"])


def phase(server: LoopbackServer) -> str:
    there = account.of({service: client(server, service) for service in account.SERVICES})
    return record.read(there, there.endpoint(NAME)).phase


def test_what_marks_a_deployment_is_what_the_function_writes() -> None:
    assert deployments.PREFIX == record.PREFIX
    assert deployments.REST == record.ENDED
    assert deployments.LEAVING == record.LEAVING
    assert {"phase", "asked", "good", "before", "reason", "alarms"} <= set(record.Record.__dataclass_fields__)


def kept(store: Store, status: str = endpoint_record.UPDATING, name: str = NAME, **body: Any) -> Record:
    """An endpoint of one instance that is marked, and that no process serves."""
    variant = {"VariantName": "AllTraffic", "InstanceType": "ml.m5.large", "containers": [], "count": 1, "weight": 1.0}
    arn = names.arn("endpoint", name)
    fleet = {"EndpointConfigName": "first", "variants": [variant], "revision": "1"}
    store.add("endpoint", name, {**fleet, **body}, status, arn)
    save_tags(store, arn, [{"Key": deployments.MARK, "Value": name}])
    return store.get("endpoint", name)


def baking(sagemaker: LocalSageMaker) -> dict[str, Any]:
    """`pending` of an update whose new instance gets traffic."""
    variants = sagemaker.store.get("endpoint", NAME).body["variants"]
    status = [{"Status": "Baking", "StatusMessage": "Baking for 5 seconds", "StartTime": 12.5}]
    live = {"AllTraffic": {"count": 1, "status": status}}
    return {"EndpointConfigName": "second", "StartTime": 10.0, "variants": variants, "live": live}


def test_a_change_is_told_in_sagemakers_words(sagemaker: LocalSageMaker) -> None:
    record = kept(sagemaker.store, endpoint_record.IN_SERVICE)
    event = endpoint_events.event(endpoint_events.STATE, record, {"team": "vision"}, 0.0)
    assert event["source"] == "aws.sagemaker"
    assert event["detail-type"] == "SageMaker Endpoint State Change"
    assert event["time"] == "1970-01-01T00:00:00Z"
    assert event["resources"] == [record.arn]
    weights = {"CurrentWeight": 1.0, "DesiredWeight": 1.0, "CurrentInstanceCount": 1, "DesiredInstanceCount": 1}
    assert event["detail"] == {
        "EndpointName": NAME,
        "EndpointArn": record.arn,
        "EndpointConfigName": "first",
        "ProductionVariants": [{"VariantName": "AllTraffic", **weights}],
        "EndpointStatus": "IN_SERVICE",
        "CreationTime": round(1000 * record.created),
        "LastModifiedTime": round(1000 * record.modified),
        "Tags": {"team": "vision"},
    }


def test_a_deployment_is_told_with_the_fleet_that_comes(sagemaker: LocalSageMaker) -> None:
    kept(sagemaker.store)
    sagemaker.store.change("endpoint", NAME, {"pending": baking(sagemaker)})
    event = endpoint_events.event(endpoint_events.DEPLOYMENT, sagemaker.store.get("endpoint", NAME), {}, 0.0)
    assert event["detail-type"] == "SageMaker Endpoint Deployment State Change"
    assert (event["detail"]["EndpointStatus"], event["detail"]["EndpointConfigName"]) == ("UPDATING", "first")
    coming = event["detail"]["PendingDeploymentSummary"]
    assert (coming["EndpointConfigName"], coming["StartTime"]) == ("second", 10_000)
    [variant] = coming["ProductionVariants"]
    [status] = variant["VariantStatus"]
    assert status == {"Status": "Baking", "StatusMessage": "Baking for 5 seconds", "StartTime": 12_500}


def test_each_stage_of_a_deployment_is_told_once(sagemaker: LocalSageMaker) -> None:
    store, told = sagemaker.store, list[tuple[str, str]]()
    event_rules.put(store, RULE)
    bus = Bus(store, lambda rule, event: told.append((event["detail-type"], event["detail"]["EndpointStatus"])))
    kept(store)
    pending = baking(sagemaker)
    store.change("endpoint", NAME, {"pending": {**pending, "live": {}}})
    for live in ({}, pending["live"], pending["live"], {"AllTraffic": {"count": 0, "status": [{"StartTime": 13.0}]}}):
        store.change("endpoint", NAME, {"pending": {**pending, "live": live}})
        assert bus.turn()
    store.change("endpoint", NAME, {"pending": {**pending, "live": live}}, status=endpoint_record.ROLLING_BACK)
    assert bus.turn()
    store.change("endpoint", NAME, {"pending": None, "revision": "2"}, status=endpoint_record.FAILED)
    assert bus.turn()
    state, stage = endpoint_events.STATE, endpoint_events.DEPLOYMENT
    assert told == [
        (state, "UPDATING"),
        (stage, "UPDATING"),
        (stage, "UPDATING"),
        (state, "ROLLING_BACK"),
        (state, "FAILED"),
    ]


def test_instances_that_come_and_go_are_told_as_a_deployment(sagemaker: LocalSageMaker) -> None:
    record = kept(sagemaker.store)
    changes = endpoint_record.resized(record.body, {"AllTraffic": 2}, {}, 1.0)
    sagemaker.store.change("endpoint", NAME, changes)
    record = sagemaker.store.get("endpoint", NAME)
    assert endpoint_events.stages(record)
    event = endpoint_events.event(endpoint_events.DEPLOYMENT, record, {}, 0.0)
    assert "PendingDeploymentSummary" not in event["detail"]
    [variant] = event["detail"]["ProductionVariants"]
    assert variant["VariantStatus"][0]["StatusMessage"] == "Scaling out desired instance count to 2."


@pytest.mark.parametrize("kind", [endpoint_events.STATE, endpoint_events.DEPLOYMENT])
def test_the_stacks_rule_has_the_function_go_on_for_either(sagemaker: LocalSageMaker, kind: str) -> None:
    for name in about().endpoints:
        event = endpoint_events.event(kind, kept(sagemaker.store, name=name), {}, 0.0)
        assert matches(events.changed(about()), event)
        assert translated(event) == {"action": "advance", "endpoint_name": name}
        assert not matches(events.trouble(about()), event)
    back = endpoint_events.event(kind, kept(sagemaker.store, "RollingBack", "other"), {}, 0.0)
    assert not matches(events.changed(about()), back)


def test_the_stacks_rule_tells_the_team_of_troubles(sagemaker: LocalSageMaker) -> None:
    staging = about().endpoints[0]
    record = kept(sagemaker.store, name=staging)
    for status in (endpoint_record.FAILED, endpoint_record.ROLLING_BACK, endpoint_record.ROLLBACK_FAILED):
        sagemaker.store.change("endpoint", staging, {}, status=status)
        record = sagemaker.store.get("endpoint", staging)
        assert matches(events.trouble(about()), endpoint_events.event(endpoint_events.STATE, record, {}, 0.0)), status


def test_each_change_is_told_once_and_leads_to_the_end(
    server: LoopbackServer, sagemaker: LocalSageMaker, function: Any
) -> None:
    function({**STAGING, "model_package_arn": package(sagemaker)})
    event_rules.put(sagemaker.store, RULE)
    told: list[dict[str, Any]] = []

    def send(_: Rule, event: dict[str, Any]) -> None:
        told.append(event)
        function(event)

    bus = Bus(sagemaker.store, send)
    assert soon(lambda: not bus.turn())
    statuses = [event["detail"]["EndpointStatus"] for event in told]
    assert {event["detail-type"] for event in told} == {endpoint_events.STATE}
    assert statuses == sorted(set(statuses), key=["CREATING", "IN_SERVICE"].index)
    assert phase(server) == "good"


def test_of_a_lost_event_the_schedule_makes_good(
    server: LoopbackServer, sagemaker: LocalSageMaker, function: Any
) -> None:
    function({**STAGING, "model_package_arn": package(sagemaker)})
    event_rules.put(sagemaker.store, RULE)
    lost: list[dict[str, Any]] = []

    def send(_: Rule, event: dict[str, Any]) -> None:
        if "detail" in event:
            lost.append(event)
        else:
            function(event)

    bus = Bus(sagemaker.store, send)
    assert soon(lambda: bus.turn() and lost and lost[-1]["detail"]["EndpointStatus"] == "IN_SERVICE")
    assert phase(server) == "deploying"  # in service, and nobody has told
    bus.clock = set_speed(sagemaker.store, 3600.0)
    assert soon(lambda: not bus.turn())
    assert phase(server) == "good"


def test_of_what_sleeps_nothing_is_told_until_it_is_woken(sagemaker: LocalSageMaker, function: Any) -> None:
    function({**STAGING, "model_package_arn": package(sagemaker)})
    assert soon(lambda: sagemaker.describe_endpoint(EndpointName=NAME)["EndpointStatus"] == "InService")
    endpoint.stop(sagemaker.store, NAME)
    event_rules.put(sagemaker.store, RULE)
    assert not Bus(sagemaker.store, lambda rule, event: None).turn()
    endpoint.start(sagemaker.store, NAME)
    assert [seen.record.name for seen in event_rules.endpoints(sagemaker.store, RULE)] == [NAME]


def test_the_process_plays_as_long_as_something_is_under_way(sagemaker: LocalSageMaker) -> None:
    store = sagemaker.store
    kept(store)
    event_rules.put(store, RULE)
    event_rules.wake(store)
    told = f"{FUNCTION}: DarkroomError: no code is registered"
    assert soon(lambda: told in Path(event_rules.files(sagemaker.home).log).read_text())
    assert hosts(sagemaker)
    store.change("endpoint", NAME, {}, status=endpoint_record.DELETING)
    endpoint_record.remove(store, NAME)
    assert soon(lambda: not hosts(sagemaker))


def hosts(sagemaker: LocalSageMaker) -> list[str]:
    return [line for line in processes(sagemaker) if "event_host" in line]
