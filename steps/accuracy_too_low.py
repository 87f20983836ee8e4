"""AccuracyTooLow: ends the execution as Failed, with what was measured and what was asked for."""

from __future__ import annotations

from sagemaker.core.helper.pipeline_variable import PipelineVariable
from sagemaker.core.workflow.functions import Join
from sagemaker.mlops.workflow.fail_step import FailStep

from steps.check_accuracy import MARGIN, behind, measured
from steps.context import Context
from steps.request_step import RequestStep

NAME = "AccuracyTooLow"


def accuracy_too_low(context: Context, evaluation: RequestStep) -> FailStep:
    """A Fail step that quotes the values of each condition: a definition cannot say which of them failed."""
    return FailStep(
        name=NAME,
        error_message=Join(on="", values=_message(context, evaluation)),
        display_name="Accuracy too low",
        description="Ends the execution as Failed: the model is neither registered nor deployed.",
    )


def _message(context: Context, evaluation: RequestStep) -> list[str | PipelineVariable]:
    asked, start = context.parameters["AccuracyThreshold"], "Accuracy on the test split is "
    if MARGIN not in context.parameters:
        return [start, measured(evaluation), ", below the AccuracyThreshold of ", asked, "."]
    return [
        *(start, measured(evaluation), " (AccuracyThreshold: at least ", asked, "), and lies "),
        *(behind(evaluation), f" below the champion's ({MARGIN}: at most ", context.parameters[MARGIN]),
        "; a negative number is above it, 1 stands for a champion that could not be compared: the log of "
        "EvaluateModel says why).",
    ]
