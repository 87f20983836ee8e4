"""TrainModel: the model itself, with the tuned hyperparameters."""

from __future__ import annotations

from typing import Any

from sagemaker.core.workflow.functions import Join
from sagemaker.mlops.workflow.steps import StepTypeEnum

from pipeline.config.members import tags
from steps import training
from steps.context import Context
from steps.debugging import debugging
from steps.request_step import RequestStep
from steps.settings import CAPACITY_ERROR, INTERNAL_ERROR, RESOURCE_LIMIT, caching, job_retries

NAME = "TrainModel"
CHECKPOINTS = "/opt/ml/checkpoints"
WORDS_TUNED = ("Train model", "Trains the model with the best hyperparameters of TuneModel.")
WORDS_FIXED = ("Train model", "Trains the model with the hyperparameters of pipeline.yaml.")


def train_model(context: Context, data: RequestStep, tuned: RequestStep | None) -> RequestStep:
    """A Training step over the splits of `data`; `tuned` is None where tuning is switched off."""
    config = context.config
    request = {
        "HyperParameters": _hyperparameters(context, tuned),
        "AlgorithmSpecification": training.algorithm(context),
        **training.job(context, NAME, config.role("train_model"), data),
        **_checkpoints(context),
        **debugging(context, NAME),
        **tags(config),
    }
    step = RequestStep(NAME, StepTypeEnum.TRAINING, request, WORDS_TUNED if tuned else WORDS_FIXED)
    kinds = [INTERNAL_ERROR, CAPACITY_ERROR, RESOURCE_LIMIT]
    return step.behaving(caching(config), job_retries(config.retries.training, kinds))


def _checkpoints(context: Context) -> dict[str, Any]:
    """Only here: whether SageMaker keeps those of a tuning's trials apart is nowhere documented."""
    if not context.config.training.checkpoints.enabled:
        return {}
    return {"CheckpointConfig": {"S3Uri": context.config.checkpoint_address, "LocalPath": CHECKPOINTS}}


def _hyperparameters(context: Context, tuned: RequestStep | None) -> dict[str, Any]:
    values = training.hyperparameters(context)
    checkpoints = context.config.training.checkpoints
    if checkpoints.enabled:
        values["checkpoint_minutes"] = str(checkpoints.every_minutes)
    if context.config.model.onnx:  # nobody looks into the archives of trials
        values["onnx"] = "True"
    values.update(context.config.serving.hyperparameters)
    values.update(context.config.health.hyperparameters)  # of trials, nothing but losses is recorded
    if "TrainingEpochs" in context.parameters:
        values["epochs"] = context.text("TrainingEpochs")
    if tuned is not None:
        best = tuned.properties.BestTrainingJob.TunedHyperParameters
        values.update({name: Join(on="", values=[best[name]]) for name in context.config.tuning.ranges})
    return values
