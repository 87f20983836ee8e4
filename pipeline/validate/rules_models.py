"""Model and RegisterModel steps: containers, and what a package of a group may not have."""

from __future__ import annotations

from pipeline.validate.document import Document, Step
from pipeline.validate.node import Node, nearest, quote

UNGROUPED_ONLY = {
    "ModelPackageName": "the group names its packages by version",
    "Tags": "tags belong to the group",
    "CertifyForMarketplace": "packages of a group are not for the Marketplace",
}
SOURCES = ("InferenceSpecification", "SourceAlgorithmSpecification", "SourceUri")
# API reference, CreateModelPackage: the values that Inference Recommender knows.
DOMAINS = ("COMPUTER_VISION", "NATURAL_LANGUAGE_PROCESSING", "MACHINE_LEARNING")
TASKS = (
    "IMAGE_CLASSIFICATION",
    "OBJECT_DETECTION",
    "TEXT_GENERATION",
    "IMAGE_SEGMENTATION",
    "FILL_MASK",
    "CLASSIFICATION",
    "REGRESSION",
    "OTHER",
)


def check_model(document: Document, step: Step) -> None:
    arguments = step.arguments
    if not isinstance(arguments.value, dict):
        return
    if ("PrimaryContainer" in arguments) == ("Containers" in arguments):
        arguments.error("a model has either PrimaryContainer or Containers", "keep exactly one of the two")
    for container in (arguments["PrimaryContainer"], *arguments["Containers"]):
        if isinstance(container.value, dict) and "Image" not in container and "ModelPackageName" not in container:
            container.error("a container without Image and without ModelPackageName", "add Image")
    if "ExecutionRoleArn" not in arguments:
        arguments.warning("ExecutionRoleArn is missing: most models cannot be hosted without", "add ExecutionRoleArn")


def check_package(document: Document, step: Step) -> None:
    arguments = step.arguments
    if not isinstance(arguments.value, dict):
        return
    if "ModelPackageGroupName" in arguments:
        for key, why in UNGROUPED_ONLY.items():
            if key in arguments:
                arguments[key].error(f"{key} together with ModelPackageGroupName: {why}", f"remove {key}")
    elif "ModelPackageName" not in arguments:
        arguments.error("a package needs a group or a name", "add ModelPackageGroupName")
    if not any(key in arguments for key in SOURCES):
        arguments.error("a package without a container", "add InferenceSpecification")
    for container in arguments.at("InferenceSpecification", "Containers"):
        if isinstance(container.value, dict) and "Image" not in container and "BaseModel" not in container:
            container.error("Image is missing: the package could not be deployed", "add Image")
    _check_word(arguments["Domain"], DOMAINS)
    _check_word(arguments["Task"], TASKS)
    sample = arguments["SamplePayloadUrl"]
    if sample.text is not None and not sample.text.endswith(".tar.gz"):
        sample.error(
            f"SamplePayloadUrl {quote(sample.text)} is not a .tar.gz archive", "pack the samples into one .tar.gz"
        )


def _check_word(node: Node, words: tuple[str, ...]) -> None:
    if node.text is not None and node.text not in words:
        node.warning(
            f"{quote(node.text)} is no {node.key} that SageMaker knows",
            nearest(node.text, words, "use one of " + ", ".join(words)),
        )
