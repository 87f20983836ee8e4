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


def _check_ami(document: Document, variant: Node) -> None:
    """The default machine image of real-time hosting has no driver for CUDA 13."""
    name = variant["ModelName"].value
    target = name.get("Get") if isinstance(name, dict) else None
    model = document.by_name.get(step_named(target)) if isinstance(target, str) else None
    if model is None or model.type != "Model":
        return
    image = literal_text(model.arguments.at("PrimaryContainer", "Image").value) or ""
    if CUDA_13.search(image) and variant["InferenceAmiVersion"].value is None:
        variant.error(
            f"{model.name} runs a CUDA 13 image: it needs a newer machine image",
            f'add "InferenceAmiVersion": "{CUDA_13_AMI}"',
        )


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
