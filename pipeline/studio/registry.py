"""Pages of the registry: its groups, and one group with its versions."""

from __future__ import annotations

from typing import Any

from pipeline.client import Clients
from pipeline.control import champion, outcome, registry
from pipeline.studio.asked import Asked, Page

GROUPS = 25  # of a page: the newest version of each is a call of its own
ROWS = 20  # versions of a page: each is described, and its evaluation read


def groups(clients: Clients, asked: Asked) -> Page:
    more = {"NextToken": token} if (token := asked.query.get("next")) else {}
    answer = clients.sagemaker.list_model_package_groups(MaxResults=GROUPS, SortOrder="Descending", **more)
    rows = [(group, _newest(clients, group)) for group in answer["ModelPackageGroupSummaryList"]]
    return Page("groups.html", {"rows": rows, "next": answer.get("NextToken", ""), "first": not more})


def _newest(clients: Clients, group: dict[str, Any]) -> dict[str, Any] | None:
    rows, _ = registry.page(clients, group["ModelPackageGroupName"], 1)
    return rows[0] if rows else None


def group(clients: Clients, asked: Asked) -> Page:
    name, token = asked.path["group"], asked.query.get("next", "")
    rows, further = registry.page(clients, name, ROWS, token)
    models = [_row(clients, registry.described(clients, row)) for row in rows]
    return Page("group.html", {"name": name, "rows": models, "next": further, "first": not token})


def _row(clients: Clients, package: dict[str, Any]) -> dict[str, Any]:
    evaluation = registry.evaluation(clients, package)
    told = {"accuracy": outcome.accuracy(evaluation), "against": champion.told(evaluation)}
    return {"package": package, **told}
