"""The jobs behind a registered model: the training that made it, the evaluation that judged it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from pipeline.client import Clients
from pipeline.control import outcome, registry
from pipeline.models.gaps import Gaps

# hyperparameters that say where the code lies, not how the model is trained
_PROGRAM = ("sagemaker_submit_directory", "sagemaker_program")
Row = dict[str, Any]


@dataclass(frozen=True)
class Job:
    """What of a job makes a difference. `settings`: hyperparameters. `row`: its step as the execution lists it."""

    name: str
    image: str
    machine: str  # 2 × ml.m5.xlarge
    settings: Mapping[str, str]
    metrics: Mapping[str, float]
    seconds: float | None
    row: Row


def archive(package: Mapping[str, Any]) -> str:
    """Where its model.tar.gz lies; empty for a package of several containers, or of files that are not packed."""
    containers = (package.get("InferenceSpecification") or {}).get("Containers") or []
    return str(containers[0].get("ModelDataUrl", "")) if len(containers) == 1 else ""


def trained(clients: Clients, package: Mapping[str, Any], rows: list[Row], gaps: Gaps) -> tuple[Job | None, str | None]:
    """The job whose result the package is, and where its training data lie."""
    model = archive(package)
    for row in rows:
        if row["StepType"] != "Training":
            continue
        none: dict[str, Any] = {}
        job = gaps.ask("training", partial(outcome.training_job, clients, row), none)
        if job and model and (job.get("ModelArtifacts") or {}).get("S3ModelArtifacts") == model:
            return _training(job, row), _channel(job, "train")
    gaps.note("training", "no training job of the execution left this archive")
    return None, None


def _training(job: Mapping[str, Any], row: Row) -> Job:
    given = job.get("HyperParameters") or {}
    seconds = job.get("TrainingTimeInSeconds")
    return Job(
        name=str(job.get("TrainingJobName", "")),
        image=str((job.get("AlgorithmSpecification") or {}).get("TrainingImage", "")),
        machine=_machine(job.get("ResourceConfig") or {}),
        settings={str(name): str(value) for name, value in given.items() if name not in _PROGRAM},
        metrics={str(each["MetricName"]): float(each["Value"]) for each in job.get("FinalMetricDataList") or ()},
        seconds=float(seconds) if seconds is not None else None,
        row=row,
    )


def _channel(job: Mapping[str, Any], name: str) -> str:
    for channel in job.get("InputDataConfig") or ():
        if channel.get("ChannelName") == name:
            return str(((channel.get("DataSource") or {}).get("S3DataSource") or {}).get("S3Uri", ""))
    return ""


def judged(clients: Clients, package: Mapping[str, Any], rows: list[Row], gaps: Gaps) -> tuple[Job | None, str | None]:
    """The job that wrote the evaluation which the package links, and where its test data lie."""
    linked = registry.evaluation_address(package)
    for row in rows:
        name = outcome.metadata_name(row, "ProcessingJob")
        if row["StepType"] != "Processing" or not name or not linked:
            continue
        describe = partial(clients.sagemaker.describe_processing_job, ProcessingJobName=name)
        job: dict[str, Any] = gaps.ask("test data", describe, {})
        outputs = (job.get("ProcessingOutputConfig") or {}).get("Outputs") or ()
        folders = [str((each.get("S3Output") or {}).get("S3Uri", "")).rstrip("/") for each in outputs]
        if any(folder and linked.startswith(f"{folder}/") for folder in folders):
            return _processing(job, row), _input(job, "test")
    gaps.note("test data", "no job of the execution wrote the evaluation that the package links")
    return None, None


def _processing(job: Mapping[str, Any], row: Row) -> Job:
    cluster = (job.get("ProcessingResources") or {}).get("ClusterConfig") or {}
    image = str((job.get("AppSpecification") or {}).get("ImageUri", ""))
    return Job(str(job.get("ProcessingJobName", "")), image, _machine(cluster), {}, {}, None, row)


def _input(job: Mapping[str, Any], name: str) -> str:
    for each in job.get("ProcessingInputs") or ():
        if each.get("InputName") == name:
            return str((each.get("S3Input") or {}).get("S3Uri", ""))
    return ""


def _machine(resources: Mapping[str, Any]) -> str:
    groups = resources.get("InstanceGroups") or [resources]
    known = [(each.get("InstanceCount", 1), each["InstanceType"]) for each in groups if each.get("InstanceType")]
    return " + ".join(f"{number} × {machine}" for number, machine in known)
