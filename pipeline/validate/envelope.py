"""What stands around the requests: the document's members, and each step's own members by its type."""

from __future__ import annotations

import re

from pipeline.validate import limits
from pipeline.validate.document import Document, Step
from pipeline.validate.limits import Limit
from pipeline.validate.node import Node, duplicates, nearest, quote
from pipeline.validate.values import is_placeholder

VERSION = "2020-12-01"
DOCUMENT_MEMBERS = ("Version", "Metadata", "Parameters", "PipelineExperimentConfig", "MlflowConfig", "Steps")
COMMON = ("Name", "Type", "Arguments", "DependsOn", "DisplayName", "Description", "CacheConfig", "RetryPolicies")
OWN_MEMBERS: dict[str, tuple[str, ...]] = {
    "Processing": ("PropertyFiles",),
    "Training": (),
    "Tuning": (),
    "Transform": (),
    "Model": (),
    "RegisterModel": (),
    "EndpointConfig": (),
    "Endpoint": (),
    "Lambda": ("FunctionArn", "OutputParameters"),
    "Callback": ("SqsQueueUrl", "OutputParameters"),
    "Condition": (),
    "Fail": (),
}
# The service has these too (sagemaker.mlops.workflow.steps.StepTypeEnum); darkroom neither checks nor runs them.
FOREIGN_TYPES = frozenset(
    {
        "QualityCheck",
        "ClarifyCheck",
        "EMR",
        "EMRServerless",
        "AutoML",
        "InferenceComponent",
        "Lineage",
        "Job",
        "Cleanup",
        "ForEach",
    }
)
NAME = re.compile(r"[A-Za-z0-9\-_]+")  # API reference, PipelineExecutionStep: StepName


def check_document(document: Document) -> None:
    root = document.root
    if root["Version"].value != VERSION:
        has = f"the version is {quote(root['Version'].value)}" if root["Version"].there else "there is no version"
        root["Version"].error(has, f'write "Version": "{VERSION}"')
    for key, member in root.members():
        if key not in DOCUMENT_MEMBERS:
            member.error(f"a definition has no member {quote(key)}", nearest(key, DOCUMENT_MEMBERS, "remove it"))
    for key in ("Metadata", "PipelineExperimentConfig", "MlflowConfig"):
        if root[key].there and not isinstance(root[key].value, dict):
            root[key].error(f"{key} is an object, not {quote(root[key].value)}", f"write an object, or leave {key} out")
    _check_experiment(root["PipelineExperimentConfig"])
    _check_steps(document)


def _check_experiment(config: Node) -> None:
    for key, member in config.members():
        if key not in ("ExperimentName", "TrialName"):
            member.error(f"PipelineExperimentConfig has no {quote(key)}", "it has ExperimentName and TrialName")
        elif member.text is None and not is_placeholder(member.value):
            member.error(f"{key} is a text, not {quote(member.value)}", "write a text or a reference")


def _check_steps(document: Document) -> None:
    steps = document.root["Steps"]
    if not isinstance(steps.value, list) or not steps.value:
        steps.error("Steps is a list of at least one step", 'write "Steps": [{"Name": …, "Type": …, "Arguments": …}]')
    if len(document.steps) > limits.STEPS.value:
        steps.warning(
            f"{len(document.steps)} steps; an account may have {limits.STEPS.value} in a pipeline by default",
            "ask for a higher quota, or split the pipeline",
        )
    for lists in (steps, *(step.arguments[side] for step in document.steps for side in ("IfSteps", "ElseSteps"))):
        for item in lists:
            if not isinstance(item.value, dict):
                item.error(
                    f"a step is an object, not {quote(item.value)}", 'write {"Name": …, "Type": …, "Arguments": …}'
                )
    for later, first in duplicates(step.node["Name"] for step in document.steps):
        later.error(f"the step name {later.value} is taken by {first.path}", "rename one of them")


def check_step(document: Document, step: Step) -> None:
    _check_name(step.node["Name"])
    kind = step.node["Type"]
    own = OWN_MEMBERS.get(step.type)
    if own is None:
        known = step.type in FOREIGN_TYPES
        what = (
            f"darkroom cannot check or run {step.type} steps" if known else f"there is no step type {quote(kind.value)}"
        )
        kind.error(what, nearest(step.type, OWN_MEMBERS, "use one of " + ", ".join(OWN_MEMBERS)))
        return
    for key, member in step.node.members():
        if key not in COMMON and key not in own:
            member.error(f"a {step.type} step has no {quote(key)}", nearest(key, (*COMMON, *own), "remove it"))
    if not step.arguments.there and step.type != "Callback":
        step.node.error("Arguments is missing", 'add "Arguments": {…}')
    _check_text(step.node["DisplayName"], limits.DISPLAY_NAME)
    _check_text(step.node["Description"], limits.DESCRIPTION)


def _check_name(name: Node) -> None:
    if name.text is None:
        name.error("a step has a Name", 'add "Name": "…"')
    elif len(name.text) > limits.STEP_NAME.value:
        name.error(
            f"the name has {len(name.text)} characters, at most {limits.STEP_NAME.value} are allowed", "shorten it"
        )
    elif not NAME.fullmatch(name.text):
        name.error(f"{quote(name.text)} is no step name", "use letters, digits, - and _ only")


def _check_text(node: Node, limit: Limit) -> None:
    if not node.there:
        return
    if node.text is None:
        node.error(f"{node.key} is a text, not {quote(node.value)}", "write a literal text")
    elif len(node.text) > limit.value:
        node.error(f"{len(node.text)} characters, at most {limit.value} are allowed ({limit.source})", "shorten it")
