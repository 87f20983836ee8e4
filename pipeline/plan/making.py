"""One plan: what is deployed, what would be, what the next execution then does."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pipeline.client import Clients
from pipeline.control import upserting
from pipeline.definition import Definition
from pipeline.plan import values
from pipeline.plan.archives import Code, CodeChange, addresses, changes
from pipeline.plan.caching import Forecast, Prediction
from pipeline.plan.cost import Cost, estimate
from pipeline.plan.difference import ABSENT, Difference, Field, compare
from pipeline.plan.history import Past
from pipeline.plan.permissions import Needed, needed
from pipeline.plan.planfile import Deployed, digest
from pipeline.plan.prices import Money, Prices
from pipeline.plan.surprises import Surprise, surprises

if TYPE_CHECKING:
    from pipeline.config import Config

_IMAGE_REGION = re.compile(r"\.dkr\.ecr\.([a-z0-9-]+)\.amazonaws\.com")


@dataclass(frozen=True)
class Subject:
    """What an upsert would send. An empty `role_arn` stays as it is; `assets`: address → file here."""

    name: str
    text: str
    role_arn: str = ""
    description: str = ""
    tags: tuple[tuple[str, str], ...] = ()
    assets: Mapping[str, str] = field(default_factory=dict)
    config: Config | None = None


@dataclass(frozen=True)
class Plan:
    """`bytes_only`: it says the same in another order, or with other blanks."""

    subject: Subject
    deployed: Deployed | None
    difference: Difference
    bytes_only: bool
    code: tuple[CodeChange, ...]
    permissions: tuple[Needed, ...]
    parameters: Mapping[str, Any]
    predictions: tuple[Prediction, ...]
    surprises: tuple[Surprise, ...]
    cost: Cost
    region: str

    @property
    def changes(self) -> bool:
        """Whether an upsert would change anything."""
        return self.deployed is None or bool(self.difference) or self.bytes_only

    def code_of(self, step: str, field: Field) -> CodeChange | None:
        """Where a field names code by its content, and went to another state of it: which files changed."""
        pair = addresses(field)
        return next((each for each in self.code if pair and (each.step, each.old, each.new) == (step, *pair)), None)


def make(clients: Clients, subject: Subject, given: Mapping[str, str], money: Money, now: float) -> Plan:
    """`given`: values of parameters for the next execution. Raises ServiceError, ConfigError, DefinitionError."""
    new = Definition.parse(subject.text)
    found = upserting.look(clients, subject.name)
    deployed = Deployed(str(found.arn), int(found.version), digest(found.definition)) if found else None
    same = found is not None and upserting.holds(found, subject.text)
    old = new if same else Definition.parse(found.definition) if found else None
    difference = compare(old, new, tuple(_settings(subject, found)) if found else ())
    past = Past(clients, deployed.arn) if deployed else None
    parameters = values.typed(new, given)
    forecast = Forecast(clients, new, parameters, past, now)
    region = _region(clients, subject.text, deployed)
    predictions = tuple(forecast.predictions)
    told = [(each.name, field) for each in difference.steps for field in each.fields]
    told += [(found.step, field) for found in predictions for field in found.fields]
    return Plan(
        subject,
        deployed,
        difference,
        bytes_only=found is not None and not difference and not same,
        code=tuple(changes(told, Code(clients, subject.assets))),
        permissions=needed(subject.config, old, new) if subject.config and old and not same else (),
        parameters=parameters,
        predictions=predictions,
        surprises=tuple(surprises(clients, forecast)),
        cost=estimate(clients, forecast, Prices(region, money.own, money.source, money.date)),
        region=region,
    )


def _settings(subject: Subject, found: upserting.Deployed) -> list[Field]:
    """As the upsert has it: without a role of its own, the pipeline keeps the one it has."""
    wanted = {
        "RoleArn": (found.role, subject.role_arn or found.role),
        "PipelineDescription": (found.description, subject.description),
    }
    return [Field(key, old or ABSENT, new or ABSENT) for key, (old, new) in wanted.items() if old != new]


def _region(clients: Clients, text: str, deployed: Deployed | None) -> str:
    """Of the images, which lie where their jobs run; else that of the pipeline, or where it would be made; empty where
    nothing tells."""
    images = _IMAGE_REGION.findall(text)
    if images:
        return str(images[0])
    return deployed.arn.split(":")[3] if deployed else str(clients.region)
