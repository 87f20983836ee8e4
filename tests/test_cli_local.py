"""`darkroom local` as its users meet it: a shell that exports what it prints, the AWS CLI, the SageMaker SDK."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hosted import soon

from pipeline.__main__ import main
from pipeline.cli.local import exports

ROOT = Path(__file__).parent.parent
ROLE = "arn:aws:iam::111122223333:role/Test"
# what somebody who knows the SDK writes; nothing in it knows of darkroom
SDK_PROGRAM = """
import json
from sagemaker.core.processing import ScriptProcessor
from sagemaker.core.workflow.parameters import ParameterString
from sagemaker.core.workflow.pipeline_context import PipelineSession
from sagemaker.mlops.workflow.pipeline import Pipeline
from sagemaker.mlops.workflow.steps import ProcessingStep

session = PipelineSession(default_bucket="sdk-bucket")
word = ParameterString("Word", default_value="hello")
processor = ScriptProcessor(
    role=ROLE, image_uri="111122223333.dkr.ecr.us-east-1.amazonaws.com/tiny:1", command=["python3"], instance_count=1,
    instance_type="ml.m5.large", sagemaker_session=session,
)
step = ProcessingStep(name="Say", step_args=processor.run(code="step.py", arguments=[word]))
pipeline = Pipeline(name="sdk", parameters=[word], steps=[step], sagemaker_session=session)
pipeline.upsert(role_arn=ROLE, tags=[{"Key": "first", "Value": "1"}])
pipeline.upsert(role_arn=ROLE, tags=[{"Key": "second", "Value": "2"}])
execution = pipeline.start(parameters={"Word": "bye"})
execution.wait(delay=1, max_attempts=60)
tags = session.sagemaker_client.list_tags(ResourceArn=pipeline.describe()["PipelineArn"])["Tags"]
print(json.dumps({
    "status": execution.describe()["PipelineExecutionStatus"],
    "steps": [(row["StepName"], row["StepStatus"]) for row in execution.list_steps()],
    "parameters": execution.list_parameters()["PipelineParameters"],
    "executions": len(pipeline.list_executions()["PipelineExecutionSummaries"]),
    "tags": sorted(tag["Key"] for tag in tags),
}))
"""


@pytest.fixture(scope="module")
def journal() -> list[str]:
    """Lines that `darkroom local` has logged so far."""
    return []


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, journal: list[str]) -> Iterator[dict[str, str]]:
    """The environment of a shell that has taken over what `darkroom local` printed."""
    folder = tmp_path_factory.mktemp("served")
    argv = [sys.executable, "-m", "pipeline", "local", "--port", "0", "--image", f"*tiny*={sys.executable}"]
    environment = {**os.environ, "DARKROOM_HOME": str(folder / "home"), "PYTHONPATH": str(ROOT)}
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    # a shell starts what it puts into the background with SIGINT ignored, and tests may run there
    pipes["preexec_fn"] = lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)
    with subprocess.Popen(argv, env=environment, cwd=folder, **pipes) as process:
        assert process.stdout is not None and process.stderr is not None
        lines = [process.stdout.readline() for _ in range(4)]
        exported = dict(line.strip().removeprefix("export ").split("=", 1) for line in lines)
        assert "Ctrl-C ends it" in process.stderr.readline()
        reader = threading.Thread(target=lambda: [journal.append(line) for line in process.stderr or ()])
        reader.start()
        yield {**os.environ, **exported, "HOME": str(folder)}
        process.send_signal(signal.SIGINT)
        reader.join()
    assert process.returncode == 0
    assert "Traceback" not in "".join(journal)


def test_the_sdk_upserts_starts_and_waits_without_knowing(served: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "step.py").write_text("import sys; print('said', sys.argv[1])")
    (tmp_path / "program.py").write_text(f"ROLE = {ROLE!r}\n{SDK_PROGRAM}")
    opted_out = {"SchemaVersion": "1.0", "SageMaker": {"PythonSDK": {"Modules": {"TelemetryOptOut": True}}}}
    (tmp_path / "config.yaml").write_text(json.dumps(opted_out))
    environment = {**served, "SAGEMAKER_USER_CONFIG_OVERRIDE": str(tmp_path / "config.yaml")}
    argv = [sys.executable, "program.py"]
    done = subprocess.run(argv, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == {
        "status": "Succeeded",
        "steps": [["Say", "Succeeded"]],
        "parameters": [{"Name": "Word", "Value": "bye"}],
        "executions": 1,
        "tags": ["first", "second"],
    }


def aws(environment: dict[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    """The AWS CLI of this environment, else the one on the PATH; version 1 and 2 alike."""
    beside = Path(sys.executable).parent / "aws"
    program = str(beside) if beside.exists() else shutil.which("aws")
    if program is None:
        pytest.fail("the AWS CLI is not here; it comes with the dev extra: pip install -c requirements.lock '.[dev]'")
    argv = [program, *words, "--output", "json"]
    return subprocess.run(argv, env={**environment, "AWS_PAGER": ""}, capture_output=True, text=True, check=False)


def asked(environment: dict[str, str], *words: str) -> Any:
    done = aws(environment, *words)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout) if done.stdout.startswith(("{", "[")) else done.stdout


def test_the_aws_cli_creates_starts_waits_and_looks(served: dict[str, str], tmp_path: Path) -> None:
    definition = {
        "Version": "2020-12-01",
        "Steps": [{"Name": "F", "Type": "Fail", "Arguments": {"ErrorMessage": "no"}}],
    }
    (tmp_path / "definition.json").write_text(json.dumps(definition))
    role = ("--role-arn", ROLE, "--pipeline-definition", f"file://{tmp_path}/definition.json")
    asked(served, "sagemaker", "create-pipeline", "--pipeline-name", "cli", *role)
    arn = asked(served, "sagemaker", "start-pipeline-execution", "--pipeline-name", "cli")["PipelineExecutionArn"]
    execution = ("--pipeline-execution-arn", arn)
    status = ""
    while status not in ("Failed", "Succeeded"):
        status = asked(served, "sagemaker", "describe-pipeline-execution", *execution)["PipelineExecutionStatus"]
    steps = asked(served, "sagemaker", "list-pipeline-execution-steps", *execution)["PipelineExecutionSteps"]
    assert (status, [step["StepName"] for step in steps]) == ("Failed", ["F"])


def test_the_aws_cli_copies_objects(served: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "a.txt").write_text("text")
    asked(served, "s3", "mb", "s3://cli-bucket")
    asked(served, "s3", "sync", str(tmp_path / "folder"), "s3://cli-bucket/folder")
    asked(served, "s3", "cp", "s3://cli-bucket/folder/a.txt", str(tmp_path / "back.txt"))
    assert (tmp_path / "back.txt").read_text() == "text"


def test_the_aws_cli_reads_logs(served: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text("print('first')\nprint('second')")
    cluster = {"InstanceCount": 1, "InstanceType": "ml.m5.large", "VolumeSizeInGB": 10}
    image = {"ImageUri": "tiny:1", "ContainerEntrypoint": ["python3", str(tmp_path / "program.py")]}
    request = {"AppSpecification": image, "ProcessingResources": {"ClusterConfig": cluster}, "RoleArn": ROLE}
    definition = {"Version": "2020-12-01", "Steps": [{"Name": "Say", "Type": "Processing", "Arguments": request}]}
    given = ("--role-arn", ROLE, "--pipeline-definition", json.dumps(definition))
    asked(served, "sagemaker", "create-pipeline", "--pipeline-name", "logged", *given)
    asked(served, "sagemaker", "start-pipeline-execution", "--pipeline-name", "logged")
    group = ("--log-group-name", "/aws/sagemaker/ProcessingJobs")
    events: list[dict[str, Any]] = []
    while len(events) < 2:
        done = aws(served, "logs", "filter-log-events", *group, "--filter-pattern", "?first ?second")
        events = json.loads(done.stdout)["events"] if done.returncode == 0 else []
    name = events[0]["logStreamName"]
    [stream] = asked(served, "logs", "describe-log-streams", *group, "--log-stream-name-prefix", name)["logStreams"]
    named = ("--log-stream-name", stream["logStreamName"], "--start-from-head")
    lines = asked(served, "logs", "get-log-events", *group, *named)["events"]
    assert [event["message"] for event in lines] == [event["message"] for event in events] == ["first", "second"]


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("sagemaker", "describe-pipeline", "--pipeline-name", "none"), "ResourceNotFound"),
        (("sagemaker", "list-models", "--next-token", "x"), "ValidationException"),
        (("iam", "list-roles"), "AccessDenied"),
        (("sts", "get-session-token"), "InvalidAction"),
        (("cloudwatch", "delete-alarms", "--alarm-names", "none"), "ResourceNotFound"),
        (("logs", "describe-log-streams", "--log-group-name", "/none"), "ResourceNotFoundException"),
        (("logs", "describe-log-streams"), "InvalidParameterException"),
    ],
)
def test_the_aws_cli_is_told_aws_own_codes(served: dict[str, str], words: tuple[str, ...], code: str) -> None:
    done = aws(served, *words)
    assert done.returncode != 0
    assert f"({code})" in done.stderr


def test_an_operation_that_it_does_not_have_is_refused_and_logged(served: dict[str, str], journal: list[str]) -> None:
    done = aws(served, "sagemaker", "list-notebook-instances")
    assert done.returncode != 0
    assert "(UnknownOperationException)" in done.stderr
    told = "UnknownOperationException: the local service does not know 'SageMaker.ListNotebookInstances'"
    assert soon(lambda: any(told in line for line in journal))


def test_a_taken_port_is_refused_before_anything_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DARKROOM_HOME", str(tmp_path / "home"))
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        assert main(["local", "--port", port]) == 1
    told = capsys.readouterr().err
    assert f"cannot serve on port {port}: Address already in use" in told
    assert "--port 0 a free one" in told
    assert not (tmp_path / "home").exists()


def test_what_would_lead_clients_elsewhere_is_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_PROFILE", "AWS_ENDPOINT_URL_S3", "AWS_REGION_OF_NOBODY"):
        monkeypatch.setenv(name, "x")
    assert exports("http://127.0.0.1:1")[-1] == "unset AWS_ENDPOINT_URL_S3 AWS_PROFILE"
