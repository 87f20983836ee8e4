"""What an execution left behind, into a folder: files whole or absent, fetched once, never all of one in memory."""

from __future__ import annotations

import hashlib
import json
import os
from collections import namedtuple

from pipeline.control import executions, landing, outcome
from pipeline.errors import DarkroomError, ServiceError, StorageError
from pipeline.whole_file import whole

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

    from pipeline.client import Clients

METRICS = "metrics.json"
RECORD = ".darkroom-download.json"  # in the folder: what was fetched from where, and what it then held
SUCCEEDED = "Succeeded"

# `file` is relative to the folder, with slashes; of `uri` and `content` one is empty
Item = namedtuple("Item", "file uri content", defaults=("", b""))
# `written`: False for what was there already
Written = namedtuple("Written", "file uri size sha256 written")


def metrics(clients: Clients, arn: str, steps: list[dict[str, Any]]) -> Iterator[Item]:
    """Property files of processing steps that succeeded, then what all steps measured as one file."""
    declared = outcome.declared_files(clients, arn)
    for step in steps:
        for file in declared.get(step["StepName"], ()) if step["StepStatus"] == SUCCEEDED else ():
            address = outcome.output_address(clients, step, str(file["OutputName"]))
            if address:
                yield Item(f"{step['StepName']}/{file['FilePath']}", f"{address.rstrip('/')}/{file['FilePath']}")
    measured = [
        {
            "StepName": step["StepName"],
            "StepType": step["StepType"],
            "Metrics": outcome.metrics(clients, step),
            **({"TrainingJobSummaries": outcome.trials(clients, step)} if step["StepType"] == "Tuning" else {}),
        }
        for step in steps
        if step["StepType"] in ("Training", "Tuning")
    ]
    if measured:
        text = json.dumps({"PipelineExecutionArn": arn, "Steps": measured}, indent=2, default=lambda at: at.isoformat())
        yield Item(METRICS, content=f"{text}\n".encode())


def models(clients: Clients, steps: list[dict[str, Any]]) -> Iterator[Item]:
    """Archives of training steps, of the best trial where nothing else was trained, and what was registered besides."""
    ended = [step for step in steps if step["StepStatus"] == SUCCEEDED]
    found = [(step, _artifacts(outcome.training_job(clients, step))) for step in ended]
    if not any(uri for _, uri in found):
        found = [(step, _best(clients, step)) for step in ended]
    found += [(step, uri) for step in ended for uri in _registered(clients, step)]
    seen: set[str] = set()
    for step, uri in found:
        if uri and uri not in seen:
            seen.add(uri)
            yield Item(f"{step['StepName']}/{uri.rpartition('/')[2]}", uri)


def _artifacts(job: dict[str, Any]) -> str:
    return str((job.get("ModelArtifacts") or {}).get("S3ModelArtifacts", ""))


def _best(clients: Clients, step: dict[str, Any]) -> str:
    best = outcome.tuning_job(clients, step).get("BestTrainingJob") or {}
    if not best:
        return ""
    return _artifacts(clients.sagemaker.describe_training_job(TrainingJobName=best["TrainingJobName"]))


def _registered(clients: Clients, step: dict[str, Any]) -> Iterator[str]:
    """Archives behind a package or a model; folders of loose files are left out."""
    containers: list[dict[str, Any]] = []
    for package in outcome.packages(clients, [step]):
        containers += (package.get("InferenceSpecification") or {}).get("Containers") or ()
    if name := outcome.metadata_name(step, "Model"):
        model = clients.sagemaker.describe_model(ModelName=name)
        containers += [model.get("PrimaryContainer") or {}, *(model.get("Containers") or ())]
    for container in containers:
        uri = str(container.get("ModelDataUrl", ""))
        if uri and not uri.endswith("/"):
            yield uri


def fetch(clients: Clients, arn: str, items: Iterable[Item], folder: str) -> Iterator[Written]:
    """Writes each item that is not there yet. Raises StorageError, before anything is written, for what leads out of
    the folder or would overwrite what no download brought, and at the end for objects that do not exist any more.
    """
    wanted = _apart(items)
    record = _record(folder)
    places = {item.file: _place(folder, item.file) for item in wanted}
    for file, place in places.items():
        if os.path.lexists(place) and file not in record:
            raise StorageError(f"{place} is there already, and no download brought it", "name another folder with -o")
    missing = []
    for number, item in enumerate(wanted):
        try:
            yield _fetched(clients, item, places[item.file], folder, record)
        except DarkroomError as exc:
            if isinstance(exc, ServiceError) and exc.code in outcome.ABSENT:
                missing.append(item.uri)
                continue
            exc.message += f"\n  {number} of {len(wanted)} files are in {folder}; run it again: they stay as they are"
            raise
    if missing:
        identifier = executions.identifier(arn)
        raise StorageError(f"execution {identifier}: not there any more: {', '.join(missing)}", "the rest is there")


def _apart(items: Iterable[Item]) -> list[Item]:
    """Two objects that would be one file get numbers."""
    found: dict[str, Item] = {}
    for item in items:
        file, number = item.file, 1
        while file.lower() in found:  # some file systems do not tell cases apart
            number += 1
            stem, slash, name = item.file.rpartition("/")
            file = f"{stem}{slash}{number}-{name}"
        found[file.lower()] = item._replace(file=file)
    return list(found.values())


def _place(folder: str, file: str) -> str:
    if file == RECORD:
        raise landing.refused(file, folder)
    return landing.place(folder, file)


def _fetched(clients: Clients, item: Item, place: str, folder: str, record: dict[str, Any]) -> Written:
    """What was fetched before and is as it was then is left alone, as long as the object is the same, too."""
    known = record.get(item.file, {})
    tag = clients.storage.tag(item.uri) if item.uri else hashlib.sha256(item.content).hexdigest()
    if (known.get("Uri"), known.get("Tag")) == (item.uri, tag) and known.get("Sha256") == _digest(place):
        return Written(item.file, item.uri, known["Size"], known["Sha256"], False)

    def note(size: int, digest: str) -> None:
        record[item.file] = {"Uri": item.uri, "Tag": tag, "Size": size, "Sha256": digest}
        _keep(folder, record)  # first: a file without a line in the record would be taken for somebody else's

    blocks = clients.storage.blocks(item.uri) if item.uri else [item.content]
    size, digest = landing.put(blocks, place, note)
    return Written(item.file, item.uri, size, digest, True)


def _digest(path: str) -> str:
    """Empty where there is no such file."""
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""


def _record(folder: str) -> dict[str, Any]:
    """What is no record of ours counts as none."""
    try:
        with open(os.path.join(folder, RECORD), encoding="utf-8") as file:
            read = json.load(file)
    except (OSError, ValueError, RecursionError):
        return {}
    rows = read.items() if isinstance(read, dict) else ()
    return {name: row for name, row in rows if isinstance(row, dict) and isinstance(row.get("Size"), int)}


def _keep(folder: str, record: dict[str, Any]) -> None:
    with whole(os.path.join(folder, RECORD)) as aside, open(aside, "w", encoding="utf-8") as file:
        json.dump(record, file, indent=2, sort_keys=True)


def nothing(arn: str, kind: str) -> DarkroomError:
    identifier = executions.identifier(arn)
    what = {"": "file", "metrics": "metrics"}.get(kind, kind)
    return DarkroomError(f"execution {identifier} has left no {what}", f"darkroom show {identifier}")
