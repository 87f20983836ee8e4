"""AccuracyTooLow: ends the execution as Failed, with the measured and the asked accuracy."""

from __future__ import annotations

from sagemaker.core.workflow.functions import Join
from sagemaker.mlops.workflow.fail_step import FailStep

from steps.check_accuracy import measured
from steps.context import Context
from steps.request_step import RequestStep

NAME = "AccuracyTooLow"


def accuracy_too_low(context: Context, evaluation: RequestStep) -> FailStep:
    """A Fail step that quotes both values."""
    asked = context.parameters["AccuracyThreshold"]
    message = ["Accuracy on the test split is ", measured(evaluation), ", below the AccuracyThreshold of ", asked, "."]
    return FailStep(
        name=NAME,
        error_message=Join(on="", values=message),
        display_name="Accuracy too low",
        description="Ends the execution as Failed: the model is neither registered nor deployed.",
    )
