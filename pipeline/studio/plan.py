"""Pages of plans: what an upsert of pipeline.yaml would change, and what the next execution would do and cost."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime

from pipeline.client import Clients
from pipeline.control import versions
from pipeline.errors import DarkroomError
from pipeline.plan import making, words
from pipeline.plan.making import Plan, Subject
from pipeline.plan.prices import Money
from pipeline.studio.asked import Asked, Page, Planned


def of_config(planned: Planned | None, clients: Clients, _: Asked) -> Page:
    """Compiles anew where the file or its code has changed. Raises DarkroomError where there is no such file."""
    if planned is None:
        why = "there is no pipeline.yaml where darkroom studio was started"
        raise DarkroomError(why, "a pipeline's own page leads to the plan of its next execution")
    with planned() as wanted:
        config = wanted.subject.config
        money = Money(config.prices if config else {}, wanted.source, datetime.now(UTC).date().isoformat())
        plan = making.make(clients, wanted.subject, wanted.given, money, time.time())
        return _page(plan, wanted.source)


def of_version(money: Callable[[], Money], clients: Clients, asked: Asked) -> Page:
    """What the next execution of the version that is `current`, else of the newest, would do."""
    name = asked.path["pipeline"]
    version = versions.find(clients, name)
    found = clients.sagemaker.describe_pipeline(PipelineName=name, PipelineVersionId=version.id)
    plan = making.make(clients, Subject(name, str(found["PipelineDefinition"])), {}, money(), time.time())
    return _page(plan, "")


def _page(plan: Plan, source: str) -> Page:
    costs = {cost.step: cost for cost in plan.cost.steps}
    rows = [
        (each, words.outcome(each), words.why(plan, each, words.ROOM), *words.money(costs.get(each.step)))
        for each in plan.predictions
    ]
    return Page("plan.html", {"plan": plan, "rows": rows, "words": words, "source": source, "room": words.ROOM})
