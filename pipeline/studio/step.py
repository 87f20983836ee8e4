"""The page of one step: how it stands, the end of its log, what it measured, read and wrote."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pipeline.client import Clients
from pipeline.control import executions, logs, outcome, selection
from pipeline.control.times import took
from pipeline.report import tuning
from pipeline.report.collect import tuning_of
from pipeline.studio import places
from pipeline.studio.asked import Asked, Facts, Page
from pipeline.studio.logs import ends


@dataclass(frozen=True)
class Work:
    """What a job reads, writes and is told: names and addresses."""

    inputs: Facts
    outputs: Facts
    settings: Facts


def view(clients: Clients, asked: Asked) -> Page:
    arn = places.arn(clients, asked.path["pipeline"], asked.path["execution"])
    step = logs.step_named(executions.steps(clients, arn), asked.path["step"])
    tuned = tuning_of(clients, step)
    work = _work(clients, step)
    return Page(
        "step.html",
        {
            **standing(clients, arn, step),
            "metrics": list(outcome.metrics(clients, step).items()),
            "tunings": [tuning.view(tuned)] if tuned else [],
            "work": work,
            "again": executions.describe(clients, arn)["PipelineExecutionStatus"] in selection.ENDED_SO,
        },
    )


def standing(clients: Clients, arn: str, step: dict[str, Any]) -> dict[str, Any]:
    """All of it that may be another one at the next look."""
    ended = step["StepStatus"] in executions.ENDED
    return {
        "arn": arn,
        "name": executions.pipeline_name(arn),
        "step": step,
        "took": took(step, datetime.now(UTC)),
        "cache": outcome.cache_phrase(step),
        "said": outcome.now(clients, step),
        "ended": ended,
        "logs": ends(clients, step),
    }


def _work(clients: Clients, step: dict[str, Any]) -> Work:
    metadata = step.get("Metadata") or {}
    match step["StepType"]:
        case "Processing":
            return _processing(clients, outcome.metadata_name(step, "ProcessingJob"))
        case "Training":
            return _training(outcome.training_job(clients, step))
        case "Tuning":
            return Work(
                [], [], _texts((outcome.tuning_job(clients, step).get("BestTrainingJob") or {}), "TunedHyperParameters")
            )
        case "Lambda":
            return Work([], _pairs(metadata.get("Lambda"), "OutputParameters"), [])
        case kind:
            return Work([], [], [(key, str(value)) for key, value in (metadata.get(kind) or {}).items()])


def _processing(clients: Clients, name: str) -> Work:
    job = clients.sagemaker.describe_processing_job(ProcessingJobName=name) if name else {}
    read = [
        (row["InputName"], (row.get("S3Input") or {}).get("S3Uri", "")) for row in job.get("ProcessingInputs") or ()
    ]
    listed = (job.get("ProcessingOutputConfig") or {}).get("Outputs") or ()
    written = [(row["OutputName"], (row.get("S3Output") or {}).get("S3Uri", "")) for row in listed]
    program = job.get("AppSpecification") or {}
    words = [*(program.get("ContainerEntrypoint") or ()), *(program.get("ContainerArguments") or ())]
    settings = [("image", str(program.get("ImageUri", ""))), ("command", " ".join(words))]
    return Work(read, written, [*filter(lambda each: each[1], settings), *_texts(job, "Environment")])


def _training(job: dict[str, Any]) -> Work:
    read = [(row["ChannelName"], _source(row)) for row in job.get("InputDataConfig") or ()]
    model = (job.get("ModelArtifacts") or {}).get("S3ModelArtifacts", "")
    return Work(read, [("model", model)] if model else [], _texts(job, "HyperParameters"))


def _source(channel: dict[str, Any]) -> str:
    return str(((channel.get("DataSource") or {}).get("S3DataSource") or {}).get("S3Uri", ""))


def _texts(body: dict[str, Any], member: str) -> Facts:
    return sorted((str(name), str(value)) for name, value in (body.get(member) or {}).items())


def _pairs(body: Any, member: str) -> Facts:
    rows: Iterator[Any] = iter((body or {}).get(member) or ())
    return [(str(row.get("Name", "")), str(row.get("Value", ""))) for row in rows]
