"""Where AWS's keys surprise, the plan says so; and what it says is what then happens."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from local_pipelines import BUCKET, document, processing
from planned import HIT, RUNS, Planned, agrees

from pipeline.plan.surprises import surprises

RAW = f"{BUCKET}/raw/"


@pytest.fixture
def local(tmp_path: Path) -> Planned:
    made = Planned(tmp_path / "home")
    made.client.storage.put_bytes(f"{RAW}a.txt", b"data")
    _age(made, f"{RAW}a.txt")
    return made


def _age(local: Planned, uri: str) -> None:
    """An hour old, whatever the resolution of the file system's clock."""
    path = local.client.storage.path(uri)
    os.utime(path, (os.stat(path).st_mtime - 3600,) * 2)


def reading(address: str = RAW) -> dict[str, Any]:
    made = processing("Read", "say", "read", cache=True)
    s3 = {
        "S3Uri": address,
        "LocalPath": "/opt/ml/processing/input/raw",
        "S3DataType": "S3Prefix",
        "S3InputMode": "File",
    }
    made["Arguments"]["ProcessingInputs"].append({"InputName": "raw", "AppManaged": False, "S3Input": s3})
    return made


def told(local: Planned, definition: dict[str, Any], **given: str) -> list[tuple[str, str]]:
    return [(each.step, each.text) for each in surprises(local.clients, local.forecast(definition, **given))]


def test_nothing_surprises_where_nothing_changed(local: Planned) -> None:
    local.happens(document(reading()))
    assert told(local, document(reading())) == []


def test_new_data_under_an_old_address_hits_and_is_told(local: Planned) -> None:
    local.happens(document(reading()))
    local.client.storage.put_bytes(f"{RAW}b.txt", b"new")

    [(step, text)] = told(local, document(reading()))
    predicted = local.predict(document(reading()))

    assert step == "Read"
    assert "AWS compares addresses only" in text and f"{RAW}b.txt" in text
    assert predicted["Read"].outcome == HIT
    assert agrees(predicted, local.happens(document(reading()))) == []


def test_data_whose_address_names_its_content_is_never_new(local: Planned) -> None:
    address = f"{BUCKET}/datasets/{'ab' * 16}/"
    local.client.storage.put_bytes(f"{address}a.txt", b"data")
    local.happens(document(reading(address)))
    local.client.storage.put_bytes(f"{address}a.txt", b"data")
    assert told(local, document(reading(address))) == []


def test_a_changed_machine_hits_and_is_told_with_both(local: Planned) -> None:
    local.happens(document(reading()))
    changed = reading()
    changed["Arguments"]["ProcessingResources"]["ClusterConfig"]["InstanceType"] = "ml.m5.4xlarge"

    [surprise] = surprises(local.clients, local.forecast(document(changed)))

    assert [(field.path, field.old, field.new) for field in surprise.fields] == [
        ("ProcessingResources.ClusterConfig.InstanceType", "ml.m5.large", "ml.m5.4xlarge")
    ]
    assert agrees(local.predict(document(changed)), local.happens(document(changed))) == []


def test_a_machine_that_a_parameter_changes_is_told_too(local: Planned) -> None:
    step = reading()
    step["Arguments"]["ProcessingResources"]["ClusterConfig"]["InstanceType"] = {"Get": "Parameters.Machine"}
    parameters = [{"Name": "Machine", "Type": "String", "DefaultValue": "ml.m5.large"}]
    definition = document(step, parameters=parameters)
    local.happens(definition)
    [(name, text)] = told(local, definition, Machine="ml.m5.4xlarge")
    assert name == "Read" and "InstanceType changed" in text


def test_outputs_that_hold_the_executions_id_are_no_change(local: Planned) -> None:
    definition = document(processing("A", "write", "/opt/ml/processing/output/o/x", "x", outputs=["o"], cache=True))
    local.happens(definition)
    assert told(local, definition) == []


def test_a_step_that_writes_again_where_a_hit_has_its_input_from_is_told(local: Planned) -> None:
    """With a fixed address between the two, the second one never sees what the first one does anew."""
    writer = processing("Write", "write", "/opt/ml/processing/output/o/x", "one", outputs=["o"], cache=True)
    writer["Arguments"]["ProcessingOutputConfig"]["Outputs"][0]["S3Output"]["S3Uri"] = f"{BUCKET}/fixed/"
    reader = reading({"Get": "Steps.Write.ProcessingOutputConfig.Outputs['o'].S3Output.S3Uri"})  # type: ignore[arg-type]
    definition = document(writer, reader)
    local.happens(definition)
    writer["Arguments"]["AppSpecification"]["ContainerArguments"][2] = "two"

    predicted = local.predict(definition)

    assert {name: found.outcome for name, found in predicted.items()} == {"Write": RUNS, "Read": HIT}
    assert ("Read", f"hits although Write runs and writes to its input {BUCKET}/fixed/ again") in told(
        local, definition
    )
    assert agrees(predicted, local.happens(definition)) == []


def test_a_key_that_holds_the_executions_id_can_never_hit(local: Planned) -> None:
    step = reading()
    step["Arguments"]["Environment"] = {"RUN": {"Get": "Execution.PipelineExecutionId"}}
    [(name, text)] = told(local, document(step))
    assert name == "Read"
    assert text.startswith("can never hit: Environment.RUN (Execution.PipelineExecutionId)")
