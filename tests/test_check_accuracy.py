"""FindChampion, the cache and the gate of a compiled definition, run here with a program that only writes numbers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from local_pipelines import IMAGE, Local, processing

from pipeline.local.functions import register_function

ROOT = Path(__file__).parent.parent
GROUP = "darkroom-digits"
MARKER = f"s3://darkroom-111122223333-us-east-1/{GROUP}/champion/none/no-approved-model"
FILE = "/opt/ml/processing/output/evaluation/evaluation.json"


def gated(accuracy: float, behind: float) -> dict[str, Any]:
    """The golden definition with a gate, of which EvaluateModel keeps what concerns the champion."""
    document: dict[str, Any] = json.loads((ROOT / "tests/data/golden/transfer.json").read_text(encoding="utf-8"))
    found = {step["Name"]: step for step in document["Steps"]}
    body = {
        "multiclass_classification_metrics": {"accuracy": {"value": accuracy}},
        "darkroom": {"behind_champion": behind},
    }
    evaluation = found["EvaluateModel"]
    own = evaluation["Arguments"]
    words = own["AppSpecification"]["ContainerArguments"]
    package = words[words.index("--champion-package") + 1]
    fake = processing("EvaluateModel", "say", package, "write", FILE, json.dumps(body), outputs=["evaluation"])
    champion = [each for each in own["ProcessingInputs"] if each["InputName"] == "champion"]
    fake["Arguments"]["ProcessingInputs"] += champion
    evaluation["Arguments"] = fake["Arguments"]
    check = found["CheckAccuracy"]
    check["Arguments"]["IfSteps"] = []
    return {**document, "Steps": [found["FindChampion"], evaluation, check]}


@pytest.fixture
def local(tmp_path: Path) -> Local:
    local = Local(tmp_path)
    arn = "arn:aws:lambda:us-east-1:111122223333:function:darkroom-champion"
    register_function(local.client.store, arn, str(ROOT / "entrypoints/lambda_champion.py"), "lambda_champion.handler")
    local.client.storage.put_bytes(MARKER, b"nobody")
    return local


def approve(local: Local, name: str) -> str:
    if not local.client.list_model_package_groups()["ModelPackageGroupSummaryList"]:
        local.client.create_model_package_group(ModelPackageGroupName=GROUP)
    address = f"s3://test-bucket/{name}/model.tar.gz"
    local.client.storage.put_bytes(address, name.encode())
    specification = {
        "Containers": [{"Image": IMAGE, "ModelDataUrl": address}],
        "SupportedContentTypes": ["image/png"],
        "SupportedResponseMIMETypes": ["application/json"],
    }
    package = local.client.create_model_package(
        ModelPackageGroupName=GROUP, ModelApprovalStatus="Approved", InferenceSpecification=specification
    )
    return str(package["ModelPackageArn"])


def test_the_evaluation_runs_anew_exactly_when_another_champion_is_approved(local: Local) -> None:
    definition = gated(0.99, 0.0)

    def evaluated() -> tuple[bool, str]:
        """Whether it ran, and which package it was told."""
        steps = local.steps(local.run(definition)["PipelineExecutionArn"])
        found = {
            each["Name"]: each["Value"] for each in steps["FindChampion"]["Metadata"]["Lambda"]["OutputParameters"]
        }
        return "CacheHitResult" not in steps["EvaluateModel"], found["model_package_arn"]

    assert [evaluated(), evaluated()] == [(True, "none"), (False, "none")]
    first = approve(local, "first")
    assert [evaluated(), evaluated()] == [(True, first), (False, first)]
    local.client.update_model_package(ModelPackageArn=approve(local, "bad"), ModelApprovalStatus="Rejected")
    assert evaluated() == (False, first)


@pytest.mark.parametrize(
    ("accuracy", "behind", "margin", "passes"),
    [
        (0.99, 0.0, None, True),
        (0.99, -0.2, None, True),
        (0.99, 0.006, None, False),
        (0.99, 0.006, "0.01", True),
        (0.99, 1.0, "0.99", False),
        (0.5, -0.2, None, False),
    ],
)
def test_the_gate_opens_when_both_conditions_hold(
    local: Local, accuracy: float, behind: float, margin: str | None, passes: bool
) -> None:
    given = [{"Name": "ChampionMargin", "Value": margin}] if margin else []
    execution = local.run(gated(accuracy, behind), PipelineParameters=given)
    assert (execution["PipelineExecutionStatus"] == "Succeeded") == passes
    steps = local.steps(execution["PipelineExecutionArn"])
    assert ("AccuracyTooLow" in steps) != passes
    if not passes:
        reason = steps["AccuracyTooLow"]["FailureReason"]
        for part in (f"is {accuracy} (", "at least 0.95", f"lies {behind} below", f"at most {margin or 0.005}"):
            assert part in reason
