"""What the service refuses in a job's resources, times and channels, whichever the job type."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator

from pipeline.request_sizes import DEFAULT_PAYLOAD_MB, MOST_TRANSFORM_MB, together_mb
from pipeline.validate.document import Document, Step
from pipeline.validate.node import Node, duplicates, quote
from pipeline.validate.values import literal_text, number

# Instances with local NVMe storage: AWS names g4dn, g5, p4d among others; those from EC2's tables.
NVME = re.compile(r"ml\.(g4dn|g5|g6e?|gr6|g7e?|p3dn|p4de?|p5\w*|p6\S*?|trn1n?|trn2|[cmr]\d+[a-z]*d[a-z]*)\.")
SCRIPT_MODE_NAME = re.compile(r"[a-z0-9_]+")  # AWS training toolkit: SM_CHANNEL_<NAME>
SHELL_IMAGE = re.compile(r"/pytorch:2\.1[1-9]")  # AWS's images with training toolkit 5.1.1
SHELL = re.compile(r"[\s;&|`$<>()]")
LOOKS_LIKE_POWER = re.compile(r"\d+[eE]\d+")


def training_requests(step: Step) -> Iterator[Node]:
    """The objects that hold a training job's members: one for Training, each definition for Tuning."""
    if step.type == "Training":
        yield step.arguments
    elif step.type == "Tuning":
        if step.arguments["TrainingJobDefinition"].there:
            yield step.arguments["TrainingJobDefinition"]
        yield from step.arguments["TrainingJobDefinitions"]


def check_training(document: Document, step: Step) -> None:
    for request in training_requests(step):
        _check_resources(document, request["ResourceConfig"])
        _check_count(document, request["ResourceConfig"])
        _check_epochs(document, request)
        _check_spot(document, request)
        _check_algorithm(request["AlgorithmSpecification"])
        _check_channels(document, request)
        _check_script_mode(document, step, request)
    if step.type == "Training" and "ServerlessJobConfig" not in step.arguments:
        for key in ("AlgorithmSpecification", "ResourceConfig", "StoppingCondition"):
            if key not in step.arguments:
                step.arguments.error(f"{key} is missing", f"add {key}: only serverless jobs go without")


def check_processing_resources(document: Document, step: Step) -> None:
    _check_resources(document, step.arguments.at("ProcessingResources", "ClusterConfig"))


def check_transform(document: Document, step: Step) -> None:
    """https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_CreateTransformJob.html"""
    _check_resources(document, step.arguments["TransformResources"])
    payload, many = step.arguments["MaxPayloadInMB"], step.arguments["MaxConcurrentTransforms"]
    megabytes = number(payload.value) if payload.there else DEFAULT_PAYLOAD_MB
    at_once = number(many.value) or 1  # what only a run will know is one at least
    if megabytes is None or (together := together_mb(at_once, megabytes)) <= MOST_TRANSFORM_MB:
        return
    where = payload if payload.there else many
    says = f"{at_once:g} requests at once of {megabytes:g} MB are {together:g} MB together"
    if at_once == 1:
        says = f"a request of {megabytes:g} MB"
    ways = ((payload.key, at_once), (many.key, megabytes))
    most = [f"{key} of at most {MOST_TRANSFORM_MB // other:g}" for key, other in ways if other <= MOST_TRANSFORM_MB]
    where.error(says, f"write {', or '.join(most) or 'less of both'}")


def _check_resources(document: Document, resources: Node) -> None:
    key = resources["VolumeKmsKeyId"]
    if key.there:
        _check_nvme(document, resources["InstanceType"], key)
        for group in resources["InstanceGroups"]:
            _check_nvme(document, group["InstanceType"], key)
    volume = resources["VolumeSizeInGB"]
    for value, words in document.possible(volume.value):
        if number(value) == 0:
            volume.error(f"{words}a volume of 0 GB", "write at least 1")


def _check_count(document: Document, resources: Node) -> None:
    """The API's own model takes 0, for clusters whose instances stand in InstanceGroups."""
    count = resources["InstanceCount"]
    if "InstanceGroups" in resources:
        return
    for value, words in document.possible(count.value):
        if number(value) == 0:
            count.error(f"{words}a job of 0 instances", "write at least 1")


def _check_epochs(document: Document, request: Node) -> None:
    """The one hyperparameter that all programs mean alike; a training of none fails after the data was prepared."""
    for member in ("HyperParameters", "StaticHyperParameters"):
        epochs = request[member]["epochs"]
        for value, words in document.possible(epochs.value):
            count = number(value)
            if count is not None and count < 1:
                epochs.error(f"{words}a training of {count:g} epochs", "write at least 1")


def _check_nvme(document: Document, instance: Node, key: Node) -> None:
    for value, words in document.possible(instance.value):
        if isinstance(value, str) and NVME.match(value):
            key.error(
                f"{words}{value}, whose local NVMe storage refuses VolumeKmsKeyId",
                "remove VolumeKmsKeyId: that storage is encrypted by its hardware",
            )
            return


def _check_spot(document: Document, request: Node) -> None:
    stopping = request["StoppingCondition"]
    wait, run = stopping["MaxWaitTimeInSeconds"], stopping["MaxRuntimeInSeconds"]
    spot = request["EnableManagedSpotTraining"].value
    if wait.there and spot in (None, False):
        wait.error(
            "MaxWaitTimeInSeconds is only for spot training", "remove it, or set EnableManagedSpotTraining to true"
        )
    if spot is True and not wait.there:
        stopping.error("spot training needs MaxWaitTimeInSeconds", "add it, at least MaxRuntimeInSeconds")
    longest, runs = number(document.default(wait.value)), number(document.default(run.value))
    if longest is not None and runs is not None and longest < runs:
        wait.error(
            f"MaxWaitTimeInSeconds {longest:g} is below MaxRuntimeInSeconds {runs:g}", f"write at least {runs:g}"
        )


def _check_algorithm(algorithm: Node) -> None:
    if not isinstance(algorithm.value, dict):
        return
    if ("TrainingImage" in algorithm) == ("AlgorithmName" in algorithm):
        algorithm.error("an algorithm is either a TrainingImage or an AlgorithmName", "keep exactly one of the two")
    metrics = algorithm["MetricDefinitions"]
    for later, first in duplicates(metric["Name"] for metric in metrics):
        later.error(f"the metric {later.value} is defined twice, first at {first.path}", "remove one")
    for metric in metrics:
        _check_regex(metric["Regex"])


def _check_regex(regex: Node) -> None:
    text = literal_text(regex.value)
    if text is None:
        return
    try:
        groups = re.compile(text).groups
    except (re.error, RecursionError, OverflowError) as exc:
        regex.error(f"{quote(text)} is no regular expression: {exc}", "write it as name=([0-9.]+)")
        return
    if groups == 0:
        regex.error(f"{quote(text)} captures nothing", "put the number in parentheses: name=([0-9.]+)")


def _check_channels(document: Document, request: Node) -> None:
    channels = request["InputDataConfig"]
    for later, first in duplicates(channel["ChannelName"] for channel in channels):
        later.error(f"the channel {later.value} is declared twice, first at {first.path}", "rename one of them")
    default_mode = request.at("AlgorithmSpecification", "TrainingInputMode").value
    for channel in channels:
        mode = channel["InputMode"].value or default_mode
        if channel["CompressionType"].value == "Gzip" and mode != "Pipe":
            channel["CompressionType"].error(
                f"Gzip is unpacked in Pipe mode only, this channel is {quote(mode)}",
                "write None, and unpack it in the program",
            )


def hyperparameters(request: Node) -> Node:
    return request["StaticHyperParameters"] if "StaticHyperParameters" in request else request["HyperParameters"]


def _check_script_mode(document: Document, step: Step, request: Node) -> None:
    """The AWS training toolkit's own limits: they hold where sagemaker_program hands it a script."""
    values = hyperparameters(request)
    if "sagemaker_program" not in values:
        return
    for channel in request["InputDataConfig"]:
        name = channel["ChannelName"]
        if name.text is not None and not SCRIPT_MODE_NAME.fullmatch(name.text):
            name.error(
                f"the channel name {quote(name.text)} makes no SM_CHANNEL_ variable that a script can read",
                "use small letters, digits and _ only",
            )
    image = literal_text(request.at("AlgorithmSpecification", "TrainingImage").value) or ""
    for key, value in values.members():
        if not key.startswith("sagemaker_"):
            for text, words in document.possible(value.value):
                _check_argument(value, str(text), words, image)


def _check_argument(node: Node, text: str, words: str, image: str) -> None:
    if SHELL.search(text):
        report = node.error if SHELL_IMAGE.search(image) else node.warning
        report(
            f"{words}{quote(text)}: the training toolkit 5.1.1 passes it through a shell, which would act on it",
            "write a value without blanks and without ; & | ` $ < > ( )",
        )
    elif LOOKS_LIKE_POWER.fullmatch(text) and _decodes_to_infinity(text):
        node.error(
            f"{words}{quote(text)}: the training toolkit reads that as infinity", "keep digests out of hyperparameters"
        )


def _decodes_to_infinity(text: str) -> bool:
    try:
        return math.isinf(float(json.loads(text)))
    except (ValueError, OverflowError):
        return False
