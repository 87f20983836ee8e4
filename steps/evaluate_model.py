"""EvaluateModel: the trained model on the test split."""

from __future__ import annotations

from sagemaker.core.workflow.properties import PropertyFile
from sagemaker.mlops.workflow.steps import StepTypeEnum

from steps import processing
from steps.context import Context
from steps.request_step import RequestStep
from steps.settings import caching

NAME = "EvaluateModel"
PROGRAM = "evaluate.py"
WORDS = ("Evaluate model", "Measures the trained model on the test split, which no earlier step has seen.")
REPORT = PropertyFile(name="EvaluationReport", output_name="evaluation", path="evaluation.json")


def evaluate_model(context: Context, data: RequestStep, model: RequestStep) -> RequestStep:
    """A Processing step over the archive of `model` and the splits of `data`."""
    splits = data.properties.ProcessingOutputConfig.Outputs
    inputs = [
        processing.s3_input("model", model.properties.ModelArtifacts.S3ModelArtifacts),
        processing.s3_input("test", splits["test"].S3Output.S3Uri),
        processing.s3_input("validation", splits["validation"].S3Output.S3Uri),
    ]
    outputs = [processing.s3_output(context, NAME, name) for name in (REPORT.output_name, "report")]
    request = processing.request(context, PROGRAM, context.config.role("evaluate_model"), inputs, outputs)
    folders = processing.places(model="model", test="test", validation="validation")
    request["AppSpecification"]["ContainerArguments"] = folders
    step = RequestStep(NAME, StepTypeEnum.PROCESSING, request, WORDS)
    step.with_property_file(REPORT)
    return step.behaving(caching(context.config), processing.retries(context))
