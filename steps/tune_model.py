"""TuneModel: trials of train.py with different hyperparameters."""

from __future__ import annotations

import math
from typing import Any

from sagemaker.mlops.workflow.steps import StepTypeEnum

from pipeline.config.members import tags
from pipeline.config.training import OBJECTIVES, Range, TuningSection
from pipeline.config.tunable import is_whole
from steps import training
from steps.context import Context
from steps.request_step import RequestStep
from steps.settings import CAPACITY_ERROR, RESOURCE_LIMIT, caching, job_retries

NAME = "TuneModel"
WORDS = ("Tune model", "Trains short trials with different hyperparameters and finds the best.")
Request = dict[str, Any]


def tune_model(context: Context, data: RequestStep) -> RequestStep:
    """A Tuning step over the splits of `data`."""
    config = context.config
    request = {
        "HyperParameterTuningJobConfig": _job_config(context),
        "TrainingJobDefinition": _trial(context, data),
        **tags(config),
    }
    step = RequestStep(NAME, StepTypeEnum.TUNING, request, WORDS)
    # A tuning step ignores SageMaker.JOB_INTERNAL_ERROR: its trials have a RetryStrategy instead.
    return step.behaving(caching(config), job_retries(config.retries.tuning, [CAPACITY_ERROR, RESOURCE_LIMIT]))


def _job_config(context: Context) -> Request:
    tuning = context.config.tuning
    return {
        "Strategy": tuning.strategy,
        **_strategy(tuning),
        "HyperParameterTuningJobObjective": {"Type": OBJECTIVES[tuning.objective], "MetricName": tuning.objective},
        "ResourceLimits": _limits(context),
        "ParameterRanges": _ranges(tuning.ranges),
        "TrainingJobEarlyStoppingType": "Auto" if tuning.early_stopping else "Off",
        **_completion(tuning),
        "RandomSeed": tuning.seed,
    }


def _strategy(tuning: TuningSection) -> Request:
    if tuning.strategy != "Hyperband":
        return {}
    resources = {"MinResource": 1, "MaxResource": tuning.epochs}
    return {"StrategyConfig": {"HyperbandStrategyConfig": resources}}


def _limits(context: Context) -> Request:
    tuning = context.config.tuning
    limits: Request = {"MaxParallelTrainingJobs": context.parameters["MaxParallelTuningJobs"]}
    if "MaxTuningJobs" in context.parameters:
        limits["MaxNumberOfTrainingJobs"] = context.parameters["MaxTuningJobs"]
    else:
        limits["MaxNumberOfTrainingJobs"] = math.prod(len(each.values or ()) for each in tuning.ranges.values())
    if tuning.max_runtime_minutes is not None:
        limits["MaxRuntimeInSeconds"] = tuning.max_runtime_minutes * 60
    return limits


def _ranges(ranges: dict[str, Range]) -> Request:
    found: dict[str, list[Request]] = {
        "IntegerParameterRanges": [],
        "ContinuousParameterRanges": [],
        "CategoricalParameterRanges": [],
    }
    for name, searched in ranges.items():
        if searched.values is not None:
            values = [str(value) for value in searched.values]
            found["CategoricalParameterRanges"].append({"Name": name, "Values": values})
            continue
        interval = {"MinValue": str(searched.min), "MaxValue": str(searched.max), "ScalingType": searched.scaling}
        found["IntegerParameterRanges" if is_whole(name) else "ContinuousParameterRanges"].append(
            {"Name": name, **interval}
        )
    return {kind: entries for kind, entries in found.items() if entries}


def _completion(tuning: TuningSection) -> Request:
    criteria: Request = {}
    if tuning.target is not None:
        criteria["TargetObjectiveMetricValue"] = tuning.target
    if tuning.patience is not None:
        criteria["BestObjectiveNotImproving"] = {"MaxNumberOfTrainingJobsNotImproving": tuning.patience}
    if tuning.stop_when_converged:
        criteria["ConvergenceDetected"] = {"CompleteOnConvergence": "Enabled"}
    return {"TuningJobCompletionCriteria": criteria} if criteria else {}


def _trial(context: Context, data: RequestStep) -> Request:
    config = context.config
    static = {
        name: value for name, value in training.hyperparameters(context).items() if name not in config.tuning.ranges
    }
    if "TuningEpochs" in context.parameters:
        static["epochs"] = context.text("TuningEpochs")
    retry = config.retries.tuning
    return {
        "StaticHyperParameters": static,
        "AlgorithmSpecification": training.algorithm(context),
        **training.job(context, NAME, config.role("tune_model"), data),
        **({"RetryStrategy": {"MaximumRetryAttempts": retry.max_attempts}} if retry else {}),
    }
