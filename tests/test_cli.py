"""The command line: what it takes, what it prints where, and its exit codes."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from process_list import naming

from pipeline.__main__ import main
from pipeline.cli import SUMMARIES, spelled
from pipeline.cli.home import darkroom, home
from pipeline.cli.plain import PlainView
from pipeline.client import Clients, local_client

ROOT = Path(__file__).parent.parent
ROLE = "arn:aws:iam::111122223333:role/darkroom"
ARN = "arn:aws:sagemaker:us-east-1:111122223333:pipeline/p/execution/abc123"


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home, and a folder without pipeline.yaml."""
    monkeypatch.setenv("DARKROOM_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "home"


def definition(tmp_path: Path, program: str = "print('hello')", name: str = "chain.json") -> Path:
    """One processing step, whose entry point is this program."""
    (tmp_path / f"{name}.py").write_text(program)
    cluster = {"InstanceCount": 1, "InstanceType": "ml.m5.large", "VolumeSizeInGB": 10}
    entry = {"ImageUri": "img:1", "ContainerEntrypoint": ["python3", str(tmp_path / f"{name}.py")]}
    arguments = {
        "AppSpecification": entry,
        "ProcessingResources": {"ClusterConfig": cluster},
        "RoleArn": ROLE,
        "Environment": {"EPOCHS": {"Std:Join": {"On": "", "Values": [{"Get": "Parameters.Epochs"}]}}},
    }
    document = {
        "Version": "2020-12-01",
        "Metadata": {},
        "Parameters": [{"Name": "Epochs", "Type": "Integer", "DefaultValue": 2}],
        "Steps": [{"Name": "Work", "Type": "Processing", "Arguments": arguments}],
    }
    path = tmp_path / name
    path.write_text(json.dumps(document))
    return path


IMAGE = ("--image", f"img*={sys.executable}")

# usage


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    assert [name for name in SUMMARIES if f"\n  {name} " not in text] == []


@pytest.mark.parametrize("command", SUMMARIES)
def test_every_command_explains_itself(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main([command, "--help"])
    assert caught.value.code == 0
    assert capsys.readouterr().out.startswith(f"usage: darkroom {command}")


@pytest.mark.parametrize("command", SUMMARIES)
def test_every_command_stands_in_the_readme(command: str) -> None:
    assert f"`darkroom {command}" in (ROOT / "README.md").read_text(encoding="utf-8")


def test_a_misspelt_command_is_usage_and_gets_a_suggestion(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["aprove", "1"]) == 2
    assert "there is no command 'aprove'; did you mean 'approve'?" in capsys.readouterr().err


def test_no_command_is_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    captured = capsys.readouterr()
    assert (captured.out, "usage: darkroom" in captured.err) == ("", True)


@pytest.mark.parametrize(
    "arguments",
    [
        ["reject", "1"],
        ["approve", "first"],
        ["start", "--version", "1", "--alias", "production"],
        ["logs", "last"],
        ["config"],
        ["show", "--jso"],
        ["predict"],
        ["deploy", "--port", "65536"],
        ["logs", "last", "A", "-n", "-1"],
        ["validate", "definition.json", "-c", "pipeline.yaml"],
        ["run", "--sett", "A=1"],
    ],
)
def test_wrong_usage_exits_with_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert capsys.readouterr().out == ""


# failures that are expected: two lines, exit code 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["show"], "error: nothing has been executed yet\nhint:  darkroom run\n"),
        (["stop"], "error: nothing has been executed yet"),
        (["start", "nowhere.json", "--image", "img"], "--image 'img' is not of the form URI-PATTERN=COMMAND"),
        (["start", "nowhere.json"], "error: cannot read nowhere.json: No such file or directory\nhint:"),
        (["validate", "nowhere.json"], "error: cannot read nowhere.json"),
        (["run"], "pipeline.yaml cannot be read"),
        (["run", "--set", "Epochs"], "'Epochs' is not of the form Parameter=value"),
        (["compile", "-c", "."], "error: "),
    ],
)
def test_an_expected_failure_is_told_without_a_traceback(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert said.replace("hint:  darkroom", f"hint:  {darkroom()}") in captured.err
    assert "Traceback" not in captured.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["approve", "3"], "error: there is no model with version 3; there is: none yet"),
        (["deploy"], "error: there is no model yet\nhint:  {} run\n"),
        (["predict", "a.png"], "error: there is no endpoint\nhint:  {} deploy\n"),
        (["undeploy", "e"], "error: there is no endpoint\nhint:  {} deploy\n"),
    ],
)
def test_what_is_not_there_is_named(
    arguments: list[str], said: str, state: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    local_client(str(state))
    assert main(arguments) == 1
    assert said.format(darkroom()) in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "is not JSON"),
        ("[]", ""),
        ('{"Version": "2020-12-01", "Steps": [{"Name": "A", "Type": "Dance"}]}', "Dance"),
    ],
)
def test_what_is_no_definition_is_not_started(
    text: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "d.json").write_text(text)
    assert main(["start", "d.json"]) == 1
    told = capsys.readouterr().err
    assert said in told and told.endswith(f"hint:  {darkroom()} validate d.json\n")
    assert local_client(str(tmp_path / "home")).sagemaker.list_pipelines()["PipelineSummaries"] == []


def test_a_folder_that_cannot_be_written_is_one_clear_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("DARKROOM_HOME", str(tmp_path / "file" / "home"))
    assert main(["approve", "1"]) == 1
    assert re.search(r"error: .*/file.*\nhint:  .*DARKROOM_HOME", capsys.readouterr().err)


# stdout is data


@pytest.mark.parametrize("command", ["executions", "models", "endpoints"])
def test_an_empty_listing_is_an_empty_list(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([command, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == []


@pytest.mark.parametrize("command", ["executions", "models", "endpoints"])
def test_who_only_looks_leaves_nothing_behind(command: str, state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([command]) == 0
    assert capsys.readouterr().err == f"nothing has been executed yet; {darkroom()} run\n"
    assert not state.exists()


@pytest.mark.parametrize(
    "arguments",
    [
        *(["show"], ["show", "--json"], ["show", ARN], ["logs", "last", "A"], ["stop"], ["resume"]),
        *(["approve", "1"], ["reject", "1", "--reason", "x"]),
        *(["deploy"], ["deploy", "2"], ["predict", "a.png"], ["undeploy", "e"]),
    ],
)
def test_what_never_ran_is_neither_shown_nor_made(
    arguments: list[str], state: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 1
    assert capsys.readouterr().err.startswith("error: nothing has been executed yet\n")
    assert not state.exists()


def test_looking_leaves_an_empty_home_empty(state: Path) -> None:
    state.mkdir()
    assert main(["models"]) == 0
    assert main(["deploy"]) == 1
    assert not list(state.iterdir())


def test_a_hint_that_is_a_command_is_spelt_for_this_shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = Path(sys.executable).parent / "darkroom"
    assert script.exists()
    monkeypatch.setenv("PATH", str(tmp_path))
    assert spelled("darkroom run, or darkroom start d.json") == f"{script} run, or {script} start d.json"
    assert spelled("run darkroom in the folder") == "run darkroom in the folder"
    monkeypatch.chdir(script.parent.parent)
    assert spelled("darkroom run") == os.path.join("bin", "darkroom") + " run"
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{script.parent}")
    assert spelled("darkroom run") == "darkroom run"
    (tmp_path / "darkroom").write_text("another program of that name")
    (tmp_path / "darkroom").chmod(0o755)
    assert spelled("darkroom run") == os.path.join("bin", "darkroom") + " run"


def test_the_schema_of_the_configuration_is_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "--schema"]) == 0
    assert "pipeline" in json.loads(capsys.readouterr().out)["properties"]


def test_findings_are_data_and_their_count_is_not(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = definition(tmp_path)
    path.write_text(path.read_text().replace('"InstanceCount": 1', '"InstanceCount": 0'))
    assert main(["validate", str(path), "--json"]) == 1
    captured = capsys.readouterr()
    findings = json.loads(captured.out)
    assert [(each["step"], each["severity"]) for each in findings] == [("Work", "error")]
    assert captured.err == "chain.json: 1 error, 0 warnings\n"


def test_a_sound_definition_has_no_findings(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["validate", str(definition(tmp_path))]) == 0
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "chain.json: 0 errors, 0 warnings\n")


# whole executions


def test_a_started_execution_can_be_listed_shown_and_its_log_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["start", str(definition(tmp_path)), "--wait", "--set", "Epochs=3", *IMAGE]) == 0
    started = capsys.readouterr()
    arn = started.out.strip()
    said, _, following = started.err.partition("next: ")
    # a step that ends between two looks is never seen running
    assert re.fullmatch(r"(Work: started\n)?Work: succeeded after \S+ m?s\n", said)
    assert following == f"{darkroom()} show {arn.rpartition('/')[2]}\n"
    main(["executions", "--json"])
    listed = json.loads(capsys.readouterr().out)
    assert [(row["PipelineExecutionArn"], row["PipelineExecutionStatus"]) for row in listed] == [(arn, "Succeeded")]
    main(["show", "--json"])
    shown = json.loads(capsys.readouterr().out)
    assert [(step["StepName"], step["StepStatus"]) for step in shown["Steps"]] == [("Work", "Succeeded")]
    assert shown["PipelineParameters"] == {"Epochs": "3"}
    main(["show", arn.rpartition("/")[2][:6]])
    assert "set        Epochs=3" in capsys.readouterr().out
    main(["logs", "last", "work"])
    assert capsys.readouterr().out == "hello\n"
    main(["logs", "last", "Work", "--json"])
    assert json.loads(capsys.readouterr().out)[0]["Lines"] == ["hello"]


def test_what_show_prints_for_programs_is_one_object_with_lists_newest_first(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    container = {"Image": "111122223333.dkr.ecr.us-east-1.amazonaws.com/serve:1"}
    specification = {"Containers": [container], "SupportedContentTypes": ["a/b"], "SupportedResponseMIMETypes": ["a/b"]}
    package = {"ModelPackageGroupName": "digits", "InferenceSpecification": specification}
    steps = [
        {"Name": "First", "Type": "RegisterModel", "Arguments": package},
        {"Name": "Second", "Type": "RegisterModel", "Arguments": package, "DependsOn": ["First"]},
    ]
    path = tmp_path / "two.json"
    path.write_text(json.dumps({"Version": "2020-12-01", "Steps": steps}))
    assert main(["start", str(path), "--wait"]) == 0
    capsys.readouterr()
    main(["show", "--json"])
    shown = json.loads(capsys.readouterr().out)
    assert (shown["PipelineExecutionStatus"], shown["Accuracy"]) == ("Succeeded", None)
    assert [step["StepName"] for step in shown["Steps"]] == ["Second", "First"]
    assert [step["StepType"] for step in shown["Steps"]] == ["RegisterModel", "RegisterModel"]
    packages = [(each["ModelPackageVersion"], each["ModelApprovalStatus"]) for each in shown["ModelPackages"]]
    assert packages == [(2, "PendingManualApproval"), (1, "PendingManualApproval")]


FAILING = "import sys\nfor n in range(30): print('line', n)\nsys.exit(7)"


def test_a_failed_step_is_explained(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["start", str(definition(tmp_path, FAILING)), "--wait", *IMAGE]) == 1
    captured = capsys.readouterr()
    identifier = captured.out.strip().rpartition("/")[2]
    log = tmp_path / "home" / "logs" / identifier / "Work.log"
    assert "chain failed at Work" in captured.err
    assert re.search(r"exit code +7\n", captured.err)
    assert os.path.relpath(log) in captured.err
    assert "line 29" in captured.err
    assert "line 9\n" not in captured.err
    assert f"resume {identifier}" in captured.err
    assert f"  {darkroom()} start {tmp_path}/chain.json --wait --image " in captured.err


def _shown(capsys: pytest.CaptureFixture[str], command: list[str]) -> str:
    capsys.readouterr()
    assert main(command) == 0
    return capsys.readouterr().out


def test_resume_goes_on_where_it_failed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    marker = tmp_path / "mended"
    program = f"import os, sys\nsys.exit(0 if os.path.exists({str(marker)!r}) else 3)"
    assert main(["start", str(definition(tmp_path, program)), "--wait", *IMAGE]) == 1
    marker.write_text("")
    assert main(["resume"]) == 0
    assert "Work: succeeded" in capsys.readouterr().err
    assert main(["resume"]) == 0  # repeated, as after an answer that was lost: there is nothing left to do
    assert json.loads(_shown(capsys, ["executions", "--json"]))[0]["PipelineExecutionStatus"] == "Succeeded"


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_ctrl_c_and_a_cancelled_ci_job_stop_the_execution(
    tmp_path: Path, number: signal.Signals, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    pid_file = tmp_path / "pid"
    program = f"import os, time\nopen({str(pid_file)!r}, 'w').write(str(os.getpid()))\ntime.sleep(60)"
    command = [sys.executable, "-m", "pipeline", "start", str(definition(tmp_path, program)), "--wait", *IMAGE]
    process = subprocess.Popen(
        command,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
        text=True,
        # a shell starts what it puts into the background with SIGINT ignored, and tests may run there
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    until(lambda: pid_file.exists() and pid_file.stat().st_size > 0)
    process.send_signal(number)
    _, said = process.communicate(timeout=30)
    assert process.returncode == code
    assert "is Stopped; go on with" in said
    main(["executions", "--json"])
    assert json.loads(capsys.readouterr().out)[0]["PipelineExecutionStatus"] == "Stopped"
    assert naming(str(tmp_path)) == []


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.mark.slow
def test_output_that_nobody_reads_ends_quietly(tmp_path: Path) -> None:
    path = definition(tmp_path, "print('x' * 100_000)")
    assert main(["start", str(path), "--wait", *IMAGE]) == 0
    command = f"{sys.executable} -m pipeline logs last Work | head -c 10"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(["bash", "-c", command], env=environment, capture_output=True, text=True, check=False)
    assert done.stdout == "x" * 10
    assert "Traceback" not in done.stderr
    assert "BrokenPipe" not in done.stderr


# where state lives


def test_state_lies_beside_the_nearest_pipeline_yaml(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DARKROOM_HOME")
    project = tmp_path / "project"
    (project / "examples").mkdir(parents=True)
    (project / "pipeline.yaml").write_text("")
    assert home(str(project / "examples" / "other.yaml")) == str(project / ".darkroom")
    monkeypatch.chdir(project / "examples")
    assert home() == str(project / ".darkroom")


# one plain line per event


def view(capsys: pytest.CaptureFixture[str], *looks: dict[str, Any], tuning: dict[str, Any] | None = None) -> list[str]:
    service = SimpleNamespace(describe_hyper_parameter_tuning_job=lambda HyperParameterTuningJobName: tuning)
    plain = PlainView(Clients(service, service, None, ""))
    for look in looks:
        plain({}, [look])
    return capsys.readouterr().err.splitlines()


def step(status: str, **more: Any) -> dict[str, Any]:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    end = {} if status == "Executing" else {"EndTime": start.replace(second=5)}
    return {"StepName": "S", "StepType": "Processing", "StepStatus": status, "StartTime": start, **end, **more}


def test_each_change_of_a_step_is_said_once(capsys: pytest.CaptureFixture[str]) -> None:
    lines = view(capsys, step("Executing"), step("Executing"), step("Succeeded"), step("Succeeded"))
    assert lines == ["S: started", "S: succeeded after 5.0 s"]


def test_a_further_attempt_and_a_cache_hit_are_said(capsys: pytest.CaptureFixture[str]) -> None:
    looks = (step("Executing", AttemptCount=1), step("Executing", AttemptCount=2), step("Failed", AttemptCount=2))
    assert view(capsys, *looks) == ["S: started", "S: executing (attempt 2)", "S: failed after 5.0 s"]
    assert view(capsys, step("Succeeded", CacheHitResult={})) == ["S: cache hit"]


def test_trials_of_a_running_tuning_are_said(capsys: pytest.CaptureFixture[str]) -> None:
    job = {
        "HyperParameterTuningJobConfig": {"ResourceLimits": {"MaxNumberOfTrainingJobs": 4}},
        "TrainingJobStatusCounters": {"Completed": 1},
    }
    metadata = {"TuningJob": {"Arn": "arn:aws:sagemaker:us-east-1:111122223333:hyper-parameter-tuning-job/t"}}
    running_step = step("Executing", StepType="Tuning", Metadata=metadata)
    assert view(capsys, running_step, running_step, tuning=job) == ["S: started", "S: 1/4 trials"]
