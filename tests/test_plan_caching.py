"""What plan foretells of the cache is what the local service then does, for each kind of change."""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from local_pipelines import BUCKET, CODE, PROGRAM, condition, document, fail, processing
from planned import HIT, RUNS, SKIPPED, UNKNOWN, Planned, agrees

Document = dict[str, Any]
REPORT = {"PropertyFileName": "Report", "OutputName": "report", "FilePath": "report.json"}
SCORE = {"Std:JsonGet": {"PropertyFile": {"Get": "Steps.Judge.PropertyFiles.Report"}, "Path": "score"}}
PARAMETERS = [
    {"Name": "Words", "Type": "String", "DefaultValue": "one"},
    {"Name": "Threshold", "Type": "Float", "DefaultValue": 0.5},
    {"Name": "Machine", "Type": "String", "DefaultValue": "ml.m5.large"},
]
OUT = "/opt/ml/processing/output"


def reads(name: str, local: str, uri: Any) -> dict[str, Any]:
    s3 = {"S3Uri": uri, "LocalPath": local, "S3DataType": "S3Prefix", "S3InputMode": "File"}
    return {"InputName": name, "AppManaged": False, "S3Input": s3}


def output_of(step: str, output: str) -> dict[str, str]:
    return {"Get": f"Steps.{step}.ProcessingOutputConfig.Outputs['{output}'].S3Output.S3Uri"}


def chain() -> Document:
    """Prepare → Judge → a gate with one step on each side; Alone waits for Prepare, and takes nothing from it."""
    prepare = processing("Prepare", "write", f"{OUT}/data/a.txt", "text", outputs=["data"], cache=True)
    prepare["Arguments"]["Environment"] = {"WORDS": {"Get": "Parameters.Words"}}
    prepare["Arguments"]["ProcessingResources"]["ClusterConfig"]["InstanceType"] = {"Get": "Parameters.Machine"}
    prepare["Arguments"]["ProcessingInputs"].append(reads("raw", "/opt/ml/processing/input/raw", f"{BUCKET}/raw/"))
    judge = processing(
        "Judge",
        *("write", f"{OUT}/report/report.json", '{"score": 0.7}'),
        outputs=["report"],
        cache=True,
        property_files=[REPORT],
    )
    judge["Arguments"]["ProcessingInputs"].append(
        reads("data", "/opt/ml/processing/input/data", output_of("Prepare", "data"))
    )
    alone = processing("Alone", "say", "hello", cache=True, DependsOn=["Prepare"])
    wants = {"Type": "GreaterThan", "LeftValue": SCORE, "RightValue": {"Get": "Parameters.Threshold"}}
    gate = condition("Gate", [wants], [processing("Good", "say", "good", cache=True)], [fail("Bad", "too low")])
    return document(prepare, judge, alone, gate, parameters=PARAMETERS)


def step(definition: Document, name: str) -> dict[str, Any]:
    return next(each for each in definition["Steps"] if each["Name"] == name)


@pytest.fixture
def local(tmp_path: Path) -> Planned:
    made = Planned(tmp_path / "home")
    made.client.storage.put_bytes(f"{BUCKET}/raw/a.txt", b"data")
    return made


def parameter(_: Document) -> dict[str, str]:
    return {"Words": "two"}


def threshold(_: Document) -> dict[str, str]:
    return {"Threshold": "0.9"}


def machine(_: Document) -> dict[str, str]:
    return {"Machine": "ml.m5.4xlarge"}


def program(definition: Document) -> None:
    """Another entry point: its code lies under another address."""
    for name in ("Prepare", "Alone"):
        step(definition, name)["Arguments"]["ProcessingInputs"][0]["S3Input"]["S3Uri"] = f"{BUCKET}/code2/"


def argument(definition: Document) -> None:
    step(definition, "Judge")["Arguments"]["AppSpecification"]["ContainerArguments"][2] = '{"score": 0.2}'


def added(definition: Document) -> None:
    definition["Steps"].append(processing("Extra", "say", "extra", cache=True, DependsOn=["Alone"]))


def uncached(definition: Document) -> None:
    del step(definition, "Alone")["CacheConfig"]


def outputs(definition: Document) -> None:
    step(definition, "Alone")["Arguments"]["StoppingCondition"] = {"MaxRuntimeInSeconds": 600}


def gate(definition: Document) -> None:
    step(definition, "Gate")["Arguments"]["Conditions"][0]["Type"] = "LessThan"


def longer(definition: Document) -> None:
    step(definition, "Alone")["Arguments"]["AppSpecification"]["ContainerArguments"] += ["say", "more"]


def execution_id(definition: Document) -> None:
    own = {"Get": "Execution.PipelineExecutionId"}
    step(definition, "Alone")["Arguments"]["Environment"] = {"RUN": own}


def nothing(_: Document) -> None:
    """The same again."""


ALL_HIT = {"Prepare": HIT, "Judge": HIT, "Alone": HIT, "Gate": RUNS, "Good": HIT, "Bad": SKIPPED}
BELOW_PREPARE = {**ALL_HIT, "Prepare": RUNS, "Judge": RUNS, "Gate": UNKNOWN, "Bad": RUNS}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (nothing, ALL_HIT),
        (machine, ALL_HIT),
        (outputs, ALL_HIT),
        (parameter, BELOW_PREPARE),
        (program, {**BELOW_PREPARE, "Alone": RUNS}),
        (threshold, {**ALL_HIT, "Good": SKIPPED, "Bad": RUNS}),
        (gate, {**ALL_HIT, "Good": SKIPPED, "Bad": RUNS}),
        (argument, {**ALL_HIT, "Judge": RUNS, "Gate": UNKNOWN, "Bad": RUNS}),
        (added, {**ALL_HIT, "Extra": RUNS}),
        (uncached, {**ALL_HIT, "Alone": RUNS}),
        (longer, {**ALL_HIT, "Alone": RUNS}),
        (execution_id, {**ALL_HIT, "Alone": RUNS}),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
def test_what_is_foretold_of_a_change_is_what_then_happens(
    local: Planned, change: Callable[[Document], dict[str, str] | None], expected: dict[str, str]
) -> None:
    local.client.storage.put_bytes(f"{BUCKET}/code2/step.py", PROGRAM.encode())
    local.happens(chain())
    changed = chain()
    given = change(changed) or {}

    predicted = local.predict(changed, **given)
    happened = local.happens(changed, **given)

    assert {name: found.outcome for name, found in predicted.items()} == expected
    assert agrees(predicted, happened) == []
