"""The whole pipeline as a person uses it: run, again, edited, gated, approved, deployed, asked, undeployed."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from compilations import remembered
from process_list import naming

from pipeline.config import Config

ROOT = Path(__file__).parent.parent
# as shipped, but with what trains in seconds: this is about the steps, `make run` is about the accuracy
SMALL = """
dataset: {image_size: 16}
model: {file: nets/small.py}
training: {hyperparameters: {epochs: 3, batch_size: 32}}
tuning: {max_jobs: 2, epochs: 1, ranges: {lr: {min: 0.1, max: 0.2, scaling: Logarithmic}}}
evaluation: {accuracy_threshold: 0.3}
"""
# learns nothing, and lets anything pass that is no worse than the champion
WORSE = """
dataset: {image_size: 16}
model: {file: nets/small.py}
training: {hyperparameters: {epochs: 1, lr: 1.0e-7}}
tuning: {enabled: false}
evaluation: {accuracy_threshold: 0, not_worse_than_champion: true}
"""
JOBS = ("PrepareData", "TuneModel", "TrainModel", "EvaluateModel")

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A project of its own, run once."""
    folder = tmp_path_factory.mktemp("project")
    shutil.copytree(ROOT / "entrypoints", folder / "entrypoints", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "examples/own_network/nets", folder / "nets")
    (folder / "pipeline.yaml").write_text(SMALL)
    done = darkroom(folder, "run")
    assert done.returncode == 0, done.stderr
    return folder


def darkroom(folder, *words, **variables):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "2", **variables}
    command = [sys.executable, "-m", "pipeline", *words]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def answer(folder, *words):
    done = darkroom(folder, *words)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def steps(folder, execution="last"):
    return {step["StepName"]: step for step in answer(folder, "show", execution, "--json")["Steps"]}


def missed(folder):
    ran = steps(folder)
    return [name for name in JOBS if "CacheHitResult" not in ran[name]]


def first_execution(folder):
    return answer(folder, "executions", "--json")[-1]["PipelineExecutionArn"]


def test_it_runs_without_namespaces_too(tmp_path):
    """As on macOS: nothing is at /opt/ml, every program has to be told where its folders are."""
    shutil.copytree(ROOT / "examples/own_network/nets", tmp_path / "nets")
    (tmp_path / "pipeline.yaml").write_text(
        SMALL.replace("epochs: 3", "epochs: 2").replace("tuning: {", "tuning: {enabled: false, ")
    )
    remembered(tmp_path / "pipeline.yaml", tmp_path / ".darkroom")
    before = os.path.exists("/opt/ml")
    done = darkroom(tmp_path, "run", "--set", "AccuracyThreshold=0.05", DARKROOM_ISOLATION="rewrite")
    assert done.returncode == 0, done.stderr
    assert {step["StepStatus"] for step in steps(tmp_path).values()} == {"Succeeded"}
    assert os.path.exists("/opt/ml") == before


@pytest.fixture(scope="module")
def shown(project):
    """Its first execution."""
    return answer(project, "show", first_execution(project), "--json")


def test_a_run_ends_with_a_model_that_waits_for_approval(shown):
    assert {step["StepStatus"] for step in shown["Steps"]} == {"Succeeded"}
    others = {"FindChampion", "CheckAccuracy", "RegisterModel", "DeployModel"}
    assert {step["StepName"] for step in shown["Steps"]} == {*JOBS, *others}
    assert shown["Accuracy"] > 0.3
    assert [package["ModelApprovalStatus"] for package in shown["ModelPackages"]] == ["PendingManualApproval"]
    assert shown["Darkroom"]["Parity"]


def test_the_rules_of_the_configuration_judged_the_model(project, shown):
    judged = shown["Health"]
    assert {rule["RuleConfigurationName"] for rule in judged["Rules"]} == set(Config().health.rules)
    assert judged["NotKnown"] is None
    assert f"health     {judged['Summary']}\n" in darkroom(project, "show", shown["PipelineExecutionArn"]).stdout


def test_the_report_stands_by_itself(project, shown):
    execution = shown["PipelineExecutionArn"].rpartition("/")[2]
    page = (project / ".darkroom" / "executions" / execution / "report.html").read_text()
    for part in (*JOBS, "AccuracyTooLow", "Content-Security-Policy", "Training health", "Profile of a training job"):
        assert part in page
    assert 'src="http' not in page
    assert 'href="http' not in page


def test_the_package_names_the_page_of_its_model(project, shown):
    (package,) = shown["ModelPackages"]
    address = package["CustomerMetadataProperties"]["page"]
    page = project / ".darkroom" / "s3" / address.removeprefix("s3://")
    assert f"{100 * shown['Accuracy']:.2f} %" in page.read_text()


def test_nothing_is_left_running_after_a_run(project):
    assert naming(str(project)) == []


def test_a_second_run_takes_every_job_from_the_cache_and_registers_again(project):
    before = len(answer(project, "models", "--json"))
    assert darkroom(project, "run").returncode == 0
    assert missed(project) == []
    assert len(answer(project, "models", "--json")) == before + 1


def test_a_gate_that_is_not_met_names_both_values(project, shown):
    done = darkroom(project, "run", "--set", "AccuracyThreshold=0.9999")
    assert done.returncode == 1
    ran = steps(project)
    reason = ran["AccuracyTooLow"]["FailureReason"]
    assert str(shown["Accuracy"]) in reason
    assert "0.9999" in reason
    assert "RegisterModel" not in ran


def test_an_edited_program_runs_again_and_only_what_lies_below_it(project):
    path = project / "entrypoints" / "evaluate.py"
    path.write_text(path.read_text() + "\n# edited\n")
    remembered(project / "pipeline.yaml", project / ".darkroom")
    assert darkroom(project, "run").returncode == 0
    assert missed(project) == ["EvaluateModel"]
    assert any("code" in miss or "S3Uri" in miss for miss in steps(project)["EvaluateModel"]["Darkroom"]["CacheMiss"])


def test_an_approved_model_is_deployed_asked_and_taken_down(project):
    assert darkroom(project, "deploy", "1").returncode == 1  # not approved yet
    assert darkroom(project, "approve", "1").returncode == 0
    assert darkroom(project, "deploy", "1").returncode == 0
    image = next(iter(sorted(project.glob(".darkroom/s3/*/*/runs/*/PrepareData/report/samples/*.png"))))
    try:
        predicted = answer(project, "predict", str(image), "--json")
        assert predicted[0]["class"] in "0123456789"
    finally:
        assert darkroom(project, "undeploy", "darkroom-digits-production", "--yes").returncode == 0
    deadline = time.monotonic() + 10
    while naming(str(project)):
        assert time.monotonic() < deadline, naming(str(project))
        time.sleep(0.05)


def test_a_model_worse_than_the_approved_one_is_refused_unless_that_is_allowed(project):
    assert darkroom(project, "approve", "1").returncode == 0
    (project / "pipeline.yaml").write_text(WORSE)
    remembered(project / "pipeline.yaml", project / ".darkroom")
    assert darkroom(project, "run").returncode == 1
    reason = steps(project)["AccuracyTooLow"]["FailureReason"]
    behind = float(re.search(r"lies ([0-9.]+) below the champion's \(ChampionMargin: at most 0(?:\.0)?;", reason)[1])
    assert 0.1 < behind < 1
    page = (project / ".darkroom/executions" / last_execution(project) / "report.html").read_text()
    assert f"{-100 * behind:+.2f} points against version 1" in page

    assert darkroom(project, "run", "--set", "ChampionMargin=0.99").returncode == 0
    ran = steps(project)
    assert all("CacheHitResult" in ran[name] for name in ("TrainModel", "EvaluateModel"))
    assert "RegisterModel" in ran
    assert f"champion   version 1: {-behind:+.4f}, worse\n" in darkroom(project, "show").stdout


def last_execution(folder):
    return answer(folder, "executions", "--json")[0]["PipelineExecutionArn"].rpartition("/")[2]
