"""Pages of what is deployed: all endpoints, and one with its traffic, scaling and a place for pictures."""

from __future__ import annotations

from typing import Any

from pipeline.client import Clients, Hosting
from pipeline.control import deployments, endpoints, scaling
from pipeline.errors import ServiceError
from pipeline.models.gaps import Gaps
from pipeline.studio.asked import Asked, Page

ROWS = 50
LARGEST_PICTURE = 6_291_456  # bytes of a real-time invocation, as the server takes them
LONGEST_S = 240.0  # that an asynchronous answer is waited for: browsers give a request up after 300


def all_of_them(clients: Clients, asked: Asked) -> Page:
    more = {"NextToken": token} if (token := asked.query.get("next")) else {}
    answer = clients.sagemaker.list_endpoints(SortBy="CreationTime", SortOrder="Descending", MaxResults=ROWS, **more)
    return Page("endpoints.html", {"rows": answer["Endpoints"], "next": answer.get("NextToken", ""), "first": not more})


def one(_: Clients, hosting: Hosting, asked: Asked) -> Page:
    """Raises ServiceError ResourceNotFound. What of it may not be looked at is told as such."""
    name, gaps = asked.path["endpoint"], Gaps()
    seen = deployments.look(hosting, name, gaps.ask)
    if seen is None:
        raise ServiceError("ResourceNotFound", f"there is no endpoint {name!r}", hint="darkroom endpoints")
    variants = list(dict.fromkeys(each.variant for each in seen.fleets))
    none: list[scaling.Scaling] = []
    scales = gaps.ask("scaling", lambda: scaling.of(hosting, name, variants), none)
    values = {"seen": seen, "standing": deployments.phase(seen), "version": deployments.version, "scales": scales}
    return Page("endpoint.html", {**values, "gaps": gaps, "largest": LARGEST_PICTURE})


def predict(clients: Clients, asked: Asked, limit_s: float = LONGEST_S) -> dict[str, Any]:
    """What the endpoint says of one picture. Raises EndpointError with what it says against it."""
    return endpoints.classify(clients, asked.path["endpoint"], asked.body, "the picture", limit_s)
