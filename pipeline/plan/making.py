"""One plan: what is deployed, what would be, what the next execution then does."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pipeline.client import Clients
from pipeline.definition import Definition
from pipeline.errors import ServiceError
from pipeline.plan import values
from pipeline.plan.archives import Code, CodeChange, changes
from pipeline.plan.caching import Forecast, Prediction
from pipeline.plan.cost import Cost, estimate
from pipeline.plan.difference import Difference, Field, compare
from pipeline.plan.history import Past
from pipeline.plan.planfile import Deployed, digest
from pipeline.plan.prices import Prices
from pipeline.plan.surprises import Surprise, surprises

ABSENT_CODES = ("ResourceNotFound", "ResourceNotFoundException")
_IMAGE_REGION = re.compile(r"\.dkr\.ecr\.([a-z0-9-]+)\.amazonaws\.com")


@dataclass(frozen=True)
class Subject:
    """What an upsert would send. Empty `role_arn` and `description` stay as they are; `assets`: address → file here."""

    name: str
    text: str
    role_arn: str = ""
    description: str = ""
    tags: tuple[tuple[str, str], ...] = ()
    assets: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Money:
    """Prices of one's own, machine → USD an hour, and where they stand; the day, as a price has a date."""

    own: Mapping[str, float]
    source: str
    date: str


@dataclass(frozen=True)
class Plan:
    """`layout`: the bytes differ, and nothing in them does."""

    subject: Subject
    deployed: Deployed | None
    difference: Difference
    layout: bool
    code: tuple[CodeChange, ...]
    parameters: Mapping[str, Any]
    predictions: tuple[Prediction, ...]
    surprises: tuple[Surprise, ...]
    cost: Cost
    region: str

    @property
    def changes(self) -> bool:
        """Whether an upsert would change anything."""
        return self.deployed is None or bool(self.difference) or self.layout


def make(clients: Clients, subject: Subject, given: Mapping[str, str], money: Money, now: float) -> Plan:
    """`given`: values of parameters for the next execution. Raises ServiceError, ConfigError, DefinitionError."""
    new = Definition.parse(subject.text)
    described, deployed = _deployed(clients, subject.name)
    old = Definition.parse(described["PipelineDefinition"]) if deployed else None
    difference = compare(old, new, tuple(_settings(subject, described)) if deployed else ())
    past = Past(clients, deployed.arn) if deployed else None
    parameters = values.typed(new, given)
    forecast = Forecast(clients, new, parameters, past, now)
    region = _region(subject.text, deployed)
    return Plan(
        subject,
        deployed,
        difference,
        layout=not difference and deployed is not None and deployed.sha256 != digest(subject.text),
        code=tuple(changes(difference.steps, Code(clients, subject.assets))) if old else (),
        parameters=parameters,
        predictions=tuple(forecast.predictions),
        surprises=tuple(surprises(clients, forecast)),
        cost=estimate(clients, forecast, Prices(region, money.own, money.source, money.date)),
        region=region,
    )


def _deployed(clients: Clients, name: str) -> tuple[dict[str, Any], Deployed | None]:
    try:
        described: dict[str, Any] = clients.sagemaker.describe_pipeline(PipelineName=name)
    except ServiceError as exc:
        if exc.code not in ABSENT_CODES:
            raise
        return {}, None
    versions = clients.sagemaker.list_pipeline_versions(PipelineName=name, SortOrder="Descending", MaxResults=1)
    newest: dict[str, Any] = next(iter(versions.get("PipelineVersionSummaries") or ()), {})
    text = str(described["PipelineDefinition"])
    return described, Deployed(str(described["PipelineArn"]), int(newest.get("PipelineVersionId", 0)), digest(text))


def _settings(subject: Subject, described: Mapping[str, Any]) -> list[Field]:
    wanted = (("RoleArn", subject.role_arn), ("PipelineDescription", subject.description))
    return [Field(key, described.get(key, ""), value) for key, value in wanted if value and described.get(key) != value]


def _region(text: str, deployed: Deployed | None) -> str:
    """Of the images, which lie where their jobs run; else that of the pipeline; empty where neither tells."""
    images = _IMAGE_REGION.findall(text)
    if images:
        return str(images[0])
    return deployed.arn.split(":")[3] if deployed else ""
