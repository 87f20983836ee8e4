"""The same commands on this machine and over boto3: they print the same, and say what only one of the two can do."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aws_account import AWS, ROLE, Account, account, command, definition
from hosted import settled
from local_jobs import put_archive

from pipeline.cli import target
from pipeline.local.images import register_image
from pipeline.local.server import LoopbackServer
from pipeline.local.service import connect

Capture = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def aws(server: LoopbackServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    with account(server, tmp_path_factory.mktemp("account")) as made:
        yield made


@pytest.fixture
def both(aws: Account, monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> Any:
    """Runs a command against the service itself, then over HTTP; returns both answers."""

    def run(*words: str) -> list[tuple[int, str, str]]:
        with monkeypatch.context() as here:
            here.setenv("DARKROOM_HOME", aws.clients.home)
            local = command(capsys, *words)
        return [local, command(capsys, *words, *AWS)]

    return run


@pytest.fixture(scope="module")
def done(aws: Account, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The ARN of an execution that has succeeded."""
    from pipeline.control import executions, pipelines

    path = Path(definition(tmp_path_factory.mktemp("done") / "done.json", "print('first')\nprint('second')"))
    pipelines.upsert(aws.clients, "done", path.read_text())
    arn = pipelines.start(aws.clients, "done", path.read_text(), {"Epochs": "3"})
    executions.wait(aws.clients, arn, lambda execution, steps: None)
    return arn


def test_a_start_over_boto3_goes_the_way_of_a_local_one(aws: Account, tmp_path: Path, capsys: Capture) -> None:
    path = definition(tmp_path / "over-boto3.json")
    code, out, err = command(capsys, "start", path, "--wait", "--set", "Epochs=3", "--role", ROLE, *AWS)
    assert (code, out.strip()) == (0, aws.executions("over-boto3")[0]["PipelineExecutionArn"])
    assert re.search(r"^Work: succeeded after ", err, re.MULTILINE)
    assert f"show {out.strip().rpartition('/')[2]} --target aws" in err


@pytest.mark.parametrize("words", [("executions", "--pipeline", "done"), ("models",)])
def test_lists_are_the_same(both: Any, done: str, aws: Account, words: tuple[str, ...]) -> None:
    aws.register("listed")
    local, remote = both(*words)
    assert local[:2] == remote[:2]
    assert len(local[1].splitlines()) > 1
    in_json = both(*words, "--json")
    assert in_json[0][0] == in_json[1][0] == 0
    assert json.loads(in_json[0][1]) == json.loads(in_json[1][1])


def test_show_is_the_same_but_for_what_this_machine_alone_tells(both: Any, done: str) -> None:
    local, remote = both("show", done)
    assert local[:2] == remote[:2]
    assert "set        Epochs=3" in local[1]
    first, second = (json.loads(answer[1]) for answer in both("show", done, "--json"))
    for tree in (first, *first["Steps"]):
        assert tree.pop("Darkroom")
    assert first == second


@pytest.mark.parametrize("more", [(), ("-n", "1"), ("-n", "0"), ("--follow",)])
def test_logs_are_the_same_out_of_cloudwatch(both: Any, done: str, more: tuple[str, ...]) -> None:
    local, remote = both("logs", done, "Work", *more)
    assert local[:2] == remote[:2]
    assert "==> cloudwatch:/aws/sagemaker/ProcessingJobs/" in remote[2]
    lines = [json.loads(answer[1])[0]["Lines"] for answer in both("logs", done, "Work", "--json")]
    assert lines == [["first", "second"]] * 2


def test_stop_and_resume_work_over_boto3(aws: Account, tmp_path: Path, capsys: Capture) -> None:
    mark = tmp_path / "mark"
    program = f"import os, time\nos.path.exists({str(mark)!r}) or time.sleep(60)"
    code, arn, _ = command(capsys, "start", definition(tmp_path / "halting.json", program), "--role", ROLE, *AWS)
    assert code == 0
    identifier = arn.strip().rpartition("/")[2]
    code, _, err = command(capsys, "stop", identifier, *AWS)
    assert (code, f"{identifier} is Stopped" in err) == (0, True)
    mark.write_text("")
    code, out, err = command(capsys, "resume", identifier, *AWS)
    assert (code, out.splitlines()[0]) == (0, arn.strip()), err


def test_a_failure_is_explained_with_the_log_of_the_account(aws: Account, tmp_path: Path, capsys: Capture) -> None:
    path = definition(tmp_path / "failing.json", "print('the reason')\nraise SystemExit(3)")
    code, out, err = command(capsys, "start", path, "--role", ROLE, "--wait", *AWS)
    identifier = out.strip().rpartition("/")[2]
    assert code == 1
    assert "exit code  3" in err
    assert "    │ the reason\n" in err
    assert f"resume {identifier} --target aws  (the same" in err
    code, out, _ = command(capsys, "logs", identifier, "Work", *AWS)
    assert out == "the reason\n"


@pytest.mark.parametrize(("verb", "status"), [("approve", "Approved"), ("reject", "Rejected")])
def test_a_decision_over_boto3_reaches_the_registry(aws: Account, verb: str, status: str, capsys: Capture) -> None:
    version = aws.register("decided")
    words = (verb, str(version), "--group", "decided", "--reason", "seen by two")
    code, out, err = command(capsys, *words, *AWS)
    assert (code, out) == (0, "")
    said, _, further = err.partition("\n")
    assert said == f"version {version} of decided is {status}"
    assert further.endswith(f" deploy {version} --group decided --target aws\n") == (verb == "approve")
    arn = f"arn:aws:sagemaker:us-east-1:111122223333:model-package/decided/{version}"
    package = aws.clients.sagemaker.describe_model_package(ModelPackageName=arn)
    assert (package["ModelApprovalStatus"], package["ApprovalDescription"]) == (status, "seen by two")


# which target


@pytest.mark.parametrize("words", [["run"]])
def test_commands_of_this_machine_alone_say_so(aws: Account, words: list[str], capsys: Capture) -> None:
    code, out, err = command(capsys, *words, *AWS)
    assert (code, out) == (1, "")
    assert f"darkroom {words[0]} works on this machine alone so far, not with --target aws" in err


# answers every picture with a seven
SEVEN = """
import os
from http.server import BaseHTTPRequestHandler, HTTPServer
class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.reply(b"")
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.reply(b'{"predictions": [{"class": "7", "probability": 0.9}]}')
    def reply(self, body):
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_):
        pass
HTTPServer((os.environ["DARKROOM_BIND"], int(os.environ["SAGEMAKER_BIND_TO_PORT"])), Handler).serve_forever()
"""


def test_an_endpoint_of_an_account_is_listed_and_asked(aws: Account, tmp_path: Path, capsys: Capture) -> None:
    said = command(capsys, "endpoints", *AWS)[2]
    assert said.startswith("there is no endpoint in us-east-1; ") and said.endswith(" deploy --target aws\n")
    program, picture = tmp_path / "seven.py", tmp_path / "a.png"
    program.write_text(SEVEN)
    picture.write_bytes(b"a picture")
    service = connect(aws.clients.home)
    register_image(service.store, "seven*", ["env", sys.executable, str(program)])
    put_archive(Path(aws.clients.home), "s3://bucket/seven.tar.gz", {"text": "seven"})
    container = {"Image": "seven:1", "ModelDataUrl": "s3://bucket/seven.tar.gz"}
    service.create_model(ModelName="seven", PrimaryContainer=container)
    variant = {"VariantName": "AllTraffic", "ModelName": "seven"}
    service.create_endpoint_config(EndpointConfigName="seven", ProductionVariants=[variant])
    service.create_endpoint(EndpointName="seven", EndpointConfigName="seven")
    try:
        code, out, _ = command(capsys, "endpoints", "--json", *AWS)
        assert (code, [row["EndpointName"] for row in json.loads(out)]) == (0, ["seven"])
        assert "seven" in command(capsys, "endpoints", *AWS)[1]
        assert settled(service, "seven")["EndpointStatus"] == "InService"
        code, out, err = command(capsys, "predict", str(picture), "--endpoint", "seven", *AWS)
        assert (code, out) == (0, f"{picture}  7  0.9000\n"), err
    finally:
        settled(service, "seven")  # it answers before its record says that it is in service
        service.delete_endpoint(EndpointName="seven")


def test_stand_ins_are_refused_where_the_real_ones_are(aws: Account, tmp_path: Path, capsys: Capture) -> None:
    code, _, err = command(capsys, "start", definition(tmp_path / "a.json"), "--image", "img*=python3", *AWS)
    assert (code, "leave out --image and --function" in err) == (1, True)


def test_the_variable_chooses_and_an_option_wins(aws: Account, monkeypatch: Any, capsys: Capture) -> None:
    monkeypatch.setenv("DARKROOM_TARGET", "aws")
    nowhere = ("run", "-c", "nowhere.yaml")
    assert "not with --target aws" in command(capsys, *nowhere)[2]
    assert "not with --target aws" not in command(capsys, *nowhere, "--target", "local")[2]
    monkeypatch.setenv("DARKROOM_TARGET", "cloud")
    assert "error: DARKROOM_TARGET is 'cloud'\nhint:  set it to local or aws" in command(capsys, "executions")[2]


@pytest.mark.parametrize("words", [("--region", "eu-west-1"), ("--profile", "team")])
def test_what_only_aws_has_is_refused_here(words: tuple[str, str], aws: Account, capsys: Capture) -> None:
    code, _, err = command(capsys, "executions", *words)
    assert (code, f"{words[0]} {words[1]} means nothing on this machine\nhint:  add --target aws" in err) == (1, True)


def test_the_last_execution_of_a_shared_account_needs_its_pipeline(
    aws: Account, done: str, tmp_path: Path, capsys: Capture
) -> None:
    command(capsys, "start", definition(tmp_path / "other.json"), "--wait", "--role", ROLE, *AWS)
    code, _, err = command(capsys, "stop", *AWS)
    assert (code, "several pipelines have executions in us-east-1: " in err) == (1, True)
    code, out, _ = command(capsys, "show", "--pipeline", "done", *AWS)
    assert (code, done.rpartition("/")[2] in out) == (0, True)


def test_a_new_pipeline_needs_a_role_and_an_old_one_keeps_its_own(
    aws: Account, tmp_path: Path, capsys: Capture
) -> None:
    path = definition(tmp_path / "roles.json")
    code, out, err = command(capsys, "start", path, *AWS)
    assert (code, out) == (1, "")
    assert "there is no pipeline 'roles' in us-east-1 yet, and a new one needs a role\n  nothing was started" in err
    assert command(capsys, "start", path, "--wait", "--role", ROLE, *AWS)[0] == 0
    assert command(capsys, "start", path, "--wait", *AWS)[0] == 0
    assert aws.clients.sagemaker.describe_pipeline(PipelineName="roles")["RoleArn"] == ROLE


def test_the_same_token_starts_nothing_twice(aws: Account, tmp_path: Path, capsys: Capture) -> None:
    path = definition(tmp_path / "once.json")
    words = ("start", path, "--token", "commit-0123456789-0123456789-job-7", "--role", ROLE, *AWS)
    assert command(capsys, *words)[1] == command(capsys, *words)[1]
    assert len(aws.executions("once")) == 1
    assert "--token has 4 characters; SageMaker takes 32 to 128" in command(capsys, *words[:3], "once", *AWS)[2]


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["show", "--target", "aws", "--json"], " --target aws"),
        (["show", "--region=eu-west-1", "--target=aws"], " --region eu-west-1 --target aws"),
        (["show", "--profile", "my team", "--target", "aws"], " --profile 'my team' --target aws"),
        (["show", "last"], ""),
    ],
)
def test_what_is_typed_next_leads_where_this_command_did(argv: list[str], words: str) -> None:
    assert target.typed(argv) == words


def test_hints_lead_there_too(aws: Account, capsys: Capture) -> None:
    assert re.search(r"hint:  \S+( -m pipeline)? executions --target aws\n", command(capsys, "show", "zzz", *AWS)[2])
