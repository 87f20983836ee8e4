"""A run over 133 classes and 500 trials, as large as reports get: made-up answers, files in the jobs' exact forms."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import evaluate
import images
import numpy as np
from data import open_split
from evaluation import calibration, comparison, errors, metrics
from judged_training import ARCHIVE, FINE, FOUND, MISSING, content, packed
from numpy.typing import NDArray
from pictures import split
from reported import EVIL, FakeSageMaker, at, definition, finished_run, metadata, put_json, step

from pipeline.client import Clients
from pipeline.report.health import LARGEST_PAGE

CLASSES = tuple(["<b>affenpinscher</b>", *(f"breed number {number}" for number in range(1, 133))])
EACH, SIDE = 7, 96  # test pictures of a class; their pixels
TRIALS = 500
THRESHOLD = 0.7


class Breeds(FakeSageMaker):
    """Prepare (which also evaluates), Tune, Train, Check, Register; everything went well."""

    def __init__(self, log: Path, trials: int) -> None:
        super().__init__(log)
        self.trials = trials

    def describe_pipeline_execution(self, PipelineExecutionArn: str) -> dict[str, Any]:
        status = {"PipelineExecutionStatus": "Succeeded", "CreationTime": at(0)}
        return {"PipelineExecutionArn": PipelineExecutionArn, **status}

    def list_pipeline_execution_steps(self, **_: Any) -> dict[str, Any]:
        arn = "arn:aws:sagemaker:us-east-1:111122223333:model-package/breeds/7"
        rows = [
            step("Prepare", "Processing", 0, 2, **metadata("ProcessingJob", "processing-job", "p")),
            step("Tune", "Tuning", 2, 8, **metadata("TuningJob", "hyper-parameter-tuning-job", "t")),
            step("Train", "Training", 8, 9, CacheHitResult={}, **metadata("TrainingJob", "training-job", "j")),
            step("Check", "Condition", 9, 9, Metadata={"Condition": {"Outcome": "True"}}),
            step("Register", "RegisterModel", 9, 10, Metadata={"RegisterModel": {"Arn": arn}}),
        ]
        return {"PipelineExecutionSteps": rows}

    def describe_pipeline_definition_for_execution(self, **_: Any) -> dict[str, Any]:
        kinds = {"Prepare": "Processing", "Tune": "Tuning", "Train": "Training", "Check": "Condition"}
        document = definition(("Tune", "Prepare"), ("Train", "Tune"), ("Check", "Train"), **kinds)
        files = [{"Name": "E", "OutputName": "evaluation", "FilePath": "evaluation.json"}]
        document["Steps"][0]["PropertyFiles"] = files
        path = "multiclass_classification_metrics.accuracy.value"
        held = {"Std:JsonGet": {"PropertyFile": {"Get": "Steps.Prepare.PropertyFiles.E"}, "Path": path}}
        gate = {"Type": "GreaterThanOrEqualTo", "LeftValue": held, "RightValue": {"Get": "Parameters.Threshold"}}
        registers = definition(Register="RegisterModel")["Steps"]
        document["Steps"][3]["Arguments"] = {"Conditions": [gate], "IfSteps": registers, "ElseSteps": []}
        document["Parameters"] = [{"Name": "Threshold", "Type": "Float", "DefaultValue": THRESHOLD}]
        return {"PipelineDefinition": json.dumps(document)}

    def list_pipeline_parameters_for_execution(self, **_: Any) -> dict[str, Any]:
        return {"PipelineParameters": []}

    def list_training_jobs_for_hyper_parameter_tuning_job(self, **_: Any) -> dict[str, Any]:
        random = np.random.default_rng(1)
        rows = []
        for number in range(self.trials):
            lr, decay = 10 ** random.uniform(-4, -1), 10 ** random.uniform(-5, -2)
            value = 0.8 - 0.1 * abs(np.log10(lr) + 2.5) + random.normal(0, 0.02)
            tuned = {"lr": str(lr), "weight_decay": str(decay), "optimizer": ("adamw", "sgd")[number % 2]}
            rows.append(
                {
                    "TrainingJobName": f"trial-{number}",
                    "TrainingJobStatus": "Completed",
                    "CreationTime": at(number),
                    "TrainingStartTime": at(number),
                    "TrainingEndTime": at(number + 40.5),
                    "TunedHyperParameters": tuned,
                    "FinalHyperParameterTuningJobObjectiveMetric": {"Value": float(value)},
                }
            )
        return {"TrainingJobSummaries": rows}

    def describe_training_job(self, **_: Any) -> dict[str, Any]:
        told = {"TrainingJobStatus": "Completed", "HyperParameters": {"health_rules": "Overfit"}}
        return {**super().describe_training_job(), **told}

    def describe_model_package(self, ModelPackageName: str) -> dict[str, Any]:
        known = {"ModelPackageArn": ModelPackageName, "ModelPackageGroupName": "breeds", "ModelPackageVersion": 7}
        return {**known, "ModelApprovalStatus": "PendingManualApproval"}


def breeds(home: Path, classes: tuple[str, ...] = CLASSES, trials: int = TRIALS) -> Clients:
    clients = finished_run(home)._replace(sagemaker=Breeds(home / "Publish.log", trials))
    said, body = answers(home, classes)
    put_json(clients.storage, "s3://bucket/evaluation/evaluation.json", body)
    put_json(clients.storage, "s3://bucket/report/evaluation.json", left(said, body["darkroom"]))
    _put_dataset(clients, classes)
    _put_training(clients, LARGEST_PAGE - 100 if classes is CLASSES else 1000)
    return clients


def answers(folder: Path, classes: tuple[str, ...] = CLASSES) -> tuple[errors.Answers, dict[str, Any]]:
    """What a model said of the test pictures, and evaluation.json as EvaluateModel makes it of that."""
    random = np.random.default_rng(0)
    labels = np.repeat(np.arange(len(classes)), EACH)
    pixels = random.integers(0, 256, (len(labels), SIDE, SIDE, 3), dtype=np.uint8)
    test = open_split(split(folder / "test", pixels, labels.tolist(), list(classes)))
    predicted, other = _predicted(random, labels, len(classes)), _predicted(random, labels, len(classes))
    scores = random.normal(0, 0.2, (len(labels), len(classes))).astype(np.float32)
    scores[np.arange(len(labels)), predicted] = random.uniform(3, 9, len(labels))
    quality = metrics.model_quality(labels, predicted, classes)
    chances = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
    names = [[classes[label] for label in row] for row in (labels, predicted, other)]
    package = {"package": f"arn:aws:sagemaker:us-east-1:111122223333:model-package/breeds/{EVIL}"}
    champion = {"compared": True, **package, **comparison.compare(*names, classes, classes)}
    own = {**evaluate._figures(test, scores, quality), "calibration": _calibration(chances, predicted == labels)}
    body = {"version": 0, "multiclass_classification_metrics": quality, "darkroom": {**own, "champion": champion}}
    return errors.Answers(test, chances, predicted), body


def _predicted(random: np.random.Generator, labels: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """A fifth is wrong, half of that by the next class."""
    wrong = random.random(len(labels)) < 0.2
    shift = np.where(random.random(len(labels)) < 0.5, 1, random.integers(1, count, len(labels)))
    return (labels + wrong * shift) % count


def _calibration(chances: NDArray[Any], right: NDArray[np.bool_]) -> dict[str, Any]:
    error = calibration.error(calibration.bins(chances, right))
    return {"temperature": 1.5, "in_the_model": True, "error_before": error, "error_after": error / 2}


def left(said: errors.Answers, figures: dict[str, Any]) -> dict[str, Any]:
    """evaluation.json of the report: with pictures, those of noise, which no JPEG makes smaller."""
    bins = [each._asdict() for each in calibration.bins(said.chances, said.predicted == said.split.labels)]
    noise = base64.b64encode(images.jpeg(said.picture(0), errors.QUALITY)).decode()
    worst = [{**said.told(index), "jpeg": noise, "gradcam": noise} for index in said.surest()[: errors.WORST]]
    return {
        **figures,
        "reliability": {"before": bins, "after": bins},
        "worst": worst,
        "gradcam": {"layer": "layer4", "size": [7, 7]},
        **errors.by_cell(said),
    }


def _put_training(clients: Clients, profile_size: int) -> None:
    """Forty epochs, verdicts, and a profile of so many characters."""
    epochs = [
        {"epoch": n, "train_loss": 2 / n, "validation_loss": 2.2 / n, "validation_accuracy": 0.8} for n in range(1, 41)
    ]
    training = {"epochs": epochs, "hyperparameters": {"lr": 0.01}, "versions": {"torch": "2.12"}}
    profile = "<!doctype html><title>profile</title><p>" + "x" * profile_size
    files = {
        "report/training.json": json.dumps(training).encode(),
        "health/health.json": json.dumps(content(FINE, FOUND, MISSING)).encode(),
        "health/profiler-report.html": profile.encode(),
    }
    clients.storage.put_bytes(ARCHIVE, packed(files))


def _put_dataset(clients: Clients, classes: tuple[str, ...]) -> None:
    """With a sheet of every class, more than there is room for."""
    counts = {name: {one: 40 + number for number, one in enumerate(classes)} for name in ("train", "validation")}
    sheets = [f"contact/{number:03d}-c.jpg" for number in range(len(classes))]
    random = np.random.default_rng(2)
    for name in sheets:
        clients.storage.put_bytes(f"s3://bucket/report/{name}", b"\xff\xd8\xff" + random.bytes(25_000))
    found = [
        {
            "finding": "leaks",
            "action": "move",
            "count": 1,
            "groups": [["a.jpg", "b.jpg"]],
            "splits": [["train", "test"]],
        }
    ]
    body = {"classes": list(classes), "counts": counts, "findings": found, "pictures": {"contact": sheets}}
    put_json(clients.storage, "s3://bucket/report/dataset.json", body)
