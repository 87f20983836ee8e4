"""Which steps a selective execution runs; bounds of parameters; the commit that code stands at."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from pipeline import commit
from pipeline.client import local_client
from pipeline.control import bounds, code, selection
from pipeline.definition import Definition
from pipeline.errors import ConfigError, DarkroomError, ServiceError


def step(name: str, *after: str, **members: Any) -> dict[str, Any]:
    references = [{"Get": f"Steps.{other}.ProcessingJobName"} for other in after]
    arguments = {"AppSpecification": {"ImageUri": "i", "ContainerArguments": references}}
    return {"Name": name, "Type": "Processing", "Arguments": arguments, **members}


def definition(*steps: dict[str, Any]) -> Definition:
    return Definition({"Version": "2020-12-01", "Steps": list(steps)})


BRANCHED = definition(
    step("A"),
    step("B", "A"),
    step("C", DependsOn=["B"]),
    step("Beside", "A"),
    {
        "Name": "If",
        "Type": "Condition",
        "DependsOn": ["C"],
        "Arguments": {"IfSteps": [step("Yes", "A")], "ElseSteps": []},
    },
)


def test_from_a_step_runs_all_that_waits_for_it_also_within_branches() -> None:
    assert selection.onwards(BRANCHED, "B") == ["B", "C", "If", "Yes"]
    assert selection.onwards(BRANCHED, "A") == ["A", "B", "C", "Beside", "If", "Yes"]
    assert selection.onwards(BRANCHED, "Yes") == ["Yes"]


def test_only_takes_steps_in_the_definitions_order() -> None:
    assert selection.only(BRANCHED, ["C", "Beside", "B"]) == ["B", "C", "Beside"]


@pytest.mark.parametrize(
    ("names", "missing"), [(["A", "C"], "B lies"), (["B", "If"], "C lies"), (["A", "If"], "B, C lies")]
)
def test_a_step_between_two_selected_ones_may_not_be_left_out(names: list[str], missing: str) -> None:
    with pytest.raises(DarkroomError, match=missing):
        selection.only(BRANCHED, names)


def test_more_steps_than_the_service_takes_are_refused() -> None:
    with pytest.raises(DarkroomError, match="51 steps are selected"):
        selection.onwards(definition(step("S0"), *(step(f"S{n}", "S0") for n in range(1, 51))), "S0")


def test_what_only_waits_needs_no_earlier_execution(tmp_path: Path) -> None:
    clients = local_client(str(tmp_path))
    assert selection.source(clients, "p", BRANCHED, ["C"]) == ""
    clients.sagemaker.create_pipeline(PipelineName="p", PipelineDefinition=json.dumps(BRANCHED.document), RoleArn="r")
    with pytest.raises(DarkroomError, match="what the selected steps need: A"):
        selection.source(clients, "p", BRANCHED, ["B", "C"])


def test_the_local_service_takes_no_source_of_another_pipeline(tmp_path: Path) -> None:
    sagemaker = local_client(str(tmp_path)).sagemaker
    empty = json.dumps({"Version": "2020-12-01", "Steps": []})
    sagemaker.create_pipeline(PipelineName="other", PipelineDefinition=empty, RoleArn="r")
    sagemaker.create_pipeline(PipelineName="p", PipelineDefinition=json.dumps(BRANCHED.document), RoleArn="r")
    source = sagemaker.start_pipeline_execution(PipelineName="other")["PipelineExecutionArn"]
    config = {"SelectedSteps": [{"StepName": "B"}], "SourcePipelineExecutionArn": source}
    with pytest.raises(ServiceError, match="of pipeline 'other'"):
        sagemaker.start_pipeline_execution(PipelineName="p", SelectiveExecutionConfig=config)


# code


def test_a_folder_of_code_is_listed_once_and_only_what_is_missing_is_sent(tmp_path: Path) -> None:
    clients = local_client(str(tmp_path / "home"))
    names = [f"s3://b/p/code/prepare-1/{name}" for name in ("a.py", "deep/b.py")] + ["s3://b/p/no-champion.txt"]
    (tmp_path / "file").write_text("x")
    assets = [(name, str(tmp_path / "file")) for name in names]
    clients.storage.put_file(*assets[1])
    assert code.put(clients, assets) == 2
    assert code.put(clients, assets) == 0
    assert code.place(names) == "s3://b/p/"
    assert code.place(names[2:]) == ""


def test_planned_code_of_another_content_is_not_sent(tmp_path: Path) -> None:
    clients = local_client(str(tmp_path / "home"))
    (tmp_path / "file").write_text("x")
    planned = [("s3://b/p/code/x-1/a.py", "0" * 64)]
    with pytest.raises(DarkroomError, match="neither in S3 nor here: s3://b/p/code/x-1/a.py"):
        code.put_planned(clients, planned, {planned[0][0]: str(tmp_path / "file")})
    assert list(clients.storage.list("s3://b/")) == []


# bounds


def test_a_value_is_checked_where_the_definition_uses_it(tmp_path: Path) -> None:
    used = step("A")
    used["Arguments"]["ProcessingResources"] = {
        "ClusterConfig": {
            "InstanceCount": {"Get": "Parameters.Hosts"},
            "InstanceType": "ml.m5.large",
            "VolumeSizeInGB": 1,
        }
    }
    used["Arguments"]["RoleArn"] = "arn:aws:iam::123456789012:role/x"
    document = {"Version": "2020-12-01", "Metadata": {}, "Steps": [used]}
    text = json.dumps({**document, "Parameters": [{"Name": "Hosts", "Type": "Integer", "DefaultValue": 1}]})
    bounds.check(text, {"Hosts": "2"}, str(tmp_path))
    bounds.check(text, {}, str(tmp_path))
    with pytest.raises(ConfigError, match="InstanceCount"):
        bounds.check(text, {"Hosts": "0"}, str(tmp_path))


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("TrainingEpochs", "0", "a training of 0 epochs"),
        ("TuningEpochs", "-1", "a training of -1 epochs"),
        ("TrainingInstanceCount", "0", "a job of 0 instances"),
        ("MaxParallelTuningJobs", "9", "9 jobs beside each other, 4 in all"),
        ("MaxTuningJobs", "0", "below the minimum of 1"),
        ("AccuracyThreshold", "95", "a share from 0 to 1"),
    ],
)
def test_what_the_shipped_pipeline_cannot_take_of_its_parameters_is_refused(
    tmp_path: Path, name: str, value: str, said: str
) -> None:
    text = (Path(__file__).parent / "data/golden/shipped.json").read_text(encoding="utf-8")
    with pytest.raises(ConfigError, match=said):
        bounds.check(text, {name: value}, str(tmp_path))


# commit


def git(folder: Path, *words: str) -> str:
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    return subprocess.run(["git", *identity, *words], cwd=folder, check=True, capture_output=True, text=True).stdout


def test_the_commit_tells_whether_files_were_changed_since(tmp_path: Path) -> None:
    assert commit.of(str(tmp_path)) == ""
    git(tmp_path, "init", "-q")
    assert commit.of(str(tmp_path)) == ""
    (tmp_path / "file").write_text("x")
    git(tmp_path, "add", "file")
    git(tmp_path, "commit", "-q", "-m", "Begin")
    head = git(tmp_path, "rev-parse", "HEAD").strip()
    (tmp_path / "untracked").write_text("x")
    assert commit.of(str(tmp_path)) == head
    (tmp_path / "file").write_text("y")
    assert commit.of(str(tmp_path)) == f"{head}+changes"


@pytest.mark.parametrize("known", ["a" * 40, "b" * 64, "c" * 40 + commit.CHANGED, ""])
def test_the_commit_of_a_run_is_read_back_from_its_execution(known: str) -> None:
    assert commit.told_by({"PipelineExecutionArn": "arn", **commit.described(known)}) == known


@pytest.mark.parametrize("text", ["git commit", "git commit main", "git commit " + "a" * 41, "a" * 40])
def test_descriptions_of_somebody_else_tell_no_commit(text: str) -> None:
    assert commit.told_by({commit.DESCRIPTION: text}) == ""
