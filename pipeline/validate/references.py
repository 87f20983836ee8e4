"""Every placeholder: is it well-formed, does its target exist, and of which type will its value be?"""

from __future__ import annotations

from collections.abc import Callable

from pipeline.validate import properties
from pipeline.validate.document import BRANCHES, Document, Step
from pipeline.validate.node import Node, nearest, quote
from pipeline.validate.properties import ANY, Answer
from pipeline.validate.values import GET, JOIN, JSON_GET, placeholders

PARAMETER_TYPES = {"String": "string", "Integer": "integer", "Float": "float", "Boolean": "boolean"}

# sagemaker.core.workflow.execution_variables
EXECUTION_VARIABLES = (
    "StartDateTime",
    "CurrentDateTime",
    "PipelineName",
    "PipelineArn",
    "PipelineExecutionId",
    "PipelineExecutionArn",
    "TrainingJobName",
    "ProcessingJobName",
)
# those that only exist in a step of this type: the name of its own job
OWN_JOB_NAMES = {"TrainingJobName": "Training", "ProcessingJobName": "Processing"}
EXPERIMENT_MEMBERS = ("ExperimentName", "TrialName")
ROOTS = "Parameters.X, Execution.X, Steps.X.property or PipelineExperimentConfig.X"


def check_step(document: Document, step: Step) -> None:
    """Also records which steps this one needs, and which parameters it uses."""
    for key, member in step.node.members():
        skip = BRANCHES if key == "Arguments" and step.type == "Condition" else ()
        for placeholder in placeholders(member, skip):
            check(document, placeholder, step)


def check_outside(document: Document, node: Node) -> None:
    """Placeholders that stand in no step: PipelineExperimentConfig may name parameters and execution variables."""
    for placeholder in placeholders(node):
        check(document, placeholder, None)


def check(document: Document, node: Node, step: Step | None) -> None:
    functions = [key for key in node.value if key == GET or key.startswith("Std:")]
    if len(node.value) != 1 or len(functions) != 1:
        node.error(f"a placeholder has exactly one member, this has {', '.join(map(quote, node.value))}", "split it up")
        return
    checker = FUNCTIONS.get(functions[0])
    if checker is None:
        mend = nearest(functions[0], FUNCTIONS, "use Get, Std:Join or Std:JsonGet")
        node.error(f"there is no function {quote(functions[0])}", mend)
        return
    checker(document, node, step)


def _check_get(document: Document, node: Node, step: Step | None) -> None:
    target = node[GET].text
    if target is None:
        node.error(f"Get takes a text, not {quote(node[GET].value)}", f"write {ROOTS}")
        return
    if _inside_json_get(node):
        return
    answer = answer_for(document, target)
    if answer.kind is None:
        node.error(f"{quote(target)}: {answer.problem}", answer.mend)
    _check_own_job(node, target, step)
    _record(document, node, target, step)


def _check_own_job(node: Node, target: str, step: Step | None) -> None:
    wanted = OWN_JOB_NAMES.get(target.removeprefix("Execution."), "") if target.startswith("Execution.") else ""
    if wanted and (step is None or step.type != wanted):
        place = f"step {quote(step.name)} is of type {step.type}" if step else "it stands in no step"
        mend = f"take Steps.<name>.{wanted}JobName, the property of the {wanted} step"
        node.error(f"{quote(target)} is the name of a {wanted} step's own job, and {place}", mend)


def _inside_json_get(node: Node) -> bool:
    """The PropertyFile of a JsonGet is not a property: _check_json_get looks after it."""
    holder = node.parent
    return node.key == "PropertyFile" and holder is not None and holder.key == JSON_GET


def _record(document: Document, node: Node, target: str, step: Step | None) -> None:
    root, _, rest = target.partition(".")
    if root == "Parameters":
        document.used_parameters.add(rest)
    elif root == "Steps":
        name = step_named(target)
        if step is None:
            node.error("only steps can refer to steps", "use a parameter or an execution variable")
        elif name in document.by_name:
            document.edges.setdefault(step.name, {}).setdefault(name, node)


def step_named(target: str) -> str:
    return target.removeprefix("Steps.").partition(".")[0].partition("[")[0]


def answer_for(document: Document, target: str) -> Answer:
    root, dot, rest = target.partition(".")
    reader = TARGETS.get(root)
    if reader is None or not dot or not rest:
        return Answer(
            None, "a reference starts with Parameters, Execution, Steps or PipelineExperimentConfig", f"write {ROOTS}"
        )
    return reader(document, rest)


def _parameter(document: Document, name: str) -> Answer:
    parameter = document.parameters.get(name)
    if parameter is None:
        return Answer(
            None, f"there is no parameter {quote(name)}", nearest(name, document.parameters, "add it to Parameters")
        )
    return Answer(PARAMETER_TYPES.get(parameter["Type"].text or "", ANY))


def _execution(document: Document, name: str) -> Answer:
    if name in EXECUTION_VARIABLES:
        return Answer("string")
    return Answer(None, f"there is no execution variable {quote(name)}", nearest(name, EXECUTION_VARIABLES, ""))


def _property(document: Document, rest: str) -> Answer:
    name = step_named(f"Steps.{rest}")
    step = document.by_name.get(name)
    if step is None:
        return Answer(
            None, f"there is no step {quote(name)}", nearest(name, document.by_name, "name a step of this pipeline")
        )
    path = rest[len(name) :]
    if path.startswith(".PropertyFiles."):
        mend = 'write {"Std:JsonGet": {"PropertyFile": {"Get": …}, "Path": …}}'
        return Answer(None, "a property file is read by Std:JsonGet", mend)
    if not path.startswith("."):
        return Answer(
            None, "it names a step but no property of it", f"write Steps.{name}.Property; use DependsOn for the order"
        )
    return properties.resolve(step, path[1:])


def _experiment(document: Document, name: str) -> Answer:
    if name not in EXPERIMENT_MEMBERS:
        return Answer(None, f"PipelineExperimentConfig has no {quote(name)}", nearest(name, EXPERIMENT_MEMBERS, ""))
    if not document.root["PipelineExperimentConfig"].there:
        return Answer(None, "the document has no PipelineExperimentConfig", "add one, or use an execution variable")
    return Answer("string")


def _check_join(document: Document, node: Node, step: Step | None) -> None:
    call = node[JOIN]
    if not isinstance(call.value, dict) or set(call.value) - {"On", "Values"}:
        call.error("Std:Join takes On and Values", 'write {"Std:Join": {"On": "/", "Values": [...]}}')
        return
    if call["On"].text is None:
        call["On"].error("On is the text between the values", 'write "On": "" or another literal text')
    if not isinstance(call["Values"].value, list) or not call["Values"].value:
        call["Values"].error("Values is a list of at least one value", 'write "Values": ["a", {"Get": "Parameters.X"}]')
    for value in call["Values"]:
        kind = kind_of(document, value)
        if kind in ("structure", "list", "map", "null"):
            value.error(f"a {kind} cannot be joined into a text", "join texts, numbers and references to them")


def _check_json_get(document: Document, node: Node, step: Step | None) -> None:
    call = node[JSON_GET]
    members = set(call.value) if isinstance(call.value, dict) else set()
    if members not in ({"PropertyFile", "Path"}, {"S3Uri", "Path"}):
        call.error(
            f"Std:JsonGet takes Path and either PropertyFile or S3Uri, this has {', '.join(sorted(members)) or 'none'}",
            'write {"PropertyFile": {"Get": "Steps.X.PropertyFiles.Y"}, "Path": "a.b"}',
        )
    _check_json_path(call["Path"])
    if "PropertyFile" in members:
        _check_property_file(document, call["PropertyFile"], step)


def _check_json_path(path: Node) -> None:
    text = path.text
    if text is None:
        if path.there:
            path.error("the Path of a JsonGet must be literal", "write the path out; a parameter cannot stand there")
        return
    if not text.strip() or text.count("[") != text.count("]") or ".." in text or text.endswith("."):
        path.error(f"{quote(text)} is not a path into JSON", "write it as metrics.accuracy.value or rows[0]['name']")


def _check_property_file(document: Document, node: Node, step: Step | None) -> None:
    target = node[GET].text or ""
    parts = target.split(".", 3)
    if len(parts) != 4 or parts[0] != "Steps" or parts[2] != "PropertyFiles":
        node.error(f"{quote(node.value)} names no property file", 'write {"Get": "Steps.X.PropertyFiles.Y"}')
        return
    holder = document.by_name.get(parts[1])
    if holder is None:
        mend = nearest(parts[1], document.by_name, "name a step of this pipeline")
        node.error(f"there is no step {quote(parts[1])}", mend)
        return
    if step is not None:
        document.edges.setdefault(step.name, {}).setdefault(holder.name, node)
    if holder.type != "Processing":
        node.error(
            f"{holder.name} is a {holder.type} step: only Processing has property files", "name a Processing step"
        )
        return
    names = [name for item in holder.node["PropertyFiles"] if (name := item["PropertyFileName"].text) is not None]
    if parts[3] not in names:
        mend = nearest(parts[3], names, f"add it to the PropertyFiles of {holder.name}")
        node.error(f"{holder.name} has no property file {quote(parts[3])}", mend)


def kind_of(document: Document, node: Node) -> str | None:
    """The model's word for the type that a value will have; None for a broken placeholder (reported elsewhere)."""
    match node.value:
        case {"Get": target} if len(node.value) == 1:
            return answer_for(document, target).kind if isinstance(target, str) else None
        case {"Std:Join": _}:
            return "string"
        case {"Std:JsonGet": _}:
            return ANY
        case dict():
            return None if any(key.startswith("Std:") for key in node.value) else "structure"
        case None:
            return "null"
        case _:
            return next(kind for python, kind in PYTHON_KINDS if isinstance(node.value, python))


PYTHON_KINDS: tuple[tuple[type, str], ...] = (
    (bool, "boolean"),
    (int, "integer"),
    (float, "float"),
    (str, "string"),
    (list, "list"),
)
FUNCTIONS: dict[str, Callable[[Document, Node, Step | None], None]] = {
    GET: _check_get,
    JOIN: _check_join,
    JSON_GET: _check_json_get,
}
TARGETS: dict[str, Callable[[Document, str], Answer]] = {
    "Parameters": _parameter,
    "Execution": _execution,
    "Steps": _property,
    "PipelineExperimentConfig": _experiment,
}
