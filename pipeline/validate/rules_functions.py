"""Lambda, Callback and Fail steps, which are no SageMaker requests and have schemas of their own."""

from __future__ import annotations

import re

from pipeline.validate.document import Document, Step
from pipeline.validate.node import Node, duplicates, nearest, quote
from pipeline.validate.properties import OUTPUT_TYPES
from pipeline.validate.references import kind_of
from pipeline.validate.values import is_placeholder

FUNCTION_ARN = re.compile(
    r"arn:aws[a-z-]*:lambda:[a-z0-9-]+:\d{12}:function:[A-Za-z0-9_-]{1,64}(:(\$LATEST|[A-Za-z0-9_-]+))?"
)
QUEUE_URL = re.compile(r"https://[^/\s]+/\d{12}/[A-Za-z0-9_-]{1,80}(\.fifo)?")
OUTPUT_MEMBERS = ("OutputName", "OutputType")


def check_lambda(document: Document, step: Step) -> None:
    arn = step.node["FunctionArn"]
    _check_target(arn, FUNCTION_ARN, "FunctionArn", "arn:aws:lambda:us-east-1:111122223333:function:name")
    _check_inputs(step.arguments)
    _check_outputs(step.node["OutputParameters"])


def check_callback(document: Document, step: Step) -> None:
    url = step.node["SqsQueueUrl"]
    _check_target(url, QUEUE_URL, "SqsQueueUrl", "https://sqs.us-east-1.amazonaws.com/111122223333/queue")
    _check_inputs(step.arguments)
    _check_outputs(step.node["OutputParameters"])


def check_fail(document: Document, step: Step) -> None:
    arguments = step.arguments
    for key, member in arguments.members():
        if key != "ErrorMessage":
            member.error(f"a Fail step has no {quote(key)}", "it has ErrorMessage only")
    message = arguments["ErrorMessage"]
    kind = kind_of(document, message)
    if kind in ("null", "structure", "list", "map", "boolean", "integer", "float") and not is_placeholder(
        message.value
    ):
        message.error(f"ErrorMessage is a text, not {quote(message.value)}", "say what went wrong, and what to do next")


def _check_target(node: Node, pattern: re.Pattern[str], name: str, example: str) -> None:
    if is_placeholder(node.value):
        return
    if node.text is None:
        node.error(
            f"{name} is missing" if not node.there else f"{name} is a text, not {quote(node.value)}", f"write {example}"
        )
    elif not pattern.fullmatch(node.text):
        node.error(f"{quote(node.text)} is no {name}", f"write it as {example}")


def _check_inputs(arguments: Node) -> None:
    if arguments.there and (not isinstance(arguments.value, dict) or is_placeholder(arguments.value)):
        arguments.error(f"Arguments is an object of inputs, not {quote(arguments.value)}", 'write {"name": value}')


def _check_outputs(outputs: Node) -> None:
    if outputs.there and not isinstance(outputs.value, list):
        outputs.error(f"OutputParameters is a list, not {quote(outputs.value)}", "write [{…}]")
    for later, first in duplicates(item["OutputName"] for item in outputs):
        later.error(f"the output {later.value} is declared twice, first at {first.path}", "rename one of them")
    for item in outputs:
        if not isinstance(item.value, dict):
            item.error(
                f"an output is an object, not {quote(item.value)}", 'write {"OutputName": …, "OutputType": "String"}'
            )
            continue
        for key, member in item.members():
            if key not in OUTPUT_MEMBERS:
                member.error(f"an output has no {quote(key)}", nearest(key, OUTPUT_MEMBERS, "remove it"))
        if not item["OutputName"].text:
            item["OutputName"].error("an output has an OutputName", 'add "OutputName": "…"')
        kind = item["OutputType"]
        if kind.text not in OUTPUT_TYPES:
            kind.error(
                f"{quote(kind.value)} is no type of output: outputs are flat",
                nearest(kind.text or "", OUTPUT_TYPES, "use one of " + ", ".join(OUTPUT_TYPES)),
            )
