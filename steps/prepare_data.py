"""PrepareData: pictures → train, validation and test splits."""

from __future__ import annotations

from sagemaker.mlops.workflow.steps import StepTypeEnum

from steps import processing
from steps.context import Context
from steps.request_step import RequestStep
from steps.settings import caching

NAME = "PrepareData"
PROGRAM = "prepare.py"
WORDS = (
    "Prepare data",
    "Splits the pictures into train, validation and test, brings them to one size, and reports on them.",
)


def prepare_data(context: Context) -> RequestStep:
    """A Processing step; kinds that bring their pictures along have no input `dataset`."""
    outputs = [processing.s3_output(context, NAME, name) for name in ("train", "validation", "test", "report")]
    inputs = []
    if "DatasetUri" in context.parameters:
        inputs.append(processing.s3_input("dataset", context.parameters["DatasetUri"]))
    request = processing.request(context, PROGRAM, context.config.role("prepare_data"), inputs, outputs)
    request["AppSpecification"]["ContainerArguments"] = _arguments(context)
    step = RequestStep(NAME, StepTypeEnum.PROCESSING, request, WORDS)
    return step.behaving(caching(context.config), processing.retries(context))


def _arguments(context: Context) -> list[str]:
    """Every setting each time: what is left out here would be no part of the cache key."""
    dataset = context.config.dataset
    return [
        *("--kind", dataset.kind),
        *("--image-size", str(dataset.image_size)),
        *("--square", dataset.square),
        *("--raw-limit-mib", str(dataset.raw_limit_mib)),
        *("--validation-fraction", str(dataset.validation_fraction)),
        *("--test-fraction", str(dataset.test_fraction)),
        *("--seed", str(dataset.seed)),
        *(("--manifest", dataset.manifest) if dataset.manifest else ()),
        *(word for name, value in context.config.doctor for word in ("--doctor", f"{name}={value}")),
        *(processing.places(input="dataset") if "DatasetUri" in context.parameters else processing.places()),
    ]
