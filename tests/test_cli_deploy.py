"""Deployments from the command line, here and over boto3: the function in its process, real servers, real events."""

from __future__ import annotations

import base64
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aws_account import AWS, Account, account, command
from hosted import Load, ask, processes, soon
from local_jobs import put_archive

from pipeline.client import Clients
from pipeline.control import local_setup
from pipeline.local.images import register_image
from pipeline.local.server import LoopbackServer

Capture = pytest.CaptureFixture[str]
ROOT = Path(__file__).parent.parent
FUNCTION = "arn:aws:lambda:us-east-1:111122223333:function:darkroom-deploy"
NAME = "digits-production"
# at the clock's speed here three seconds of watching a single instance
CONFIG = """
pipeline: {name: digits, region: us-east-1, account: "111122223333"}
dataset: {kind: digits}
deploy: {update: {wait_seconds: 600}, alarms: {error_rate: 0.5}}
"""
# two instances, and up to eighteen seconds each for a canary and for the rest
CANARY = """
pipeline: {name: digits, region: us-east-1, account: "111122223333"}
dataset: {kind: digits}
deploy:
  instance_count: 2
  scaling: null
  update: {bake_seconds: 3600, wait_seconds: 3600, timeout_minutes: 480}
  alarms: {error_rate: 0.5}
"""
# its model is one word: how sure it is of a seven, or what is wrong with it
SURE = """
import json, os, sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
with open(os.environ["SM_MODEL_DIR"] + "/text") as file:
    text = file.read()
class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.reply(200, {})
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        if text == "faulty":
            self.reply(500, {"error": "no"})
        else:
            self.reply(200, {"predictions": [{"class": "7", "probability": float(text)}]})
    def reply(self, status, body):
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())
    def log_message(self, *_):
        pass
ThreadingHTTPServer((os.environ["DARKROOM_BIND"], int(os.environ["SAGEMAKER_BIND_TO_PORT"])), Handler).serve_forever()
"""


def register(clients: Clients, text: str, sure: float, status: str = "Approved") -> int:
    """A package whose evaluation saw a seven as sure as that; its version."""
    sagemaker = clients.sagemaker
    number = len(sagemaker.list_model_packages(ModelPackageGroupName="digits")["ModelPackageSummaryList"]) + 1
    place = f"s3://bucket/runs/{number}"
    put_archive(Path(clients.home), f"{place}/model.tar.gz", {"text": text})
    picture = {"name": "a.png", "content_type": "image/png", "body": base64.b64encode(b"a picture").decode()}
    golden = {"version": 0, "pictures": [{**picture, "class": "7", "probability": sure}]}
    clients.storage.put_bytes(f"{place}/golden.json", json.dumps(golden).encode())
    container = {"Image": "sure:1", "ModelDataUrl": f"{place}/model.tar.gz"}
    types = {"SupportedContentTypes": ["image/png"], "SupportedResponseMIMETypes": ["application/json"]}
    statistics = {"ContentType": "application/json", "S3Uri": f"{place}/evaluation.json"}
    made = sagemaker.create_model_package(
        ModelPackageGroupName="digits",
        InferenceSpecification={"Containers": [container], **types},
        ModelMetrics={"ModelQuality": {"Statistics": statistics}},
        ModelApprovalStatus=status,
    )
    return int(made["ModelPackageArn"].rpartition("/")[2])


@pytest.fixture(scope="module")
def aws(server: LoopbackServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    folder = tmp_path_factory.mktemp("account")
    with account(server, folder) as made, pytest.MonkeyPatch.context() as environment:
        environment.setenv("DARKROOM_CLOCK_SPEED", "200")
        (folder / "sure.py").write_text(SURE)
        clients = made.clients
        register_image(clients.sagemaker.store, "sure*", ["env", sys.executable, str(folder / "sure.py")])
        clients.sagemaker.create_model_package_group(ModelPackageGroupName="digits")
        local_setup.put_deploying(clients, FUNCTION, str(ROOT / "entrypoints"))
        yield made
        assert soon(lambda: not processes(clients.sagemaker)), processes(clients.sagemaker)


@pytest.fixture
def darkroom(
    aws: Account, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> Any:
    """Runs a command in a project's folder: on this machine, or over boto3 against the same service."""
    (tmp_path / "pipeline.yaml").write_text(CONFIG)
    monkeypatch.chdir(tmp_path)
    more = AWS if getattr(request, "param", "") == "aws" else ()
    if not more:
        monkeypatch.setenv("DARKROOM_HOME", aws.clients.home)

    def run(*words: object) -> tuple[int, str, str]:
        return command(capsys, *map(str, words), *more)

    run.clients = aws.clients  # type: ignore[attr-defined]
    yield run
    command(capsys, "undeploy", NAME, "--yes", *more)


def left(clients: Clients) -> dict[str, list[str]]:
    sagemaker, store = clients.sagemaker, clients.sagemaker.store
    return {
        "endpoints": [row["EndpointName"] for row in sagemaker.list_endpoints()["Endpoints"]],
        "configs": [row["EndpointConfigName"] for row in sagemaker.list_endpoint_configs()["EndpointConfigs"]],
        "models": [row["ModelName"] for row in sagemaker.list_models()["Models"]],
        "rest": [record.name for kind in ("metric-alarm", "scalable-target") for record in store.list(kind)],
    }


def test_a_life_deployed_updated_taken_back_and_gone(darkroom: Any) -> None:
    clients = darkroom.clients
    first, second = register(clients, "0.75", 0.75), register(clients, "0.5", 0.5)
    code, out, err = darkroom("deploy", first)
    assert (code, out.startswith("http://127.0.0.1:")) == (0, True), err
    assert '"probability": 0.75' in ask(clients.sagemaker, name=NAME)

    code, _, err = darkroom("deploy", second)
    assert code == 0, err
    assert re.search(rf"Updating, version {second} \(\w+\) takes the place of version {first} \(", err)
    assert "alarms: errors " in err and "latency " in err
    assert re.search(r"1 instance\(s\): (Launching|Activating|Baking|Terminating) ", err)
    assert '"probability": 0.5' in ask(clients.sagemaker, name=NAME)

    code, out, err = darkroom("deploy", register(clients, "0.25", 0.75))
    assert (code, out) == (1, ""), err
    reason = r"the smoke test failed: golden picture a\.png: 7 at 0\.2500 where the evaluation had 0\.7500"
    assert re.search(rf"error: the deployment to '{NAME}' failed: {reason} ?- the endpoint is back at ", err), err
    assert '"probability": 0.5' in ask(clients.sagemaker, name=NAME)

    code, out, err = darkroom("rollback", "--endpoint")
    assert (code, f"-v{first}-" in out) == (0, True), err
    assert '"probability": 0.75' in ask(clients.sagemaker, name=NAME)
    code, out, err = darkroom("rollback", "--endpoint", NAME)
    assert (code, out) == (1, "")
    assert "has no earlier good deployment to go back to" in err


def last_routing(clients: Clients) -> dict[str, Any]:
    """How the last update of the endpoint shifted traffic."""
    last = clients.sagemaker.describe_endpoint(EndpointName=NAME)["LastDeploymentConfig"]
    return dict(last["BlueGreenUpdatePolicy"]["TrafficRoutingConfiguration"])


def test_a_canary_of_a_broken_model_is_taken_back_and_the_command_says_why(darkroom: Any, tmp_path: Path) -> None:
    """Of two instances one takes traffic, and answers with 500: its alarm takes the update back while it bakes."""
    (tmp_path / "pipeline.yaml").write_text(CANARY)
    clients = darkroom.clients
    good, broken = register(clients, "0.75", 0.75), register(clients, "faulty", 0.75)
    code, _, err = darkroom("deploy", good)
    assert code == 0, err
    with Load(clients.sagemaker, callers=2, name=NAME, pause_s=0.02) as load:
        code, out, err = darkroom("deploy", broken)
    assert (code, out) == (1, ""), err
    routing = last_routing(clients)
    assert (routing["Type"], routing["CanarySize"]["Value"]) == ("CANARY", 1)
    reason = rf"SageMaker rolled back to {NAME}-v{good}-\w+: .*alarm.* {NAME}-v{broken}-\w+-errors"
    assert re.search(rf"^error: the deployment to '{NAME}' failed: {reason}", err, re.MULTILINE), err
    assert re.search(rf"^hint:  {NAME} serves version {good} \(\w+\); mend it, then deploy again$", err, re.MULTILINE)
    assert load.errors and {'{"predictions": [{"class": "7", "probability": 0.75}]}'} == set(load.answers)
    assert '"probability": 0.75' in ask(clients.sagemaker, name=NAME)


@pytest.mark.parametrize("darkroom", ["aws"], indirect=True)
def test_an_endpoint_of_an_account_is_deployed_and_goes_with_all_that_was_made(darkroom: Any) -> None:
    version = register(darkroom.clients, "0.75", 0.75)
    code, out, err = darkroom("deploy", version)
    assert (code, out) == (0, f"{NAME}\n"), err
    assert f"deploying version {version} to {NAME} in us-east-1\n" in err
    assert f"InService, version {version} (" in err and "is good" in err
    assert "variant AllTraffic: weight 1, 1 instance(s)\n" in err

    code, _, err = darkroom("undeploy", NAME)
    assert (code, "nothing was deleted" in err) == (1, True)
    for kind in ("endpoint", "endpoint configuration", "model", "alarm", "scalable target"):
        assert f"would delete {kind} " in err, err
    assert darkroom("undeploy", NAME, "--yes")[0] == 0
    assert left(darkroom.clients) == {"endpoints": [], "configs": [], "models": [], "rest": []}


def test_what_production_does_not_take_is_refused_and_staging_takes_it(darkroom: Any) -> None:
    waiting = register(darkroom.clients, "0.25", 0.25, status="PendingManualApproval")
    code, out, err = darkroom("deploy", waiting)
    assert (code, out) == (1, "")
    assert f"error: model version {waiting} is PendingManualApproval, not Approved\n" in err
    code, out, err = darkroom("deploy", waiting, "--stage", "staging", "--endpoint", NAME, "--json")
    assert code == 0, err
    told = json.loads(out)
    assert (told["Phase"], told["EndpointStatus"], told["EndpointName"]) == ("good", "InService", NAME)


@pytest.mark.parametrize("darkroom", ["aws"], indirect=True)
def test_an_account_without_the_function_says_what_brings_it(darkroom: Any, tmp_path: Path) -> None:
    version = register(darkroom.clients, "0.75", 0.75)
    other = FUNCTION.replace("darkroom-deploy", "elsewhere")
    (tmp_path / "pipeline.yaml").write_text(CONFIG.replace("deploy: {", f'deploy: {{function: "{other}", '))
    code, out, err = darkroom("deploy", version)
    assert (code, out) == (1, "")
    assert f"error: there is no function {other}\nhint:  the stack brings it: darkroom infra, docs/aws.md\n" in err


@pytest.mark.parametrize(
    ("words", "told", "instead"),
    [
        (["production", "--endpoint"], "'production'", "rollback --endpoint, or "),
        (["--endpoint", NAME, "--pipeline", "digits"], "--pipeline digits", f"rollback --endpoint {NAME}, or "),
    ],
)
def test_a_rollback_of_an_endpoint_takes_nothing_that_is_of_aliases(
    capsys: Capture, words: list[str], told: str, instead: str
) -> None:
    """It used to leave out the alias, and to change what serves."""
    code, out, err = command(capsys, "rollback", *words)
    assert (code, out) == (2, "")
    assert f"error: --endpoint is about an endpoint, {told} about a pipeline\n" in err
    assert instead in err
