"""What an execution was made of: data, code, images, versions, commit; each as far as it can be found out."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from pipeline import commit
from pipeline.client import Clients
from pipeline.control import executions, outcome, registry, upserting, versions
from pipeline.errors import ServiceError, Unavailable

# .../code/train-0123456789abcdef/sourcedir.tar.gz: the folder names the code by its content (pipeline/source.py)
CODE = re.compile(r"s3://[^\s\"]+/code/([\w.-]+-[0-9a-f]{16})/")
IMAGES = ("AppSpecification", "AlgorithmSpecification")
Row = tuple[str, str]


def of(clients: Clients, execution: dict[str, Any], steps: list[dict[str, Any]], packages: list[Any]) -> list[Row]:
    """(what, value) rows; what is not known is left out."""
    arn = str(execution["PipelineExecutionArn"])
    version = execution.get("PipelineVersionId")
    rows = [
        ("version of the pipeline", str(version or "")),
        ("git commit", commit.told_by(execution) or _commit(clients, arn, version, packages)),
        *(("code", name) for name in _code(executions.definition(clients, arn))),
        *(("image", image) for image in dict.fromkeys(_images(clients, steps))),
        *(("model package", str(package.get("ModelPackageArn", ""))) for package in packages),
        *(("the model's own page", registry.page_address(package)) for package in packages),
    ]
    return [(name, value) for name, value in rows if value]


def of_sections(sections: dict[str, dict[str, Any]]) -> list[Row]:
    """What the jobs themselves said of it."""
    source = sections.get("dataset", {}).get("source", {})
    trained = sections.get("training", {}).get("versions", {})
    packages = ", ".join(f"{name} {version}" for name, version in trained.items())
    rows = [
        ("data", source.get("kind", "")),
        ("digest of the data", source.get("digest", "")),
        ("trained with", packages),
    ]
    return [(name, value) for name, value in rows if value]


def _commit(clients: Clients, arn: str, version: Any, packages: list[Any]) -> str:
    """Of the package, else of the upsert that made this version."""
    for package in packages:
        if known := (package.get("MetadataProperties") or {}).get("CommitId"):
            return str(known)
    if not version:
        return ""
    try:
        listed = versions.newest_first(clients, executions.pipeline_name(arn))
    except Unavailable:
        raise
    except ServiceError:
        return ""  # the pipeline has been deleted, or its versions may not be listed: the rest is known all the same
    found = next((each for each in listed if each.id == version), None)
    upserted = upserting.commit_of(found) if found else ""
    return "" if upserted == upserting.UNKNOWN else upserted


def _code(definition: str) -> list[str]:
    """Names of the programs' code in the definition, in its order."""
    return list(dict.fromkeys(CODE.findall(json.dumps(json.loads(definition)))))


def _images(clients: Clients, steps: list[dict[str, Any]]) -> Iterator[str]:
    for step in steps:
        job: dict[str, Any] = {}
        if step["StepType"] == "Training":
            job = outcome.training_job(clients, step)
        elif name := outcome.metadata_name(step, "ProcessingJob"):
            job = clients.sagemaker.describe_processing_job(ProcessingJobName=name)
        for member in IMAGES:
            found = job.get(member) or {}
            yield str(found.get("ImageUri") or found.get("TrainingImage") or "")
