"""Endpoints: a supervisor that starts on demand, mends, changes over and leaves nothing behind."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hosted import (
    ask,
    config,
    deploy,
    deploy_package,
    gone,
    instances,
    model,
    processes,
    running,
    service,
    settled,
    soon,
)
from local_jobs import put_archive

from pipeline.client import Clients
from pipeline.control import local_setup
from pipeline.errors import EndpointError, ServiceError
from pipeline.local import endpoint, process_id
from pipeline.local.endpoint_files import Files
from pipeline.local.endpoint_host import supervise
from pipeline.local.endpoint_traffic import free_port
from pipeline.local.service import LocalSageMaker, connect


@pytest.fixture(params=["namespace", "rewrite"])
def isolation(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("DARKROOM_ISOLATION", request.param)
    return str(request.param)


@pytest.fixture
def sagemaker(tmp_path: Path) -> Iterator[LocalSageMaker]:
    with service(tmp_path) as found:
        yield found


@pytest.mark.usefixtures("isolation")
def test_an_endpoint_is_in_service_once_its_server_was_healthy_and_deleting_ends_it(sagemaker: LocalSageMaker) -> None:
    deploy(sagemaker, "model")
    answer = sagemaker.invoke_endpoint(EndpointName="e", Body=b"1a", ContentType="image/png", Accept="text/x")
    assert answer["Body"].read() == b"model 1a"
    assert (answer["ContentType"], answer["InvokedProductionVariant"]) == ("text/x image/png", "e")
    first = running(sagemaker)
    assert ask(sagemaker) == "model ?"
    assert running(sagemaker) == first
    sagemaker.delete_endpoint(EndpointName="e")
    assert soon(lambda: gone(sagemaker) and processes(sagemaker) == [])
    assert os.listdir(os.path.join(sagemaker.home, "work")) == []


@pytest.mark.usefixtures("isolation")
def test_a_killed_supervisor_takes_its_server_along_and_is_started_again(sagemaker: LocalSageMaker) -> None:
    deploy(sagemaker, "model")
    ask(sagemaker)
    os.kill(running(sagemaker).pid, signal.SIGKILL)
    assert soon(lambda: processes(sagemaker) == [])
    assert endpoint.find(sagemaker.store, "e") is None
    assert ask(sagemaker) == "model ?"


def test_many_first_invocations_start_one_server(sagemaker: LocalSageMaker) -> None:
    deploy(sagemaker, "model")
    endpoint.stop(sagemaker.store, "e")
    answers: list[str] = []

    def call() -> None:
        answers.append(ask(connect(sagemaker.home)))

    threads = [threading.Thread(target=call) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == ["model ?"] * 6
    log = Path(sagemaker.home, "logs/endpoints/e.log").read_text()
    assert "again" not in log
    assert len([line for line in processes(sagemaker) if "server.py" in line]) == 1


def test_an_update_changes_the_model_behind_the_same_port(sagemaker: LocalSageMaker) -> None:
    deploy(sagemaker, "old")
    assert ask(sagemaker) == "old ?"
    before = running(sagemaker)
    config(sagemaker, "two", model(sagemaker, "second", "new"))
    sagemaker.update_endpoint(EndpointName="e", EndpointConfigName="two")
    assert settled(sagemaker)["EndpointConfigName"] == "two"
    assert ask(sagemaker) == "new ?"
    after = running(sagemaker)
    assert (after.port, after.pid) == (before.port, before.pid)


def test_a_server_that_crashes_is_started_again(sagemaker: LocalSageMaker) -> None:
    deploy(sagemaker, "model")
    before = instances(sagemaker)
    with pytest.raises(ServiceError, match="broke off the connection") as caught:
        ask(sagemaker, b"die")
    assert caught.value.code == "ModelError"
    assert soon(lambda: instances(sagemaker) not in ([], before))  # until then a request may be at its door, and lost
    assert ask(sagemaker) == "model ?"


@pytest.mark.parametrize(("status", "side"), [(b"415", "client"), (b"500", "server")])
def test_an_error_of_the_model_is_passed_on(sagemaker: LocalSageMaker, status: bytes, side: str) -> None:
    deploy(sagemaker, "model")
    match = rf'Received {side} error \({status.decode()}\) from primary with message "model {status.decode()}"'
    with pytest.raises(ServiceError, match=match) as caught:
        ask(sagemaker, status)
    assert caught.value.code == "ModelError"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("broken", r"variant e did not pass the ping health check.*exit code 1(.|\n)*there is no model here"),
        ("unloadable", "did not pass the ping health check.*the model failed to load"),
        ("never", "/ping was not answered with 200 within 1 s"),
    ],
)
def test_a_model_that_is_never_healthy_fails_the_endpoint_and_says_why(
    sagemaker: LocalSageMaker, text: str, reason: str
) -> None:
    patience = {"ContainerStartupHealthCheckTimeoutInSeconds": 1} if text == "never" else {}
    described = deploy(sagemaker, text, **patience)
    assert described["EndpointStatus"] == "Failed"
    assert re.search(reason, described["FailureReason"])
    assert len(described["FailureReason"]) <= 1024
    with pytest.raises(EndpointError, match="cannot serve its model: The primary container"):
        endpoint.start(sagemaker.store, "e")
    assert soon(lambda: processes(sagemaker) == [])
    with pytest.raises(ServiceError, match="it can only be deleted"):
        sagemaker.update_endpoint(EndpointName="e", EndpointConfigName="e")
    sagemaker.delete_endpoint(EndpointName="e")
    assert soon(lambda: gone(sagemaker))


def test_an_archive_that_is_gone_keeps_an_endpoint_from_waking(sagemaker: LocalSageMaker) -> None:
    deploy(sagemaker, "model")
    endpoint.stop(sagemaker.store, "e")
    sagemaker.storage.delete("s3://bucket/e.tar.gz")
    with pytest.raises(ServiceError, match="s3://bucket/e.tar.gz is gone"):
        ask(sagemaker)
    assert sagemaker.describe_endpoint(EndpointName="e")["EndpointStatus"] == "InService"


def test_an_image_that_nothing_stands_in_for_is_the_failure_reason(sagemaker: LocalSageMaker) -> None:
    sagemaker.create_model(ModelName="other", PrimaryContainer={"Image": "foreign:1"})
    sagemaker.create_endpoint(EndpointName="e", EndpointConfigName=config(sagemaker, "c", "other"))
    assert "no command stands in for image 'foreign:1'" in settled(sagemaker)["FailureReason"]


def test_an_idle_server_ends_by_itself_and_comes_back(sagemaker: LocalSageMaker) -> None:
    deploy(sagemaker, "model")
    endpoint.stop(sagemaker.store, "e")
    endpoint.start(sagemaker.store, "e", idle_s=0.5)
    assert soon(lambda: processes(sagemaker) == [])
    assert endpoint.find(sagemaker.store, "e") is None
    assert ask(sagemaker) == "model ?"


def test_a_server_that_is_kept_moves_to_the_port_asked_for_without_a_new_model(sagemaker: LocalSageMaker) -> None:
    deploy(sagemaker, "model")
    ask(sagemaker)
    passing, pids = running(sagemaker), instances(sagemaker)
    kept = endpoint.start(sagemaker.store, "e", keep=True)
    assert kept.keep and not passing.keep
    moved = endpoint.start(sagemaker.store, "e", keep=True, port=free_port())
    assert moved.port != passing.port and instances(sagemaker) == pids
    assert endpoint.start(sagemaker.store, "e") == moved
    connection = http.client.HTTPConnection("127.0.0.1", moved.port)
    connection.request("GET", "/ping")
    assert connection.getresponse().status == 200
    connection.close()


def test_what_is_kept_runs_until_it_is_deleted(sagemaker: LocalSageMaker) -> None:
    clients = Clients(sagemaker, sagemaker, sagemaker.storage, sagemaker.home)
    put_archive(Path(sagemaker.home), "s3://bucket/p.tar.gz", {"text": "packaged"})
    sagemaker.create_model_package_group(ModelPackageGroupName="g")
    container = {"Image": "stub:1", "ModelDataUrl": "s3://bucket/p.tar.gz"}
    specification = {"Containers": [container]}
    request = {"ModelPackageGroupName": "g", "ModelApprovalStatus": "Approved"}
    arn = sagemaker.create_model_package(**request, InferenceSpecification=specification)["ModelPackageArn"]
    deploy_package(sagemaker, arn, "e")
    settled(sagemaker)
    for _ in range(2):
        address = local_setup.serve(clients, "e")
    assert address == local_setup.address(clients, "e") and running(sagemaker).keep
    assert ask(sagemaker) == "packaged ?"
    sagemaker.delete_endpoint(EndpointName="e")
    assert soon(lambda: gone(sagemaker)) and processes(sagemaker) == []


def test_a_port_that_is_taken_is_named(sagemaker: LocalSageMaker) -> None:
    import socket

    deploy(sagemaker, "model")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(EndpointError, match=f"port {port} cannot be had"):
            endpoint.start(sagemaker.store, "e", keep=True, port=port)


def test_traffic_goes_to_the_variant_asked_for_and_by_weight(sagemaker: LocalSageMaker) -> None:
    names = [model(sagemaker, name) for name in ("left", "right")]
    variants = [
        {"VariantName": name, "ModelName": name, "InitialVariantWeight": weight}
        for name, weight in zip(names, (0, 1), strict=True)
    ]
    sagemaker.create_endpoint_config(EndpointConfigName="both", ProductionVariants=variants)
    sagemaker.create_endpoint(EndpointName="e", EndpointConfigName="both")
    settled(sagemaker)
    assert {ask(sagemaker) for _ in range(5)} == {"right ?"}
    assert ask(sagemaker, TargetVariant="left") == "left ?"
    with pytest.raises(ServiceError, match="has no variant 'middle'; there is: left, right"):
        ask(sagemaker, TargetVariant="middle")


def test_a_record_of_another_boot_is_not_taken_for_a_running_server(sagemaker: LocalSageMaker) -> None:
    deploy(sagemaker, "model")
    endpoint.stop(sagemaker.store, "e")
    files = Files(sagemaker.home, "e")
    stale = {"state": "Ready", "port": 1, "pid": os.getpid(), "keep": True, "instances": []}
    Path(files.state).write_text(json.dumps(stale | {"identity": process_id.identity()}))
    assert endpoint.find(sagemaker.store, "e") is None
    assert ask(sagemaker) == "model ?"


def test_stopping_what_does_not_run_is_no_error(sagemaker: LocalSageMaker) -> None:
    deploy(sagemaker, "model")
    endpoint.stop(sagemaker.store, "e")
    ask(sagemaker)
    endpoint.stop(sagemaker.store, "e")
    endpoint.stop(sagemaker.store, "e")
    assert soon(lambda: processes(sagemaker) == [])


def test_what_is_being_deleted_is_not_started_again(sagemaker: LocalSageMaker) -> None:
    sagemaker.store.add("endpoint", "e", {"variants": []}, "Deleting")
    with pytest.raises(EndpointError, match="'e' cannot serve its model: it is being deleted"):
        endpoint.start(sagemaker.store, "e")


def test_no_endpoint_no_server(sagemaker: LocalSageMaker) -> None:
    with pytest.raises(ServiceError, match="there is no endpoint 'none'"):
        endpoint.start(sagemaker.store, "none")


def test_a_supervisor_that_cannot_isolate_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DARKROOM_ISOLATION", "docker")
    assert supervise(str(tmp_path), "e", 0.0) == 1
    assert "darkroom: DARKROOM_ISOLATION='docker' is unknown (unset it" in capsys.readouterr().out
