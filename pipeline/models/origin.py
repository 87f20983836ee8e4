"""Where a registered model came from: its execution, the jobs in it that made and judged it, their data and code."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from pipeline.client import Clients
from pipeline.control import executions, upserting, versions
from pipeline.models import prepared
from pipeline.models.gaps import Gaps
from pipeline.models.jobs import Job, Row, judged, trained
from pipeline.models.prepared import Split

MOST_SOURCES = 5  # executions that a selective one may have taken its steps from, one from another
_SOURCE = "SourcePipelineExecutionArn"
CODE = "code "  # what the keys of a package's metadata begin with that name code by its content


@dataclass(frozen=True)
class Origin:
    """Empty and None where it is not known."""

    execution: str = ""
    started: datetime | None = None
    version: int | None = None
    commit: str = ""
    parameters: Mapping[str, str] = field(default_factory=dict)
    training: Job | None = None
    evaluation: Job | None = None
    train: Split | None = None
    test: Split | None = None
    code: Mapping[str, str] = field(default_factory=dict)  # program → name with digest
    addresses: Mapping[str, str] = field(default_factory=dict)  # program → folder of exactly that code


def of(clients: Clients, package: Mapping[str, Any], gaps: Gaps) -> Origin:
    metadata = package.get("CustomerMetadataProperties") or {}
    code = {key.removeprefix(CODE): str(name) for key, name in metadata.items() if key.startswith(CODE)}
    known = str((package.get("MetadataProperties") or {}).get("CommitId") or "")
    arn = str(metadata.get("execution", ""))
    if not arn.startswith("arn:"):
        gaps.note("execution", "the package does not name the execution that registered it")
        return Origin(commit=known, code=code)
    nothing: dict[str, Any] = {}
    described = gaps.ask("execution", lambda: executions.describe(clients, arn), nothing)
    if not described:
        return Origin(arn, commit=known, code=code)
    version = described.get("PipelineVersionId")
    commit = known or gaps.ask("commit", lambda: _commit(clients, arn, version), "")
    if not commit:
        gaps.note("commit", "the version of the pipeline was not sent by darkroom upsert from a git repository")
    none: list[Row] = []
    rows = gaps.ask("steps", lambda: list(_rows(clients, arn, described)), none)
    training, train = trained(clients, package, rows, gaps)
    evaluation, test = judged(clients, package, rows, gaps)
    return Origin(
        *(arn, described.get("CreationTime"), version, commit),
        parameters=gaps.ask("parameters", lambda: executions.parameter_values(clients, arn), {}),
        training=training,
        evaluation=evaluation,
        train=_split(clients, train, "training data", gaps),
        test=_split(clients, test, "test data", gaps),
        code=code,
        addresses=gaps.ask("code", lambda: _addresses(executions.definition(clients, arn), code), {}),
    )


def _commit(clients: Clients, arn: str, version: int | None) -> str:
    """Of the upsert that made this version of the pipeline."""
    known = versions.newest_first(clients, executions.pipeline_name(arn))
    found = next((each for each in known if each.id == version), None)
    commit = upserting.commit_of(found) if found else ""
    return "" if commit == upserting.UNKNOWN else commit


def _rows(clients: Clients, arn: str, described: Mapping[str, Any]) -> Iterator[Row]:
    """Its steps, then those of the executions that it took other steps from."""
    seen: set[str] = set()
    while arn and arn not in seen and len(seen) < MOST_SOURCES:
        seen.add(arn)
        rows = executions.steps(clients, arn)
        yield from rows
        told = [described.get("SelectiveExecutionConfig"), *(row.get("SelectiveExecutionResult") for row in rows)]
        arn = next((str(each[_SOURCE]) for each in told if each and _SOURCE in each), "")
        described = executions.describe(clients, arn) if arn and arn not in seen else {}


def _split(clients: Clients, address: str | None, part: str, gaps: Gaps) -> Split | None:
    """`address` None: its job is not known, and that has been noted."""
    if address is None:
        gaps.note(part, "the job that read them is not known")
        return None
    if not address:
        gaps.note(part, "the job names no such input")
        return None
    return gaps.ask(part, lambda: prepared.read(clients, address), None)


def _addresses(definition: str, code: Mapping[str, str]) -> dict[str, str]:
    """Out of the definition: the folders whose names the package has."""
    try:
        texts = set(_texts(json.loads(definition)))
    except (ValueError, RecursionError):
        return {}
    found = {}
    for program, name in code.items():
        pattern = re.compile(rf"(s3://\S+/{re.escape(name)}/)\S*")
        matches = sorted(match[1] for text in texts if (match := pattern.fullmatch(text)))
        if matches:
            found[program] = matches[0]
    return found


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    items = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for item in items:
        yield from _texts(item)
