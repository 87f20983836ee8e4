"""Events of endpoints on this machine: told once each, in SageMaker's words, and what a schedule mends."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hosted import processes, remove, serve_stub, soon
from lambda_deploy import handler
from local_jobs import put_archive
from over_http import client
from rollout import account, record

from pipeline.control import deployments
from pipeline.local import endpoint, endpoint_record, event_rules, names
from pipeline.local.clock import set_speed
from pipeline.local.event_host import Bus, changed_event
from pipeline.local.event_rules import Rule, Seen
from pipeline.local.operations.answers import save_tags
from pipeline.local.server import LoopbackServer
from pipeline.local.service import LocalSageMaker, connect

NAME = "digits-staging"
FUNCTION = "arn:aws:lambda:us-east-1:111122223333:function:darkroom-deploy"
RULE = Rule(FUNCTION, deployments.MARK, deployments.PHASE, list(deployments.REST), event_rules.EVERY_S)
EVENT = {
    "action": "start",
    "stage": "staging",
    "endpoint_name": NAME,
    "instance_type": "ml.m5.large",
    "instance_count": "1",
    "role_arn": "arn:aws:iam::111122223333:role/darkroom-serving",
    "smoke_test": "false",
}


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


def test_a_change_is_told_in_sagemakers_words() -> None:
    event = changed_event(Seen(NAME, "arn:e", "InService", ("InService", "1"), False), 0.0)
    assert event["source"] == "aws.sagemaker"
    assert event["detail-type"] == "SageMaker Endpoint State Change"
    assert event["time"] == "1970-01-01T00:00:00Z"
    assert event["detail"] == {"EndpointName": NAME, "EndpointArn": "arn:e", "EndpointStatus": "IN_SERVICE"}


def test_each_change_is_told_once_and_leads_to_the_end(
    server: LoopbackServer, sagemaker: LocalSageMaker, function: Any
) -> None:
    function({**EVENT, "model_package_arn": package(sagemaker)})
    event_rules.put(sagemaker.store, RULE)
    told: list[dict[str, Any]] = []

    def send(_: Rule, event: dict[str, Any]) -> None:
        told.append(event)
        function(event)

    bus = Bus(sagemaker.store, send)
    assert soon(lambda: not bus.turn())
    statuses = [event["detail"]["EndpointStatus"] for event in told]
    assert statuses == sorted(set(statuses), key=["CREATING", "IN_SERVICE"].index)
    assert phase(server) == "good"


def test_of_a_lost_event_the_schedule_makes_good(
    server: LoopbackServer, sagemaker: LocalSageMaker, function: Any
) -> None:
    function({**EVENT, "model_package_arn": package(sagemaker)})
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
    function({**EVENT, "model_package_arn": package(sagemaker)})
    assert soon(lambda: sagemaker.describe_endpoint(EndpointName=NAME)["EndpointStatus"] == "InService")
    endpoint.stop(sagemaker.store, NAME)
    event_rules.put(sagemaker.store, RULE)
    assert not Bus(sagemaker.store, lambda rule, event: None).turn()
    endpoint.start(sagemaker.store, NAME)
    assert [seen.name for seen in event_rules.endpoints(sagemaker.store, RULE)] == [NAME]


def test_the_process_plays_as_long_as_something_is_under_way(sagemaker: LocalSageMaker) -> None:
    store, arn = sagemaker.store, names.arn("endpoint", NAME)
    store.add("endpoint", NAME, {"revision": "1"}, endpoint_record.UPDATING, arn)
    save_tags(store, arn, [{"Key": deployments.MARK, "Value": NAME}])
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
