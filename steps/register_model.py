"""RegisterModel: the model as a new version in the registry."""

from __future__ import annotations

from typing import Any

from sagemaker.core.workflow.execution_variables import ExecutionVariables
from sagemaker.core.workflow.functions import Join
from sagemaker.mlops.workflow.lambda_step import LambdaStep
from sagemaker.mlops.workflow.steps import StepTypeEnum

from pipeline.config.members import output_key
from steps.context import Context
from steps.evaluate_model import NAME as EVALUATION
from steps.evaluate_model import PAGE, PAGES, REPORT
from steps.find_champion import PACKAGE
from steps.request_step import RequestStep
from steps.settings import service_retries

NAME = "RegisterModel"
LONGEST_VALUE = 256  # characters of a value of CustomerMetadataProperties
LONGEST_EXECUTION = 12  # characters of an execution's id
WORDS = ("Register model", "Adds the model to the registry, where somebody approves or rejects it.")
# serve.py looks at the body's first bytes; these are the kinds that it knows.
CONTENT_TYPES = [
    "application/x-image",
    *(f"image/{kind}" for kind in ("jpeg", "png", "webp", "bmp", "gif", "tiff")),
    *(f"application/{kind}" for kind in ("x-npy", "x-npz", "json", "jsonlines")),
]
ANSWERS = ["application/json", "application/jsonlines", "text/csv", "application/x-npy"]


def register_model(
    context: Context, model: RequestStep, evaluation: RequestStep, champion: LambdaStep | None = None
) -> RequestStep:
    """A RegisterModel step; with a group the service takes neither Tags nor a name. It has no cache."""
    config = context.config
    request: dict[str, Any] = {
        "ModelPackageGroupName": config.package_group,
        "ModelPackageDescription": f"{config.model.label} of the pipeline {config.pipeline.name}",
        "InferenceSpecification": _inference(context, model),
        "ModelApprovalStatus": context.parameters["ModelApprovalStatus"],
        "ModelMetrics": {"ModelQuality": {"Statistics": _statistics(evaluation)}},
        "Domain": "COMPUTER_VISION",
        "Task": "IMAGE_CLASSIFICATION",
        "CustomerMetadataProperties": {**_provenance(context, champion), **_page(context, evaluation)},
    }
    if config.security.kms_key:
        request["SecurityConfig"] = output_key(config)
    step = RequestStep(NAME, StepTypeEnum.REGISTER_MODEL, request, WORDS)
    return step.behaving(None, service_retries(config.retries.register_model))


def _inference(context: Context, model: RequestStep) -> dict[str, Any]:
    config = context.config
    container = {
        "Image": config.serving_image,
        "ModelDataUrl": model.properties.ModelArtifacts.S3ModelArtifacts,
        "Environment": {
            "SAGEMAKER_PROGRAM": "inference.py",
            "SAGEMAKER_SUBMIT_DIRECTORY": "/opt/ml/model/code",
            **config.serving.environment,
        },
        "Framework": "PYTORCH",
        "FrameworkVersion": config.images.framework_version,
    }
    return {
        "Containers": [container],
        "SupportedRealtimeInferenceInstanceTypes": [config.deploy.instance_type],
        "SupportedContentTypes": CONTENT_TYPES,
        "SupportedResponseMIMETypes": ANSWERS,
    }


def _statistics(evaluation: RequestStep) -> dict[str, Any]:
    folder = evaluation.properties.ProcessingOutputConfig.Outputs[REPORT.output_name].S3Output.S3Uri
    # The folder's address ends in "/": joined on nothing, it stays one address.
    return {"ContentType": "application/json", "S3Uri": Join(on="", values=[folder, REPORT.path])}


def _page(context: Context, evaluation: RequestStep) -> dict[str, Any]:
    """Where the model's page lies; left out where the folder's name alone fills what a value may hold."""
    longest = context.config.pipeline.address("runs", "x" * LONGEST_EXECUTION, EVALUATION, PAGES) + PAGE
    if len(longest) > LONGEST_VALUE:
        return {}
    folder = evaluation.properties.ProcessingOutputConfig.Outputs[PAGES].S3Output.S3Uri
    return {"page": Join(on="", values=[folder, PAGE])}


def _provenance(context: Context, champion: LambdaStep | None) -> dict[str, Any]:
    """At most 50 values of at most 256 letters, digits, blanks and `_.:/=+-@`."""
    config = context.config
    known = {
        "pipeline": config.pipeline.name,
        "execution": ExecutionVariables.PIPELINE_EXECUTION_ARN,
        "dataset": config.dataset.kind,
        "architecture": config.model.label,
    }
    # The folder's last part, such as train-0123456789abcdef, names the code by its content.
    code = {f"code {program}": address.rstrip("/").rsplit("/", 1)[-1] for program, address in context.code.items()}
    compared = {} if champion is None else {"champion": champion.properties.Outputs[PACKAGE]}
    return {**known, **compared, **code}
