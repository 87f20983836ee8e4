"""Training steps with Debugger's members, as a foreign definition has them: through the service, asked by boto3."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pictures
import pytest
from local_jobs import BOTH, ROOT, put_archive
from local_pipelines import BUCKET, CODE, IMAGE, ROLE, Local, document, processing
from over_http import client
from test_jobs_debugger import ERROR, FINE, FOUND, JUDGE, SAVE, rule
from test_jobs_training import channel

from pipeline.client import local_client
from pipeline.control import executions, health
from pipeline.local.server import serve
from pipeline.local.service import LocalSageMaker
from pipeline.local.storage import Storage
from pipeline.source import archive, program_files

ENTRYPOINTS = ROOT / "entrypoints"

RULES = [rule("Overfit"), rule("DeadRelu", FOUND)]


def training(**members: Any) -> dict[str, Any]:
    request = {
        "AlgorithmSpecification": {"TrainingImage": IMAGE, "TrainingInputMode": "File"},
        "HyperParameters": {
            "sagemaker_program": "train.py",
            "sagemaker_submit_directory": f"{CODE}sourcedir.tar.gz",
        },
        "RoleArn": ROLE,
        "OutputDataConfig": {"S3OutputPath": f"{BUCKET}/out"},
        "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1},
        "StoppingCondition": {"MaxRuntimeInSeconds": 600},
        "DebugHookConfig": {"S3OutputPath": f"{BUCKET}/tensors", "HookParameters": {"save_interval": "5"}},
        "DebugRuleConfigurations": RULES,
        "ProfilerConfig": {"S3OutputPath": f"{BUCKET}/profile"},
        "ProfilerRuleConfigurations": [rule("ProfilerReport")],
    }
    return {"Name": "Train", "Type": "Training", "Arguments": request, **members}


@contextmanager
def boto3_at(home: str) -> Iterator[Any]:
    running = serve(home)
    yield client(running, "sagemaker")
    running.shutdown()
    running.server_close()


def local(home: Path, judge: str = JUDGE) -> Local:
    found = Local(home)
    put_archive(home, f"{CODE}sourcedir.tar.gz", {"train.py": SAVE, "health/debugger/evaluate.py": judge})
    return found


def job_of(found: Local, arn: str) -> str:
    return str(found.steps(arn)["Train"]["Metadata"]["TrainingJob"]["Arn"]).rpartition("/")[2]


def words(job: dict[str, Any]) -> dict[str, str]:
    rows = job["DebugRuleEvaluationStatuses"]
    return {row["RuleConfigurationName"]: row["RuleEvaluationStatus"] for row in rows}


@pytest.mark.parametrize("kind", BOTH)
def test_boto3_reads_the_statuses_and_a_later_step_refers_to_them(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DARKROOM_ISOLATION", kind)
    found, told = local(tmp_path / "home"), tmp_path / "told"
    status = {"Get": "Steps.Train.DebugRuleEvaluationStatuses[1].RuleEvaluationStatus"}
    after = processing("Tell", "write", str(told), status)
    ended = found.run(document(training(), after))
    assert ended["PipelineExecutionStatus"] == "Succeeded" and told.read_text() == FOUND
    arn = ended["PipelineExecutionArn"]
    with boto3_at(found.home) as sagemaker:
        job = sagemaker.describe_training_job(TrainingJobName=job_of(found, arn))
        [listed] = sagemaker.list_training_jobs()["TrainingJobSummaries"]
    assert words(job) == {"Overfit": FINE, "DeadRelu": FOUND}
    assert job["DebugRuleEvaluationStatuses"][0]["LastModifiedTime"] >= job["TrainingEndTime"]
    assert (job["DebugHookConfig"]["S3OutputPath"], job["DebugRuleConfigurations"]) == (f"{BUCKET}/tensors", RULES)
    [profiler] = job["ProfilerRuleEvaluationStatuses"]
    assert (profiler["RuleEvaluationStatus"], job["ProfilingStatus"]) == ("Error", "Disabled")
    assert listed["TrainingJobName"] == job["TrainingJobName"]
    parity = {row["Subject"]: row["How"] for row in ended["Darkroom"]["Parity"]}
    assert "judged when the job has ended" in parity["DebugRuleConfigurations"]
    assert "profiler is not on this machine" in parity["ProfilerRuleConfigurations"]


def test_a_cached_step_has_the_statuses_of_the_job_that_ran(tmp_path: Path) -> None:
    found = local(tmp_path / "home")
    cached = {"CacheConfig": {"Enabled": True, "ExpireAfter": "P1D"}}
    first, second = (found.run(document(training(**cached)))["PipelineExecutionArn"] for _ in range(2))
    assert "CacheHitResult" in found.steps(second)["Train"]
    assert job_of(found, first) == job_of(found, second)
    assert words(found.client.describe_training_job(TrainingJobName=job_of(found, second)))["DeadRelu"] == FOUND
    changed = training(**cached)
    changed["Arguments"]["DebugHookConfig"] = {"S3OutputPath": f"{BUCKET}/other"}
    third = found.run(document(changed))["PipelineExecutionArn"]
    assert "CacheHitResult" not in found.steps(third)["Train"]


def test_a_killed_runner_leaves_rules_stopped_and_its_resume_judges_them(tmp_path: Path) -> None:
    begun = tmp_path / "begun"
    judge = f"import os, time\nif not os.path.exists({str(begun)!r}):\n    open({str(begun)!r}, 'w').close()\n"
    found = local(tmp_path / "home", f"{judge}    time.sleep(60)\n{JUDGE}")
    arn = found.start(document(training()))
    deadline = time.monotonic() + 30
    while not begun.exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    killed = job_of(found, arn)
    assert set(words(found.client.describe_training_job(TrainingJobName=killed)).values()) == {"InProgress"}
    [[runner]] = found.client.store.query("SELECT runner FROM executions WHERE arn=?", arn)
    os.kill(json.loads(runner)["pid"], signal.SIGKILL)
    assert found.wait(arn)["PipelineExecutionStatus"] == "Failed"
    job = found.client.describe_training_job(TrainingJobName=killed)
    assert set(words(job).values()) == {"Stopped"}
    assert "killed" in job["DebugRuleEvaluationStatuses"][0]["StatusDetails"]
    LocalSageMaker(found.home).retry_pipeline_execution(PipelineExecutionArn=arn)
    assert found.wait(arn)["PipelineExecutionStatus"] == "Succeeded"
    again = found.client.describe_training_job(TrainingJobName=job_of(found, arn))
    assert words(again) == {"Overfit": FINE, "DeadRelu": FOUND}


def shipped_training(home: Path) -> dict[str, Any]:
    """TrainModel of a pipeline.yaml with health.managed, but on few pictures, for two epochs."""
    files = program_files(ENTRYPOINTS, "train.py")
    storage = Storage(str(home))
    storage.put_bytes(f"{CODE}sourcedir.tar.gz", archive(files))
    splits = pictures.colours(home / "splits", {"train": 10, "validation": 3})
    for split in ("train", "validation"):
        storage.upload(str(splits / split), f"{BUCKET}/{split}/")
    compiled = json.loads((ROOT / "tests/data/golden/managed.json").read_text())
    [step] = [each for each in compiled["Steps"] if each["Name"] == "TrainModel"]
    request = step["Arguments"]
    small = {
        "model": "shufflenet_v2_x0_5",
        "epochs": "2",
        "batch_size": "6",
        "precision": "float32",
        "profile": "False",
    }
    request["HyperParameters"] |= {**small, "sagemaker_submit_directory": f"{CODE}sourcedir.tar.gz"}
    request["InputDataConfig"] = [channel(name, f"{BUCKET}/{name}/") for name in ("train", "validation")]
    request["Environment"] = {"OMP_NUM_THREADS": "1"}  # tests run several at once
    request["ResourceConfig"] = {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1}
    kept = {name: request[name] for name in request if name not in ("CheckpointConfig", "StoppingCondition")}
    return {"Name": "Train", "Type": "Training", "Arguments": kept}


@pytest.mark.slow
def test_the_shipped_training_is_judged_by_the_rules_that_pipeline_yaml_asks_debugger_for(tmp_path: Path) -> None:
    """With smdebug itself. Managed rules and ours look at one training by the same functions: they agree."""
    found = Local(tmp_path)
    ended = found.wait(found.start(document(shipped_training(tmp_path))), 240)
    assert ended["PipelineExecutionStatus"] == "Succeeded", ended
    clients = local_client(found.home)
    told = health.in_full(health.read(clients, executions.steps(clients, ended["PipelineExecutionArn"])))
    assert told is not None
    ours = {row["RuleConfigurationName"]: row["RuleEvaluationStatus"] for row in told["Rules"]}
    managed = {row["RuleConfigurationName"]: row for row in told["DebugRuleEvaluationStatuses"]}
    assert len(managed) == 6 and managed.keys() <= ours.keys()
    for name in ("VanishingGradient", "AllZero", "PoorWeightInitialization"):
        assert managed[name]["RuleEvaluationStatus"] == ours[name] in (FINE, FOUND), managed[name]
    for name in ("SaturatedActivation", "UnchangedTensor", "LossNotDecreasing"):  # no sigmoid; weights of one step; 10
        assert managed[name]["RuleEvaluationStatus"] == ERROR, managed[name]
        assert managed[name]["StatusDetails"].startswith("Not evaluated: "), managed[name]
    assert "managed: " in told["Summary"]
    assert [row["RuleEvaluationStatus"] for row in told["ProfilerRuleEvaluationStatuses"]] == [ERROR, ERROR]
