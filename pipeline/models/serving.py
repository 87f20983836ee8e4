"""Which endpoints answer with a registered model now."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from pipeline.client import Clients
from pipeline.control import endpoints
from pipeline.models.gaps import Gaps
from pipeline.models.jobs import archive

MOST = 100  # endpoints that are looked at, newest first, each with three calls
PART = "endpoints"


@dataclass(frozen=True)
class Serving:
    """`weight`: share of the requests that the variant gets. `by`: package, or its archive alone, as in staging."""

    endpoint: str
    status: str
    machine: str
    weight: float | None
    by: str


def of(clients: Clients, package: Mapping[str, Any], gaps: Gaps) -> list[Serving]:
    """Newest endpoint first. What of an account's endpoints may not be looked at is noted."""
    none: list[dict[str, Any]] = []
    rows = gaps.ask(PART, lambda: endpoints.newest_first(clients), none)
    if len(rows) > MOST:
        gaps.note(PART, f"only the newest {MOST} of {len(rows)} endpoints were looked at")
    found: list[Serving] = []
    for row in rows[:MOST]:
        name = str(row["EndpointName"])
        found += gaps.ask(PART, partial(_serving, clients, name, package), [])
    return found


def _serving(clients: Clients, name: str, package: Mapping[str, Any]) -> list[Serving]:
    service = clients.sagemaker
    endpoint = service.describe_endpoint(EndpointName=name)
    found: list[Serving] = []
    current = {each.get("VariantName"): each for each in endpoint.get("ProductionVariants") or ()}
    config = service.describe_endpoint_config(EndpointConfigName=endpoint["EndpointConfigName"])
    for variant in config.get("ProductionVariants") or ():
        if not variant.get("ModelName"):
            continue
        by = _match(service.describe_model(ModelName=variant["ModelName"]), package)
        if by:
            live = current.get(variant.get("VariantName"), {})
            number = live.get("CurrentInstanceCount", variant.get("InitialInstanceCount"))
            machine = f"{number} × {variant['InstanceType']}" if variant.get("InstanceType") else "serverless"
            weight = live.get("CurrentWeight", variant.get("InitialVariantWeight"))
            found.append(Serving(name, str(endpoint["EndpointStatus"]), machine, weight, by))
    return found


def _match(model: Mapping[str, Any], package: Mapping[str, Any]) -> str:
    containers = [model.get("PrimaryContainer") or {}, *(model.get("Containers") or ())]
    if any(each.get("ModelPackageName") == package["ModelPackageArn"] for each in containers):
        return "package"
    address = archive(package)
    return "archive" if address and any(each.get("ModelDataUrl") == address for each in containers) else ""
