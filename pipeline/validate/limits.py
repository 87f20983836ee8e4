"""Limits that botocore's service model does not carry, each with its source."""

from __future__ import annotations

from typing import NamedTuple


class Limit(NamedTuple):
    value: int
    source: str


DEFINITION_BYTES = Limit(1_048_576, "API reference, CreatePipeline: PipelineDefinition")
STEPS = Limit(50, "SageMaker quotas: steps in a pipeline, a default that support raises")
PARAMETERS = Limit(200, "API reference, StartPipelineExecution: PipelineParameters")
PARAMETER_NAME = Limit(256, "API reference, Parameter: Name")
PARAMETER_VALUE = Limit(1024, "API reference, Parameter: Value")
ENUM_VALUES = Limit(16, "SageMaker Pipelines developer guide: parameter enums")
STEP_NAME = Limit(64, "API reference, PipelineExecutionStep: StepName")
DISPLAY_NAME = Limit(256, "API reference, PipelineExecutionStep: StepDisplayName")
DESCRIPTION = Limit(3072, "API reference, PipelineExecutionStep: StepDescription")
RETRY_INTERVAL_SECONDS = Limit(43_200, "developer guide, Retry Policy: IntervalSeconds, 12 hours")
RETRY_ATTEMPTS = Limit(20, "developer guide, Retry Policy: MaxAttempts")
RETRY_EXPIRE_MINUTES = Limit(14_400, "developer guide, Retry Policy: ExpireAfterMin, 10 days")
HYPERPARAMETERS = Limit(100, "API reference, HyperParameters; a tuning adds _tuning_objective_metric")
SEARCHED_HYPERPARAMETERS = Limit(30, "SageMaker quotas: hyperparameters that can be searched in one tuning job")
CANARY_PERCENT = Limit(50, "API reference, TrafficRoutingConfig: CanarySize")
LINEAR_PERCENT_MIN = Limit(10, "API reference, TrafficRoutingConfig: LinearStepSize")
LINEAR_PERCENT_MAX = Limit(50, "API reference, TrafficRoutingConfig: LinearStepSize")

DEPTH = Limit(150, "ours: requests nest about 15 deep; Python's recursion limit is 1000")
PATTERN_TEXT = Limit(100_000, "ours: longer strings are not matched against a pattern")
