"""CheckAccuracy: is the model good enough, and no worse than the champion?"""

from __future__ import annotations

from collections.abc import Sequence

from sagemaker.core.workflow.conditions import ConditionGreaterThanOrEqualTo, ConditionLessThanOrEqualTo
from sagemaker.core.workflow.functions import JsonGet
from sagemaker.mlops.workflow.condition_step import ConditionStep
from sagemaker.mlops.workflow.steps import Step

from steps.context import Context
from steps.evaluate_model import REPORT
from steps.request_step import RequestStep

NAME = "CheckAccuracy"
PATH = "multiclass_classification_metrics.accuracy.value"
# Always there: 0 without a champion, 1 for one that could not be compared.
BEHIND_PATH = "darkroom.behind_champion"
MARGIN = "ChampionMargin"
WORDS = "Registers and deploys the model when its accuracy on the test split reaches AccuracyThreshold"
WORDS_MARGIN = f"{WORDS}, and lies below the champion's by no more than {MARGIN}"


def check_accuracy(
    context: Context, evaluation: RequestStep, good: Sequence[Step], otherwise: Sequence[Step]
) -> ConditionStep:
    """A Condition step: `good` when everything that was asked for holds, else `otherwise`."""
    parameters = context.parameters
    conditions = [ConditionGreaterThanOrEqualTo(left=measured(evaluation), right=parameters["AccuracyThreshold"])]
    if MARGIN in parameters:
        conditions.append(ConditionLessThanOrEqualTo(left=behind(evaluation), right=parameters[MARGIN]))
    return ConditionStep(
        name=NAME,
        display_name="Check accuracy",
        description=f"{WORDS_MARGIN if MARGIN in parameters else WORDS}.",
        conditions=conditions,
        if_steps=list(good),
        else_steps=list(otherwise),
    )


def measured(evaluation: RequestStep) -> JsonGet:
    """The accuracy in evaluation.json."""
    return JsonGet(step_name=evaluation.name, property_file=REPORT, json_path=PATH)


def behind(evaluation: RequestStep) -> JsonGet:
    """How much lower the accuracy in evaluation.json is than the champion's, on the same pictures."""
    return JsonGet(step_name=evaluation.name, property_file=REPORT, json_path=BEHIND_PATH)
