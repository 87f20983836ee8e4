"""Endpoints: a supervisor that starts on demand, mends, changes over and leaves nothing behind."""

from __future__ import annotations

import http.client
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from local_jobs import put_archive

from pipeline.errors import EndpointError, ServiceError
from pipeline.local import endpoint, process_id
from pipeline.local.endpoint_files import Files
from pipeline.local.endpoint_host import supervise
from pipeline.local.images import register_image
from pipeline.local.service import LocalSageMaker, connect

# answers with the model's text and the body; some bodies make it misbehave
SERVER = """
import os, sys
from http.server import BaseHTTPRequestHandler, HTTPServer
assert sys.argv[1:] == ["serve"]
with open(os.environ["SM_MODEL_DIR"] + "/text") as file:
    text = file.read()
if text == "broken":
    sys.exit("there is no model here")
class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        if text == "unloadable":
            self.reply(503, b'{"error": "the model failed to load; the log has the reason"}')
        else:
            self.reply(200, b"")
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if body == b"die":
            os._exit(3)
        status = int(body) if body.isdigit() else 200
        kind = self.headers["Accept"] + " " + self.headers["Content-Type"]
        self.reply(status, text.encode() + b" " + body, kind)
    def reply(self, status, body, kind="text/plain"):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_):
        pass
HTTPServer((os.environ["DARKROOM_BIND"], int(os.environ["SAGEMAKER_BIND_TO_PORT"])), Handler).serve_forever()
"""


@pytest.fixture(params=["namespace", "rewrite"])
def isolation(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("DARKROOM_ISOLATION", request.param)
    return str(request.param)


@pytest.fixture
def sagemaker(tmp_path: Path) -> Iterator[LocalSageMaker]:
    service = connect(str(tmp_path / "home"))
    program = tmp_path / "server.py"
    program.write_text(SERVER)
    register_image(service.store, "stub*", ["env", sys.executable, str(program)])
    yield service
    for record in service.store.list("endpoint"):
        service.delete_endpoint(EndpointName=record.name)


def model(service: LocalSageMaker, name: str, text: str = "") -> str:
    uri = f"s3://bucket/{name}.tar.gz"
    put_archive(Path(service.home), uri, {"text": text or name})
    service.create_model(ModelName=name, PrimaryContainer={"Image": "stub:1", "ModelDataUrl": uri})
    return name


def config(service: LocalSageMaker, name: str, *models: str, **variant: Any) -> str:
    variants = [{"VariantName": each, "ModelName": each, **variant} for each in models]
    service.create_endpoint_config(EndpointConfigName=name, ProductionVariants=variants)
    return name


def deploy(service: LocalSageMaker, text: str, **variant: Any) -> None:
    model(service, "first", text)
    service.create_endpoint(EndpointName="e", EndpointConfigName=config(service, "one", "first", **variant))


def ask(service: LocalSageMaker, body: bytes = b"?", **request: Any) -> str:
    return str(service.invoke_endpoint(EndpointName="e", Body=body, **request)["Body"].read().decode())


def running(service: LocalSageMaker) -> endpoint.Host:
    host = endpoint.find(service.store, "e")
    assert host is not None
    return host


def processes(service: LocalSageMaker) -> list[str]:
    """Command lines that name this home or the stub beside it."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit() and int(name) != os.getpid():
            try:
                line = Path("/proc", name, "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except (FileNotFoundError, ProcessLookupError):
                continue
            if os.path.dirname(service.home) in line:
                found.append(line)
    return found


def soon(condition: Any) -> bool:
    for _ in range(500):
        if condition():
            return True
        time.sleep(0.02)
    return False


@pytest.mark.usefixtures("isolation")
def test_the_first_invocation_starts_a_server_and_deleting_ends_it(sagemaker: LocalSageMaker) -> None:
    deploy(sagemaker, "model")
    assert processes(sagemaker) == []
    answer = sagemaker.invoke_endpoint(EndpointName="e", Body=b"1a", ContentType="image/png", Accept="text/x")
    assert answer["Body"].read() == b"model 1a"
    assert (answer["ContentType"], answer["InvokedProductionVariant"]) == ("text/x image/png", "first")
    first = running(sagemaker)
    assert ask(sagemaker) == "model ?"
    assert running(sagemaker) == first
    sagemaker.delete_endpoint(EndpointName="e")
    assert soon(lambda: processes(sagemaker) == [])
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
    assert ask(sagemaker) == "new ?"
    after = running(sagemaker)
    assert (after.port, after.pid) == (before.port, before.pid)


def test_a_server_that_crashes_is_started_again(sagemaker: LocalSageMaker) -> None:
    deploy(sagemaker, "model")
    with pytest.raises(ServiceError, match="broke off the connection") as caught:
        ask(sagemaker, b"die")
    assert caught.value.code == "ModelError"
    assert ask(sagemaker) == "model ?"


@pytest.mark.parametrize(("status", "side"), [(b"415", "client"), (b"500", "server")])
def test_an_error_of_the_model_is_passed_on(sagemaker: LocalSageMaker, status: bytes, side: str) -> None:
    deploy(sagemaker, "model")
    match = rf'Received {side} error \({status.decode()}\) from primary with message "model {status.decode()}"'
    with pytest.raises(ServiceError, match=match) as caught:
        ask(sagemaker, status)
    assert caught.value.code == "ModelError"


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("broken", r"ended with exit code 1 before it answered /ping(.|\n)*there is no model here"),
        ("unloadable", "the model failed to load"),
    ],
)
def test_a_model_that_does_not_load_says_why(sagemaker: LocalSageMaker, text: str, match: str) -> None:
    deploy(sagemaker, text)
    with pytest.raises(EndpointError, match=match):
        endpoint.start(sagemaker.store, "e")
    assert soon(lambda: processes(sagemaker) == [])


def test_a_mended_model_serves_after_an_update(sagemaker: LocalSageMaker) -> None:
    deploy(sagemaker, "broken")
    with pytest.raises(ServiceError, match="there is no model here"):
        ask(sagemaker)
    config(sagemaker, "two", model(sagemaker, "second", "mended"))
    sagemaker.update_endpoint(EndpointName="e", EndpointConfigName="two")
    assert ask(sagemaker) == "mended ?"


def test_an_archive_that_is_gone_or_no_image_says_so(sagemaker: LocalSageMaker) -> None:
    deploy(sagemaker, "model")
    sagemaker.storage.delete("s3://bucket/first.tar.gz")
    with pytest.raises(EndpointError, match="s3://bucket/first.tar.gz is gone"):
        endpoint.start(sagemaker.store, "e")
    sagemaker.create_model(ModelName="other", PrimaryContainer={"Image": "foreign:1"})
    sagemaker.update_endpoint(EndpointName="e", EndpointConfigName=config(sagemaker, "two", "other"))
    with pytest.raises(EndpointError, match="no command stands in for image 'foreign:1'"):
        endpoint.start(sagemaker.store, "e")


def test_an_idle_server_ends_by_itself_and_comes_back(sagemaker: LocalSageMaker) -> None:
    deploy(sagemaker, "model")
    endpoint.start(sagemaker.store, "e", idle_s=0.5)
    assert soon(lambda: processes(sagemaker) == [])
    assert endpoint.find(sagemaker.store, "e") is None
    assert ask(sagemaker) == "model ?"


def test_a_kept_server_takes_over_from_one_that_is_not_and_has_the_port_asked_for(sagemaker: LocalSageMaker) -> None:
    deploy(sagemaker, "model")
    ask(sagemaker)
    passing = running(sagemaker)
    kept = endpoint.start(sagemaker.store, "e", keep=True)
    assert kept.keep and not passing.keep
    moved = endpoint.start(sagemaker.store, "e", keep=True, port=passing.port)
    assert moved.port == passing.port
    assert endpoint.start(sagemaker.store, "e") == moved
    connection = http.client.HTTPConnection("127.0.0.1", moved.port)
    connection.request("GET", "/ping")
    assert connection.getresponse().status == 200
    connection.close()


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
    assert {ask(sagemaker) for _ in range(5)} == {"right ?"}
    assert ask(sagemaker, TargetVariant="left") == "left ?"
    with pytest.raises(ServiceError, match="has no variant 'middle'; it has: left, right"):
        ask(sagemaker, TargetVariant="middle")


def test_a_record_of_another_boot_is_not_taken_for_a_running_server(sagemaker: LocalSageMaker) -> None:
    deploy(sagemaker, "model")
    files = Files(sagemaker.home, "e")
    os.makedirs(files.folder)
    stale = {"state": "Ready", "port": 1, "pid": os.getpid(), "keep": True, "revision": "x", "variants": []}
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


def test_no_endpoint_no_server(sagemaker: LocalSageMaker) -> None:
    with pytest.raises(ServiceError, match="there is no endpoint 'none'"):
        endpoint.start(sagemaker.store, "none")


def test_a_supervisor_that_cannot_isolate_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DARKROOM_ISOLATION", "docker")
    assert supervise(str(tmp_path), "e", 0, 0.0) == 1
    assert "darkroom: DARKROOM_ISOLATION='docker' is unknown (unset it" in capsys.readouterr().out
