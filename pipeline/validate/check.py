"""Runs every family of rules over a document; which rules a step type has stands in one table."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping

from pipeline.validate import (
    conditions,
    envelope,
    graph,
    limits,
    references,
    rules_debugger,
    rules_endpoints,
    rules_functions,
    rules_jobs,
    rules_models,
    rules_parameters,
    rules_policy,
    rules_processing,
    rules_storage,
    rules_tuning,
    shapes,
)
from pipeline.validate.document import Document, Step, read
from pipeline.validate.finding import Finding
from pipeline.validate.node import Node, quote

Rule = Callable[[Document, Step], None]

EVERY_STEP: tuple[Rule, ...] = (
    envelope.check_step,
    graph.check_depends_on,
    references.check_step,
    shapes.check_step,
    rules_policy.check_cache,
    rules_policy.check_retries,
)
OWN_RULES: dict[str, tuple[Rule, ...]] = {
    "Processing": (rules_processing.check, rules_jobs.check_processing_resources),
    "Training": (rules_jobs.check_training, rules_debugger.check),
    "Tuning": (rules_tuning.check, rules_jobs.check_training),
    "Transform": (rules_jobs.check_transform,),
    "Model": (rules_models.check_model,),
    "RegisterModel": (rules_models.check_package,),
    "EndpointConfig": (rules_endpoints.check_config,),
    "Endpoint": (rules_endpoints.check_endpoint,),
    "Lambda": (rules_functions.check_lambda,),
    "Callback": (rules_functions.check_callback,),
    "Condition": (conditions.check_step,),
    "Fail": (rules_functions.check_fail,),
}


def findings(value: object) -> list[Finding]:
    """In the order of the document: its own members, then step by step, then what concerns several steps."""
    report: list[Finding] = []
    root = Node(dict(value) if isinstance(value, Mapping) else value, report)
    if not isinstance(root.value, dict):
        root.error(
            f"a definition is a JSON object, not {quote(root.value)}", 'write {"Version": "2020-12-01", "Steps": [...]}'
        )
        return report
    report += _not_json(root.value)
    if report:
        return report  # too deep or not JSON at all: nothing below can be read safely
    _check_size(root)
    document = read(root)
    envelope.check_document(document)
    rules_parameters.check(document)
    references.check_outside(document, root["PipelineExperimentConfig"])
    for step in document.steps:
        for rule in (*EVERY_STEP, *OWN_RULES.get(step.type, ())):
            rule(document, step)
    graph.check_order(document)
    rules_storage.check(document)
    rules_parameters.check_used(document)
    return list(dict.fromkeys(report))


def _check_size(root: Node) -> None:
    size = len(json.dumps(root.value, separators=(",", ":"), ensure_ascii=False).encode(errors="replace"))
    if size > limits.DEFINITION_BYTES.value:
        root.error(
            f"the definition has {size} bytes, at most {limits.DEFINITION_BYTES.value} are allowed",
            "split the pipeline, or move long values into files",
        )


def _not_json(root: object) -> Iterator[Finding]:
    """Walks with a stack of its own: a hostile document may be deeper than Python can recurse, or hold itself."""
    stack: list[tuple[object, int]] = [(root, 0)]
    while stack:
        value, depth = stack.pop()
        if depth > limits.DEPTH.value:
            yield Finding("", "$", f"the document nests deeper than {limits.DEPTH.value} levels", "flatten it")
            return
        if isinstance(value, dict):
            if not all(isinstance(key, str) for key in value):
                yield Finding("", "$", "an object has a key that is not a text", "use the output of json.loads")
                return
            stack.extend((member, depth + 1) for member in value.values())
        elif isinstance(value, list):
            stack.extend((item, depth + 1) for item in value)
        elif value is not None and not isinstance(value, (str, int, float)):
            yield Finding("", "$", f"{quote(value)} is not a JSON value", "use the output of json.loads")
            return
