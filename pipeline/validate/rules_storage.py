"""S3 addresses: folders end in "/", and no address that is written begins with another."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from pipeline.validate.document import Document, Step
from pipeline.validate.node import Node
from pipeline.validate.rules_jobs import training_requests
from pipeline.validate.values import OPAQUE, render

FILE_NAME = re.compile(r"[^/]*\.[A-Za-z0-9]{1,10}")  # a last part with a suffix is one object, not a folder


def check(document: Document) -> None:
    """S3Prefix is a prefix of text: `…/train` also takes `…/train-stats/`."""
    written: list[tuple[str, Node]] = []
    read: list[tuple[str, Node]] = []
    for step in document.steps:
        _collect(step, WRITTEN, written)
        _collect(step, READ, read)
    for text, node in written + read:
        default = document.default(node.value)
        shown = default if isinstance(default, str) else text  # a parameter: as far as its default tells
        if _open_ended(shown):
            node.warning(
                f"the folder {_shown(shown)} does not end in /: its prefix also takes its neighbours",
                "add / at its end",
            )
    _check_written(document, written)
    _check_read(read, written)


def _collect(step: Step, table: dict[str, Callable[[Step], Iterator[Node]]], into: list[tuple[str, Node]]) -> None:
    reader = table.get(step.type)
    if reader is None:
        return
    for node in reader(step):
        text = render(node.value)
        if text:
            into.append((text, node))


def _open_ended(text: str) -> bool:
    return not text.endswith(("/", OPAQUE)) and not FILE_NAME.fullmatch(text.rpartition("/")[2])


def _shown(text: str) -> str:
    parts = text.split(OPAQUE)
    return "".join(f"{{{part}}}" if index % 2 else part for index, part in enumerate(parts))


def _check_written(document: Document, written: list[tuple[str, Node]]) -> None:
    """Sorted, all that starts with an address follows it at once: linear after the sort."""
    around: list[tuple[str, Node]] = []
    for text, node in sorted(written, key=lambda pair: pair[0]):
        while around and not text.startswith(around[-1][0]):
            around.pop()
        for outer, other in reversed(around):
            if _may_share(document, node, other, outer == text):
                continue
            how = "is also" if outer == text else f"begins with {_shown(outer)},"
            node.error(
                f"{_shown(text)} {how} the output address at {other.path}: their data mix",
                "give each output a folder of its own that ends in /",
            )
            break
        around.append((text, node))


def _may_share(document: Document, node: Node, other: Node, equal: bool) -> bool:
    """Steps of which only one runs, and checkpoints: a second training may go on where the first one ended."""
    one, two = document.by_name.get(node.step), document.by_name.get(other.step)
    if one is not None and two is not None and one.excludes(two):
        return True
    return equal and all(item.parent is not None and item.parent.key == "CheckpointConfig" for item in (node, other))


def _check_read(read: list[tuple[str, Node]], written: list[tuple[str, Node]]) -> None:
    """An input prefix without a final / that also takes what a step of this pipeline writes."""
    open_ended = sorted(((text, node) for text, node in read if _open_ended(text)), key=lambda pair: pair[0])
    targets = sorted(written, key=lambda pair: pair[0])
    position = 0
    for text, node in open_ended:
        while position < len(targets) and targets[position][0] < text:
            position += 1
        if position < len(targets) and targets[position][0].startswith(text):
            node.error(
                f"the prefix {_shown(text)} also takes the output {_shown(targets[position][0])}",
                "end the input's address with /, and keep outputs outside of it",
            )


def _processing_outputs(step: Step) -> Iterator[Node]:
    for output in step.arguments.at("ProcessingOutputConfig", "Outputs"):
        yield output.at("S3Output", "S3Uri")


def _checkpoints(step: Step) -> Iterator[Node]:
    for request in training_requests(step):
        yield request.at("CheckpointConfig", "S3Uri")


def _transform_output(step: Step) -> Iterator[Node]:
    yield step.arguments.at("TransformOutput", "S3OutputPath")


def _processing_inputs(step: Step) -> Iterator[Node]:
    for item in step.arguments["ProcessingInputs"]:
        if item.at("S3Input", "S3DataType").value == "S3Prefix":
            yield item.at("S3Input", "S3Uri")


def _channels(step: Step) -> Iterator[Node]:
    for request in training_requests(step):
        for channel in request["InputDataConfig"]:
            source = channel.at("DataSource", "S3DataSource")
            if source["S3DataType"].value == "S3Prefix":
                yield source["S3Uri"]


def _transform_input(step: Step) -> Iterator[Node]:
    source = step.arguments.at("TransformInput", "DataSource", "S3DataSource")
    if source["S3DataType"].value == "S3Prefix":
        yield source["S3Uri"]


# A training's S3OutputPath is left out: the service puts the job's name below it, so many jobs may share it.
WRITTEN: dict[str, Callable[[Step], Iterator[Node]]] = {
    "Processing": _processing_outputs,
    "Training": _checkpoints,
    "Tuning": _checkpoints,
    "Transform": _transform_output,
}
READ: dict[str, Callable[[Step], Iterator[Node]]] = {
    "Processing": _processing_inputs,
    "Training": _channels,
    "Tuning": _channels,
    "Transform": _transform_input,
}
