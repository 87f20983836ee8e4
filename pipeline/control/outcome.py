"""What an execution brought about: current metrics of a step, the evaluation, the package, the endpoint."""

from __future__ import annotations

import json

from pipeline.client import pages
from pipeline.control import executions
from pipeline.errors import ServiceError, StorageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

    from pipeline.client import Clients

    Steps = Iterable[dict[str, Any]]

ABSENT = ("NoSuchKey", "NoSuchBucket")
LARGEST = 64 << 20  # bytes of a JSON file: a confusion matrix of a thousand classes has 20 MB
ACCURACY = ("multiclass_classification_metrics", "accuracy", "value")  # SageMaker's own place for it


def metadata_name(step: dict[str, Any], kind: str) -> str:
    """The name of the job, model or package behind a step; empty while there is none."""
    arn = str(((step.get("Metadata") or {}).get(kind) or {}).get("Arn", ""))
    return arn.partition(f":{_ARN_PARTS.get(kind, '')}/")[2]


_ARN_PARTS = {
    "ProcessingJob": "processing-job",
    "TrainingJob": "training-job",
    "TuningJob": "hyper-parameter-tuning-job",
    "TransformJob": "transform-job",
    "RegisterModel": "model-package",
}


def training_metrics(clients: Clients, step: dict[str, Any]) -> dict[str, float]:
    """The newest value of every metric of a training step."""
    job = training_job(clients, step)
    return {row["MetricName"]: row["Value"] for row in job.get("FinalMetricDataList") or ()}


def training_job(clients: Clients, step: dict[str, Any]) -> dict[str, Any]:
    """DescribeTrainingJob of a training step; empty while it has none."""
    name = metadata_name(step, "TrainingJob")
    if not name:
        return {}
    job: dict[str, Any] = clients.sagemaker.describe_training_job(TrainingJobName=name)
    return job


def tuning_job(clients: Clients, step: dict[str, Any]) -> dict[str, Any]:
    """DescribeHyperParameterTuningJob of a tuning step; empty while it has none."""
    name = metadata_name(step, "TuningJob")
    if not name:
        return {}
    job: dict[str, Any] = clients.sagemaker.describe_hyper_parameter_tuning_job(HyperParameterTuningJobName=name)
    return job


def trials(clients: Clients, step: dict[str, Any]) -> list[dict[str, Any]]:
    """Oldest first."""
    name = metadata_name(step, "TuningJob")
    if not name:
        return []
    operation = clients.sagemaker.list_training_jobs_for_hyper_parameter_tuning_job
    rows = list(pages(operation, "TrainingJobSummaries", HyperParameterTuningJobName=name))
    return sorted(rows, key=lambda row: row["CreationTime"])


def now(clients: Clients, step: dict[str, Any]) -> str:
    """One short phrase: how far a step is, or what came out of it."""
    match step["StepType"]:
        case "Tuning":
            return _tuning_phrase(tuning_job(clients, step))
        case "Training":
            return metrics_phrase(training_metrics(clients, step))
        case "Condition":
            outcome = ((step.get("Metadata") or {}).get("Condition") or {}).get("Outcome", "")
            return str(outcome).lower()
        case _:
            return ""


def metrics(clients: Clients, step: dict[str, Any]) -> dict[str, float]:
    """What a step measured: a training job's metrics, the best objective of a tuning job; empty for other steps."""
    match step["StepType"]:
        case "Training":
            return training_metrics(clients, step)
        case "Tuning":
            best = tuning_job(clients, step).get("BestTrainingJob") or {}
            objective = best.get("FinalHyperParameterTuningJobObjectiveMetric")
            return {objective["MetricName"]: objective["Value"]} if objective else {}
        case _:
            return {}


def cache_phrase(step: dict[str, Any]) -> str:
    """'hit', 'of <execution>' for what a selective one took from there, 'miss: what differed', else nothing."""
    if reused := (step.get("SelectiveExecutionResult") or {}).get("SourcePipelineExecutionArn"):
        return f"of {executions.identifier(str(reused))}"
    if "CacheHitResult" in step:
        return "hit"
    missed = (step.get("Darkroom") or {}).get("CacheMiss") or []
    return f"miss: {', '.join([missed] if isinstance(missed, str) else missed)}" if missed else ""


def metrics_phrase(metrics: dict[str, float]) -> str:
    """The objective-like ones first: what people look for is an accuracy."""
    order = sorted(metrics, key=lambda name: ("accuracy" not in name, name))
    return "  ".join(f"{name} {metrics[name]:.4g}" for name in order[:2])


def _tuning_phrase(job: dict[str, Any]) -> str:
    if not job:
        return ""
    counters = job.get("TrainingJobStatusCounters") or {}
    ended = sum(counters.get(key, 0) for key in ("Completed", "Stopped", "RetryableError", "NonRetryableError"))
    limits = job["HyperParameterTuningJobConfig"].get("ResourceLimits") or {}
    most = limits.get("MaxNumberOfTrainingJobs")
    phrase = f"{ended}/{most} trials" if most else f"{ended} trials"
    best = (job.get("BestTrainingJob") or {}).get("FinalHyperParameterTuningJobObjectiveMetric") or {}
    return f"{phrase}, best {best['MetricName']} {best['Value']:.4g}" if best else phrase


def evaluation(clients: Clients, arn: str, steps: Steps) -> dict[str, Any]:
    """The first property file that reports classification metrics; empty if none of the steps that ran wrote one."""
    for report in property_files(clients, arn, steps):
        if ACCURACY[0] in report:
            return report
    return {}


def accuracy(report: dict[str, Any]) -> float | None:
    """`None` where nothing was measured."""
    value: Any = report
    for key in ACCURACY:
        value = value.get(key) if isinstance(value, dict) else None
    return float(value) if isinstance(value, int | float) else None


def property_files(clients: Clients, arn: str, steps: Steps) -> Iterator[dict[str, Any]]:
    """Every JSON object that a Processing step of this execution declares as a property file and has written."""
    declared = declared_files(clients, arn)
    for step in steps:
        for file in declared.get(step["StepName"], ()):
            address = output_address(clients, step, file["OutputName"])
            if address:
                content = read_json(clients, f"{address.rstrip('/')}/{file['FilePath']}")
                if isinstance(content, dict):
                    yield content


def declared_files(clients: Clients, arn: str) -> dict[str, list[dict[str, Any]]]:
    """Step → its PropertyFiles in the definition that this execution runs."""
    return {body["Name"]: body.get("PropertyFiles") or [] for body in _bodies(clients, arn)}


def output_address(clients: Clients, step: dict[str, Any], output: str) -> str:
    """Where a Processing step's output lies; empty if the step has no job or no such output."""
    return outputs(clients, step).get(output, "")


def outputs(clients: Clients, step: dict[str, Any]) -> dict[str, str]:
    """Output name → S3 address, of a Processing step."""
    name = metadata_name(step, "ProcessingJob")
    if not name:
        return {}
    job = clients.sagemaker.describe_processing_job(ProcessingJobName=name)
    listed = (job.get("ProcessingOutputConfig") or {}).get("Outputs") or ()
    return {row["OutputName"]: row["S3Output"]["S3Uri"] for row in listed if "S3Output" in row}


def packages(clients: Clients, steps: Steps) -> list[dict[str, Any]]:
    """DescribeModelPackage of what this execution registered."""
    names = [(step.get("Metadata") or {}).get("RegisterModel", {}).get("Arn", "") for step in steps]
    return [clients.sagemaker.describe_model_package(ModelPackageName=arn) for arn in names if arn]


def _bodies(clients: Clients, arn: str) -> Iterator[dict[str, Any]]:
    from pipeline.definition import Definition

    for step in Definition.parse(executions.definition(clients, arn)).steps.values():
        yield step.body


def read_json(clients: Clients, uri: str) -> Any:
    """`None` where there is no such object, or it is no JSON: a failed job may leave half of its files."""
    try:
        return json.loads(clients.storage.get_bytes(uri, LARGEST))
    except ServiceError as exc:
        if exc.code not in ABSENT:
            raise
        return None
    except (StorageError, ValueError, RecursionError):
        return None
