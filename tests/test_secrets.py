"""Credentials in use are nowhere afterwards: not on a terminal, in no log, file, plan, object, request or database."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from aws_account import AWS, ROLE, Account, account, command, definition
from registered import Registered, against, evaluated

from pipeline.local.guard import MARK
from pipeline.local.server import LoopbackServer

SECRET = "wJalr+SECRET+of/this+test+alone+0123456789"
TOKEN = "FwoGZXIvYXdzTOKENofThisTestAlone0123456789"
HIDDEN = {"AWS_SECRET_ACCESS_KEY": SECRET, "AWS_SESSION_TOKEN": TOKEN}
LOOKS = "import os; print(sorted(os.environ.items()))"  # of a job that tells all that it knows
Capture = pytest.CaptureFixture[str]


@pytest.fixture
def aws(server: LoopbackServer, tmp_path: Path) -> Iterator[Account]:
    with account(server, tmp_path) as made, pytest.MonkeyPatch.context() as environment:
        for name, value in HIDDEN.items():
            environment.setenv(name, value)
        yield made


def found_in(*folders: Path) -> list[str]:
    """Files below these folders that hold one of the two, in whatever form."""
    wanted = [value.encode() for value in HIDDEN.values()]
    files = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    assert len(files) > 3
    return [str(path) for path in files if any(each in path.read_bytes() for each in wanted)]


def test_no_command_prints_or_keeps_the_credentials_that_it_uses(
    aws: Account, server: LoopbackServer, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # no pipeline.yaml: what is deployed is this definition
    path, plan = definition(tmp_path / "secret.json", LOOKS), str(tmp_path / "plan.json")
    role = ROLE.replace("111122223333", "123456789012")
    Path(path).write_text(Path(path).read_text().replace(ROLE, role))
    commands: list[tuple[int, tuple[str, ...]]] = [
        (0, ("plan", path, "-o", plan)),
        (0, ("upsert", plan, "--role", role)),
        (0, ("start", path, "--wait", "--role", role, "--token", "t" * 40)),
        (0, ("start", path, "--role", role, "--set", "Epochs=3", "--wait")),
        (0, ("executions", "--pipeline", "secret", "--json")),
        (0, ("show", "last", "--pipeline", "secret", "--json")),
        (0, ("report", "last", "--pipeline", "secret")),
        (0, ("versions", "--pipeline", "secret", "--json")),
        (0, ("promote", "production", "--pipeline", "secret")),
        (1, ("rollback", "current", "--pipeline", "secret")),
        (0, ("logs", "last", "Work", "--pipeline", "secret")),
        (0, ("watch", "last", "--pipeline", "secret")),
        (0, ("download", "last", "--pipeline", "secret", "-o", str(tmp_path / "downloaded"))),
        (1, ("models", "--group", "none", "--json")),
        (1, ("logs", "last", "Nothing", "--pipeline", "secret")),
        (1, ("approve", "99", "--group", "none")),
        (1, ("start", path, "--set", "Epochs=many")),
    ]
    said = ""
    for expected, words in commands:
        code, out, err = command(capsys, *words, *AWS)
        assert code == expected, (words, out, err)
        said += out + err
    assert all(each not in said for each in HIDDEN.values())
    assert json.loads(Path(plan).read_text())
    assert found_in(tmp_path, Path(server.home)) == []


def test_nor_do_those_about_models_and_endpoints(aws: Account, tmp_path: Path, capsys: Capture) -> None:
    local = Registered(Path(aws.clients.home))
    local.add()
    local.decide(1, "Approved")
    local.add(evaluated(0.92, champion=against(local.package(1)["ModelPackageArn"])), code="f" * 16)
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv(MARK, "execution")  # as in a run, where CreateEndpoint starts no process
        deployed(aws, "darkroom-digits-staging")
    (tmp_path / "pipeline.yaml").write_text("{}")
    said = ""
    for words in (
        ("show-model", "2"),
        ("show-model", "2", "--json"),
        ("compare", "2", "1"),
        ("compare", "2", "--json"),
        ("endpoints", "--json"),
        ("down", "--endpoints", "-c", str(tmp_path / "pipeline.yaml"), "--idle", "0", "--yes"),
    ):
        code, out, err = command(capsys, *words, *AWS)
        assert code == 0, (words, out, err)
        said += out + err
    assert "deleted" in said
    assert all(each not in said for each in HIDDEN.values())
    assert found_in(tmp_path, Path(aws.clients.home)) == []


def deployed(aws: Account, name: str) -> None:
    sagemaker, role = aws.clients.sagemaker, "arn:aws:iam::111122223333:role/serve"
    sagemaker.create_model(ModelName="m", PrimaryContainer={"Image": "img:1"}, ExecutionRoleArn=role)
    variant = {"VariantName": "AllTraffic", "ModelName": "m", "InstanceType": "ml.m5.large", "InitialInstanceCount": 1}
    sagemaker.create_endpoint_config(EndpointConfigName="c", ProductionVariants=[variant])
    sagemaker.create_endpoint(EndpointName=name, EndpointConfigName="c")


def test_nor_do_a_stop_and_a_resumption(aws: Account, tmp_path: Path, capsys: Capture) -> None:
    mark, said = tmp_path / "mark", ""
    program = f"{LOOKS}\nimport time\nos.path.exists({str(mark)!r}) or time.sleep(60)"
    code, out, said = command(capsys, "start", definition(tmp_path / "stopped.json", program), "--role", ROLE, *AWS)
    assert code == 0, said
    for words, expected in ((("stop",), 0), (("resume",), 0), (("stop",), 1)):
        if words == ("resume",):
            mark.write_text("")
        code, more, err = command(capsys, *words, out.strip(), *AWS)
        assert code == expected, (words, more, err)
        said += more + err
    assert "Work: succeeded" in said
    assert all(each not in said for each in HIDDEN.values())
    assert found_in(tmp_path, Path(aws.clients.home)) == []


@pytest.mark.parametrize("fault", ["expired", "unknown", "signature", "denied", "broken", "lost"])
def test_no_failure_prints_them(aws: Account, capsys: Capture, fault: str) -> None:
    aws.front.begin(lambda operation, number: fault)
    code, out, err = command(capsys, "executions", *AWS)
    assert (code, out) == (1, "")
    assert "error: " in err
    assert all(each not in err for each in HIDDEN.values())


def test_a_job_of_this_machine_is_given_none_of_the_credentials_of_whoever_started_it(
    aws: Account, tmp_path: Path, capsys: Capture
) -> None:
    """Else they would stand in its log, and in whatever a stranger's program makes of them."""
    path = definition(tmp_path / "here.json", LOOKS)
    code, out, err = command(capsys, "start", path, "--wait", "--image", "img*=python3")
    assert code == 0, err
    code, log, _ = command(capsys, "logs", "last", "Work")
    assert (code, "PATH" in log) == (0, True)
    assert all(each not in log + out + err for each in HIDDEN.values())
    assert found_in(tmp_path) == []
