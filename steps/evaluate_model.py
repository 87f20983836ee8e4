"""EvaluateModel: the trained model on the test split."""

from __future__ import annotations

from sagemaker.core.workflow.properties import PropertyFile
from sagemaker.mlops.workflow.lambda_step import LambdaStep
from sagemaker.mlops.workflow.steps import StepTypeEnum

from steps import processing
from steps.context import Context
from steps.find_champion import ARCHIVE, PACKAGE
from steps.request_step import RequestStep
from steps.settings import caching

NAME = "EvaluateModel"
PROGRAM = "evaluate.py"
WORDS = ("Evaluate model", "Measures the trained model on the test split, which no earlier step has seen.")
PAGES, PAGE = "report", "model.html"  # the output, and in it the page that the evaluation leaves of the model
REPORT = PropertyFile(name="EvaluationReport", output_name="evaluation", path="evaluation.json")


def evaluate_model(
    context: Context, data: RequestStep, model: RequestStep, champion: LambdaStep | None = None
) -> RequestStep:
    """A Processing step over the archive of `model` and the splits of `data`.

    What `champion` found is an input and an argument, so both are compared by the cache: another champion is a miss.
    """
    splits = data.properties.ProcessingOutputConfig.Outputs
    inputs = [
        processing.s3_input("model", model.properties.ModelArtifacts.S3ModelArtifacts),
        processing.s3_input("test", splits["test"].S3Output.S3Uri),
        processing.s3_input("validation", splits["validation"].S3Output.S3Uri),
    ]
    folders = {"model": "model", "test": "test", "validation": "validation"}
    words = []
    if champion is not None:
        inputs.append(processing.s3_input("champion", champion.properties.Outputs[ARCHIVE]))
        folders["champion"] = "champion"
        words = ["--champion-package", champion.properties.Outputs[PACKAGE]]
    outputs = [processing.s3_output(context, NAME, name) for name in (REPORT.output_name, PAGES)]
    request = processing.request(context, PROGRAM, context.config.role("evaluate_model"), inputs, outputs)
    request["AppSpecification"]["ContainerArguments"] = [*words, *processing.places(**folders)]
    step = RequestStep(NAME, StepTypeEnum.PROCESSING, request, WORDS)
    step.with_property_file(REPORT)
    return step.behaving(caching(context.config), processing.retries(context))
