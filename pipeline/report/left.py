"""The report files that the jobs of an execution left: a folder of a Processing job, a training's output.tar.gz."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from pipeline.client import Clients
from pipeline.control import archived, outcome
from pipeline.errors import ServiceError
from pipeline.report.sections import is_ours

FOLDER = "report"  # the output of a Processing job, and the folder in a training job's output.tar.gz
LARGEST = 32 * 2**20  # bytes; a file above is not read


def sections(
    clients: Clients, step: dict[str, Any], packed: int = archived.PACKED
) -> Iterator[tuple[str, dict[str, Any]]]:
    """(section, content) of every JSON file of ours that the step's job left in its report folder.

    Raises StorageError for an archive of more than `packed` bytes, which is not looked into.
    """
    match step["StepType"]:
        case "Processing":
            files = _output_files(clients, step)
        case "Training":
            files = _archived_files(clients, step, packed)
        case _:
            return
    for name, body in files:
        try:
            content = json.loads(body)
        except ValueError:
            continue  # a job that was killed leaves half a file
        if isinstance(content, dict) and is_ours(name, content):
            yield name, content


def _output_files(clients: Clients, step: dict[str, Any]) -> Iterator[tuple[str, bytes]]:
    address = outcome.output_address(clients, step, FOLDER).rstrip("/")
    for entry in clients.storage.list(f"{address}/") if address else ():
        name = entry.uri.removeprefix(f"{address}/")
        if name.endswith(".json") and "/" not in name and entry.size <= LARGEST:
            yield name.removesuffix(".json"), clients.storage.get_bytes(entry.uri, LARGEST)


def _archived_files(clients: Clients, step: dict[str, Any], packed: int) -> Iterator[tuple[str, bytes]]:
    """Of an archive that is torn, what came before that."""
    address = archived.address(clients, step)
    if not address:
        return
    try:
        for path, body in archived.files(clients, address, _is_section, packed=packed):
            yield path.rpartition("/")[2].removesuffix(".json"), body
    except archived.Torn:
        return
    except ServiceError as exc:
        if exc.code != "NoSuchKey":
            raise


def _is_section(path: str, size: int) -> bool:
    folder, _, name = path.rpartition("/")
    return folder == FOLDER and name.endswith(".json") and size <= LARGEST
