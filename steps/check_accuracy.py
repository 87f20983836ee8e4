"""CheckAccuracy: is the model good enough?"""

from __future__ import annotations

from collections.abc import Sequence

from sagemaker.core.workflow.conditions import ConditionGreaterThanOrEqualTo
from sagemaker.core.workflow.functions import JsonGet
from sagemaker.mlops.workflow.condition_step import ConditionStep
from sagemaker.mlops.workflow.steps import Step

from steps.context import Context
from steps.evaluate_model import REPORT
from steps.request_step import RequestStep

NAME = "CheckAccuracy"
PATH = "multiclass_classification_metrics.accuracy.value"


def check_accuracy(
    context: Context, evaluation: RequestStep, good: Sequence[Step], otherwise: Sequence[Step]
) -> ConditionStep:
    """A Condition step: `good` when the accuracy reaches AccuracyThreshold, else `otherwise`."""
    asked = context.parameters["AccuracyThreshold"]
    return ConditionStep(
        name=NAME,
        display_name="Check accuracy",
        description="Registers and deploys the model when its accuracy on the test split reaches AccuracyThreshold.",
        conditions=[ConditionGreaterThanOrEqualTo(left=measured(evaluation), right=asked)],
        if_steps=list(good),
        else_steps=list(otherwise),
    )


def measured(evaluation: RequestStep) -> JsonGet:
    """The accuracy in evaluation.json."""
    return JsonGet(step_name=evaluation.name, property_file=REPORT, json_path=PATH)
