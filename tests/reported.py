"""A run whose names, logs and reports are hostile, and its page: for the tests of the report."""

from __future__ import annotations

import io
import json
import re
import tarfile
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from pipeline.client import Clients
from pipeline.local.storage import Storage
from pipeline.report import write_report

COMPARED: dict[str, Any] = {
    "compared": True,
    "verdict": "no difference shown",
    "count": 100,
    "accuracy": 0.91,
    "champion_accuracy": 0.9,
    "difference": 0.01,
    "interval": [-0.02, 0.04],
    "right_here_only": 3,
    "right_there_only": 2,
    "left_out": 0,
    "classes_new": [],
    "classes_gone": [],
    "regressions": [],
    "per_class": [],
}
EVIL = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>"
ARN = "arn:aws:sagemaker:us-east-1:111122223333:pipeline/digits/execution/abc123"
PREFIX = "arn:aws:sagemaker:us-east-1:111122223333"


def at(seconds: float) -> datetime:
    return datetime.fromtimestamp(1_700_000_000 + seconds, UTC)


def step(name: str, kind: str, start: float, end: float, **more: Any) -> dict[str, Any]:
    body = {"StepName": name, "StepType": kind, "StepStatus": "Succeeded", "StartTime": at(start), "EndTime": at(end)}
    return {**body, "Metadata": {}, **more}


def metadata(kind: str, part: str, name: str) -> dict[str, Any]:
    return {"Metadata": {kind: {"Arn": f"{PREFIX}:{part}/{name}"}}}


def definition(*edges: tuple[str, str], **types: str) -> dict[str, Any]:
    """Steps in the order of `types`; an edge is (waits, for)."""
    steps = [
        {
            "Name": name,
            "Type": kind,
            "Arguments": {},
            "DependsOn": [before for after, before in edges if after == name],
        }
        for name, kind in types.items()
    ]
    return {"Version": "2020-12-01", "Parameters": [], "Steps": steps}


class FakeSageMaker:
    """One finished run of four steps, whose names, logs and reports are hostile."""

    def __init__(self, log: Path) -> None:
        self.log = log

    def describe_pipeline_execution(self, PipelineExecutionArn: str) -> dict[str, Any]:
        return {
            "PipelineExecutionArn": PipelineExecutionArn,
            "PipelineExecutionStatus": "Failed",
            "CreationTime": at(0),
            "LastModifiedTime": at(10),
            "FailureReason": EVIL,
            "Darkroom": {"Parity": [{"Subject": EVIL, "How": EVIL}]},
        }

    def list_pipeline_execution_steps(self, **_: Any) -> dict[str, Any]:
        failed = {"StepStatus": "Failed", "FailureReason": EVIL, "Darkroom": {"LogPath": str(self.log)}}
        rows = [
            step("Prepare", "Processing", 0, 2, **metadata("ProcessingJob", "processing-job", "p")),
            step("Tune", "Tuning", 2, 8, **metadata("TuningJob", "hyper-parameter-tuning-job", "t")),
            step("Train", "Training", 8, 9, CacheHitResult={}, **metadata("TrainingJob", "training-job", "j")),
            step("Publish", "Processing", 9, 10, **failed),
        ]
        return {"PipelineExecutionSteps": rows}

    def describe_pipeline_definition_for_execution(self, **_: Any) -> dict[str, Any]:
        document = definition(Prepare="Processing", Tune="Tuning", Train="Training", Publish="Processing")
        document["Steps"][0]["PropertyFiles"] = [
            {"Name": "E", "OutputName": "evaluation", "FilePath": "evaluation.json"}
        ]
        document["Steps"][0]["DisplayName"] = EVIL
        document["Parameters"] = [{"Name": "Address", "Type": "String", "DefaultValue": "x"}]
        return {"PipelineDefinition": json.dumps(document)}

    def list_pipeline_parameters_for_execution(self, **_: Any) -> dict[str, Any]:
        return {"PipelineParameters": [{"Name": "Address", "Value": EVIL}]}

    def describe_processing_job(self, **_: Any) -> dict[str, Any]:
        outputs = [
            {"OutputName": name, "S3Output": {"S3Uri": f"s3://bucket/{name}/"}} for name in ("report", "evaluation")
        ]
        return {"ProcessingOutputConfig": {"Outputs": outputs}}

    def describe_hyper_parameter_tuning_job(self, **_: Any) -> dict[str, Any]:
        goal = {"MetricName": EVIL, "Type": "Maximize"}
        return {
            "HyperParameterTuningJobConfig": {"HyperParameterTuningJobObjective": goal},
            "BestTrainingJob": {"TrainingJobName": "trial-1"},
        }

    def list_training_jobs_for_hyper_parameter_tuning_job(self, **_: Any) -> dict[str, Any]:
        rows = [
            {
                "TrainingJobName": f"trial-{index}",
                "TrainingJobStatus": "Completed" if index < 2 else "Failed",
                "CreationTime": at(index),
                "TunedHyperParameters": {"lr": str(10.0**-index), "optimizer": EVIL},
                **({"FinalHyperParameterTuningJobObjectiveMetric": {"Value": 0.9 + index / 100}} if index < 2 else {}),
            }
            for index in range(3)
        ]
        return {"TrainingJobSummaries": rows}

    def describe_training_job(self, **_: Any) -> dict[str, Any]:
        return {"ModelArtifacts": {"S3ModelArtifacts": "s3://bucket/j/output/model.tar.gz"}}


def finished_run(home: Path) -> Clients:
    """Clients that know this run alone, and the files that its steps left."""
    storage = Storage(str(home))
    matrix = {EVIL: {EVIL: 8, "two": 1}, "two": {EVIL: 0, "two": 9}}
    quality = {"accuracy": {"value": 0.9444}, "confusion_matrix": matrix}
    put_json(storage, "s3://bucket/evaluation/evaluation.json", {"multiclass_classification_metrics": quality})
    counts = {"train": {EVIL: 10, "two": 20}, "test": {EVIL: 3, "two": 3}}
    put_json(storage, "s3://bucket/report/dataset.json", {"classes": [EVIL, "two"], "counts": counts})
    worst = [{"name": EVIL, "actual": EVIL, "predicted": "two", "probability": 0.9, "png": '"><script>x</script>'}]
    put_json(storage, "s3://bucket/report/evaluation.json", {"worst": worst, "accuracy_interval": [0.9, 0.97]})
    storage.put_bytes("s3://bucket/report/half.json", b'{"a": ')
    epochs = [{"epoch": n, "train_loss": 1 / n, "validation_loss": 1.2 / n, "validation_accuracy": 0.9} for n in (1, 2)]
    training = {"epochs": epochs, "hyperparameters": {"lr": EVIL}, "versions": {"python": "3.11", EVIL: EVIL}}
    put_archive(storage, "s3://bucket/j/output/output.tar.gz", training)
    log = home / "Publish.log"
    log.write_text(f"first\n{EVIL}\n")
    service = FakeSageMaker(log)
    return Clients(service, service, storage, str(home))


def put_json(storage: Storage, uri: str, value: Any) -> None:
    storage.put_bytes(uri, json.dumps(value).encode())


def put_archive(storage: Storage, uri: str, training: Any) -> None:
    body = io.BytesIO()
    with tarfile.open(fileobj=body, mode="w:gz") as archive:
        for name, text in (("./report/training.json", json.dumps(training)), ("../report/escape.json", "{}")):
            info = tarfile.TarInfo(name)
            info.size = len(text)
            archive.addfile(info, io.BytesIO(text.encode()))
    storage.put_bytes(uri, body.getvalue())


class Elements(HTMLParser):
    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes.extend(attrs)

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def section(clients: Clients, title: str) -> str:
    page = Path(write_report(clients, ARN)).read_text(encoding="utf-8")
    return page.partition(f"<h2>{title}</h2>")[2].partition("</section>")[0]


def nothing_came_of_it(html: str) -> bool:
    """Whether EVIL, where it stands in this page, is text: no element and no attribute has begun in it."""
    began = [name for name, _ in Elements(html).attributes if name.startswith("on")]
    return "<script>alert" not in html and "<img" not in html and not began


def words(html: str) -> str:
    return re.sub(r"\s+", " ", " ".join(Elements(html).text))


def sources(html: str) -> list[str]:
    return [str(value) for name, value in Elements(html).attributes if name == "src"]


texts = st.lists(st.text(max_size=3), max_size=3)
counted = st.dictionaries(st.text(max_size=3), st.integers(-1, 10**13), max_size=3)
anything = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | texts | st.lists(texts) | counted
