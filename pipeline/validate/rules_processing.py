"""Processing steps: inputs, outputs, property files."""

from __future__ import annotations

from pipeline.validate.document import Document, Step
from pipeline.validate.node import Node, duplicates, nearest, quote

MEMBERS = ("PropertyFileName", "OutputName", "FilePath")


def check(document: Document, step: Step) -> None:
    inputs, outputs = step.arguments["ProcessingInputs"], step.arguments.at("ProcessingOutputConfig", "Outputs")
    for later, first in duplicates(item["InputName"] for item in inputs):
        later.error(f"the input {later.value} is declared twice, first at {first.path}", "rename one of them")
    for later, first in duplicates(item["OutputName"] for item in outputs):
        later.error(f"the output {later.value} is declared twice, first at {first.path}", "rename one of them")
    for item in inputs:
        _check_input(item)
    for item in outputs:
        _check_output(item)
    folders = [item.at("S3Input", "LocalPath") for item in inputs] + [
        item.at("S3Output", "LocalPath") for item in outputs
    ]
    for later, first in duplicates(folders):
        later.error(
            f"{later.value} is already the LocalPath of {first.path}", "give each input and output a folder of its own"
        )
    for folder in folders:
        if folder.text is not None and not folder.text.startswith("/"):
            folder.error(f"LocalPath {quote(folder.text)} is not absolute", "write it as /opt/ml/processing/input/name")
    check_property_files(step, [item["OutputName"].text for item in outputs])


def _check_input(item: Node) -> None:
    if ("S3Input" in item) == ("DatasetDefinition" in item):
        item.error("an input is either an S3Input or a DatasetDefinition", "keep exactly one of the two")
    source = item["S3Input"]
    if not isinstance(source.value, dict) or item["AppManaged"].value is True:
        return
    for key in ("LocalPath", "S3InputMode"):
        if key not in source:
            source.error(f"{key} is missing: the service requires it for an input that it downloads", f"add {key}")
    if source["S3CompressionType"].value == "Gzip" and source["S3InputMode"].value != "Pipe":
        source["S3CompressionType"].error(
            "Gzip is unpacked in Pipe mode only: Processing unpacks nothing", "write None, and unpack it in the program"
        )


def _check_output(item: Node) -> None:
    if ("S3Output" in item) == ("FeatureStoreOutput" in item):
        item.error("an output is either an S3Output or a FeatureStoreOutput", "keep exactly one of the two")
    target = item["S3Output"]
    if isinstance(target.value, dict) and "LocalPath" not in target and item["AppManaged"].value is not True:
        target.error("LocalPath is missing: the service would not know what to upload", "add LocalPath")


def check_property_files(step: Step, outputs: list[str | None]) -> None:
    files = step.node["PropertyFiles"]
    if files.there and not isinstance(files.value, list):
        files.error(f"PropertyFiles is a list, not {quote(files.value)}", "write [{…}]")
    for later, first in duplicates(item["PropertyFileName"] for item in files):
        later.error(f"the property file {later.value} is declared twice, first at {first.path}", "rename one of them")
    for item in files:
        if not isinstance(item.value, dict):
            item.error(f"a property file is an object, not {quote(item.value)}", f"write {', '.join(MEMBERS)}")
            continue
        for key, member in item.members():
            if key not in MEMBERS:
                member.error(f"a property file has no {quote(key)}", nearest(key, MEMBERS, "remove it"))
        for key in MEMBERS:
            if not item[key].text:
                item[key].error(f"{key} is a text, not {quote(item[key].value)}", f"add {key}")
        _check_property_file(step, item, [name for name in outputs if name is not None])


def _check_property_file(step: Step, item: Node, outputs: list[str]) -> None:
    name, path = item["OutputName"], item["FilePath"]
    if name.text and name.text not in outputs:
        mend = nearest(name.text, outputs, f"add it to the outputs of {step.name}")
        name.error(f"{step.name} has no output {quote(name.text)}: the file is never written", mend)
    text = path.text or ""
    if text.startswith("/") or text.endswith("/") or ".." in text.split("/") or "://" in text:
        path.error(f"FilePath {quote(text)} is not a file below the output's folder", "write it as evaluation.json")
