"""EndpointConfig and Endpoint steps: variants, and how a new fleet takes over."""

from __future__ import annotations

import re

from pipeline.validate import limits
from pipeline.validate.document import Document, Step
from pipeline.validate.node import Node, duplicates
from pipeline.validate.references import step_named
from pipeline.validate.values import literal_text, number

CUDA_13 = re.compile(r"cu(da)?-?13\d?")
CUDA_13_AMI = "al2023-ami-sagemaker-inference-gpu-4-1"
_WARM = "ProvisionedConcurrency"


def check_config(document: Document, step: Step) -> None:
    variants = [*step.arguments["ProductionVariants"], *step.arguments["ShadowProductionVariants"]]
    for later, first in duplicates(variant["VariantName"] for variant in variants):
        later.error(f"the variant {later.value} is declared twice, first at {first.path}", "rename one of them")
    for variant in variants:
        if not isinstance(variant.value, dict):
            continue
        if "ServerlessConfig" in variant and "InstanceType" in variant:
            variant.error("a variant is either serverless or has an InstanceType", "keep exactly one of the two")
        if not any(key in variant for key in ("ServerlessConfig", "InstanceType", "InstancePools")):
            variant.error(
                "a variant without InstanceType", "add InstanceType and InitialInstanceCount, or ServerlessConfig"
            )
        if "InstanceType" in variant and not {"InitialInstanceCount", "ManagedInstanceScaling"} & variant.value.keys():
            variant.error("InitialInstanceCount is missing", "add InitialInstanceCount")
        _check_ami(document, variant)
        _check_serverless(document, step, variant)
    _check_asynchronous(step)


def _check_serverless(document: Document, step: Step, variant: Node) -> None:
    """https://docs.aws.amazon.com/sagemaker/latest/dg/serverless-endpoints.html: memory, and feature exclusions."""
    chosen = variant["ServerlessConfig"]
    if not isinstance(chosen.value, dict):
        return
    memory, most, warm = (number(chosen[key].value) for key in ("MemorySizeInMB", "MaxConcurrency", _WARM))
    if memory is not None and memory % 1024:
        chosen["MemorySizeInMB"].error(f"{memory:g} MB", "write 1024, 2048, 3072, 4096, 5120 or 6144")
    if warm is not None and most is not None and warm > most:
        chosen[_WARM].error(f"{warm:g} is above MaxConcurrency ({most:g})", f"write at most {most:g}")
    if "InitialInstanceCount" in variant:
        variant["InitialInstanceCount"].error("a serverless variant has no instances", "remove it")
    if len(step.arguments["ProductionVariants"].value) > 1:
        variant.error("a serverless endpoint has one variant", "remove the others")
    for key in ("DataCaptureConfig", "AsyncInferenceConfig", "ShadowProductionVariants"):
        if key in step.arguments:
            step.arguments[key].error(f"serverless endpoints have no {key}", "remove it, or take instances")
    _check_serverless_model(document, variant)


def _check_serverless_model(document: Document, variant: Node) -> None:
    model = _model(document, variant)
    if model is None:
        return
    if "VpcConfig" in model.arguments:
        variant.error(f"{model.name} has a VpcConfig; serverless endpoints have no VPC", "remove it, or take instances")
    if model.arguments["EnableNetworkIsolation"].value is True:
        variant.error(
            f"{model.name} is isolated, which serverless endpoints cannot be", "remove EnableNetworkIsolation"
        )
    if "Containers" in model.arguments:
        variant.error(f"{model.name} has several containers; serverless endpoints run one", "name a PrimaryContainer")


def _check_asynchronous(step: Step) -> None:
    """https://docs.aws.amazon.com/sagemaker/latest/dg/async-inference-create-endpoint.html"""
    chosen = step.arguments["AsyncInferenceConfig"]
    if not isinstance(chosen.value, dict):
        return
    output = chosen["OutputConfig"]
    if isinstance(output.value, dict) and "S3OutputPath" not in output:
        output.error("answers have nowhere to go: S3OutputPath is missing", "add S3OutputPath")
    for key in ("S3OutputPath", "S3FailurePath"):
        address = literal_text(output[key].value)
        if address is not None and not address.startswith("s3://"):
            output[key].error(f"{address!r} is no S3 address", "write s3://bucket/folder/")


def _check_ami(document: Document, variant: Node) -> None:
    """The default machine image of real-time hosting has no driver for CUDA 13."""
    model = _model(document, variant)
    if model is None:
        return
    image = literal_text(model.arguments.at("PrimaryContainer", "Image").value) or ""
    if CUDA_13.search(image) and variant["InferenceAmiVersion"].value is None:
        variant.error(
            f"{model.name} runs a CUDA 13 image: it needs a newer machine image",
            f'add "InferenceAmiVersion": "{CUDA_13_AMI}"',
        )


def _model(document: Document, variant: Node) -> Step | None:
    """The Model step that the variant refers to, if it does."""
    name = variant["ModelName"].value
    target = name.get("Get") if isinstance(name, dict) else None
    model = document.by_name.get(step_named(target)) if isinstance(target, str) else None
    return model if model is not None and model.type == "Model" else None


def check_endpoint(document: Document, step: Step) -> None:
    policy = step.arguments.at("DeploymentConfig", "BlueGreenUpdatePolicy")
    routing = policy["TrafficRoutingConfiguration"]
    _check_routing(routing)
    if "RollingUpdatePolicy" in step.arguments["DeploymentConfig"] and policy.there:
        step.arguments["DeploymentConfig"].error(
            "both BlueGreenUpdatePolicy and RollingUpdatePolicy", "keep one of the two"
        )


def _check_routing(routing: Node) -> None:
    needs = {"CANARY": "CanarySize", "LINEAR": "LinearStepSize"}
    kind = routing["Type"].value
    for other, key in needs.items():
        if kind == other and key not in routing:
            routing.error(f"{kind} routing without {key}", f"add {key}")
        elif kind != other and key in routing:
            routing[key].error(f"{key} with {kind} routing", f"remove it, or write Type {other}")
    canary, step = routing["CanarySize"], routing["LinearStepSize"]
    if canary["Type"].value == "CAPACITY_PERCENT":
        _check_percent(canary["Value"], 1, limits.CANARY_PERCENT.value)
    if step["Type"].value == "CAPACITY_PERCENT":
        _check_percent(step["Value"], limits.LINEAR_PERCENT_MIN.value, limits.LINEAR_PERCENT_MAX.value)


def _check_percent(node: Node, lowest: int, highest: int) -> None:
    percent = number(node.value)
    if percent is not None and not lowest <= percent <= highest:
        node.error(f"{percent:g}% of the fleet", f"write {lowest} to {highest}")
