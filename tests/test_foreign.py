"""Definitions that our builder did not make, run by the local service: tests/data/foreign/README.md says how."""

import io
import json
import sys
import tarfile
from pathlib import Path

import pytest
from answers_modelled import assert_modelled
from local_pipelines import Local

from pipeline.client import Clients
from pipeline.control.executions import steps
from pipeline.local.functions import register_function
from pipeline.local.images import register_image

FOREIGN = Path(__file__).parent / "data" / "foreign"
BUCKET = "s3://foreign-111122223333"
JUDGE = "arn:aws:lambda:us-east-1:111122223333:function:judge"


@pytest.fixture
def local(tmp_path):
    made = Local(tmp_path / "home")
    storage, store = made.client.storage, made.client.store
    for program in ("noop", "split", "evaluate"):
        storage.put_file(f"{BUCKET}/code/{program}/step.py", str(FOREIGN / "code" / program / "step.py"))
    storage.put_file(f"{BUCKET}/data/numbers.txt", str(FOREIGN / "code" / "numbers.txt"))
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        archive.add(FOREIGN / "code" / "train" / "train.py", "train.py")
    storage.put_bytes(f"{BUCKET}/code/train/sourcedir.tar.gz", packed.getvalue())
    register_image(store, "*tiny-serve*", [sys.executable, str(FOREIGN / "code" / "serve" / "serve.py")])
    register_function(store, JUDGE, str(FOREIGN / "code" / "judge"), "judge.handler")
    return made


def load(name):
    return json.loads((FOREIGN / name).read_text())


def answer(local, arn, decision):
    """What somebody with the callback's token does."""
    local.wait_for_step(arn, "Ask", seconds=120)
    metadata = {}
    while "Callback" not in metadata:
        metadata = local.steps(arn)["Ask"]["Metadata"]
    local.client.send_pipeline_execution_step_success(
        CallbackToken=metadata["Callback"]["CallbackToken"],
        OutputParameters=[{"Name": "decision", "Value": decision}],
    )


def step_types(steps):
    for step in steps:
        yield step["Type"]
        if step["Type"] == "Condition":
            for branch in ("IfSteps", "ElseSteps"):
                yield from step_types(step["Arguments"].get(branch, []))


def test_everything_holds_every_step_type():
    assert set(step_types(load("everything.json")["Steps"])) == {
        *("Processing", "Training", "Tuning", "Transform", "Model", "RegisterModel", "EndpointConfig", "Endpoint"),
        *("Lambda", "Callback", "Condition", "Fail"),
    }


@pytest.mark.slow
def test_a_definition_with_every_step_type_function_and_condition_runs_to_its_end(local):
    arn = local.start(load("everything.json"))
    answer(local, arn, "accept")
    execution = local.wait(arn, 120)
    assert execution["PipelineExecutionStatus"] == "Succeeded", execution["FailureReason"]
    shown = steps(Clients(local.client, local.client, local.client.storage, local.home), arn)
    assert {row["StepType"] for row in shown} == set(step_types(load("everything.json")["Steps"])) - {"Fail"}
    assert_modelled(local.client, arn)


@pytest.mark.slow
def test_the_callback_of_that_definition_can_turn_it_down(local):
    arn = local.start(load("everything.json"))
    answer(local, arn, "reject")
    execution = local.wait(arn, 120)
    assert execution["PipelineExecutionStatus"] == "Failed"
    assert "Refused" in execution["FailureReason"]


@pytest.mark.parametrize("name", ["chain.json", "diamond.json"])
def test_the_smaller_ones_run_and_then_come_from_the_cache(local, name):
    first = local.run(load(name))
    assert first["PipelineExecutionStatus"] == "Succeeded", first
    again = local.run(load(name))
    rows = local.steps(again["PipelineExecutionArn"]).values()
    cached = [row for row in rows if {"ProcessingJob", "TrainingJob"} & set(row["Metadata"])]
    assert cached
    assert all("CacheHitResult" in row for row in cached)
