"""Pages of what can be started: all pipelines, and one with its versions and executions."""

from __future__ import annotations

from typing import Any

from pipeline.client import Clients
from pipeline.control import executions, versions
from pipeline.studio.asked import Asked, Page

ROWS = 50  # executions of a page
MOST_PIPELINES = 25  # of a page: the last execution of each is a call of its own
VERSIONS = 10  # that are shown


def all_of_them(clients: Clients, asked: Asked) -> Page:
    """Those changed last come first."""
    more = {"NextToken": token} if (token := asked.query.get("next")) else {}
    answer = clients.sagemaker.list_pipelines(SortBy="CreationTime", MaxResults=MOST_PIPELINES, **more)
    rows = [_row(clients, pipeline) for pipeline in answer["PipelineSummaries"]]
    return Page("pipelines.html", {"rows": rows, "next": answer.get("NextToken", ""), "first": not more})


def _row(clients: Clients, pipeline: dict[str, Any]) -> dict[str, Any]:
    last, _ = executions.page(clients, pipeline["PipelineName"], 1)
    return {"pipeline": pipeline, "last": last[0] if last else None}


def one(clients: Clients, asked: Asked) -> Page:
    name = asked.path["pipeline"]
    token = asked.query.get("next", "")
    described = clients.sagemaker.describe_pipeline(PipelineName=name)
    rows, further = executions.page(clients, name, ROWS, token)
    known = versions.newest_first(clients, name)
    return Page(
        "pipeline.html",
        {
            "name": name,
            "described": described,
            "versions": known if "versions" in asked.query else known[:VERSIONS],
            "more_versions": len(known) > VERSIONS and "versions" not in asked.query,
            "rows": rows,
            "first": not token,
            "next": further,
        },
    )
