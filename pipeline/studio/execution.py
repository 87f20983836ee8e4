"""The page of one execution: how it stands, its graph, its steps, its parameters; and its report."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from markupsafe import Markup

from pipeline.client import Clients
from pipeline.control import champion, executions, outcome, parameters, registry
from pipeline.control.times import elapsed, span, took
from pipeline.definition import Definition
from pipeline.plan.prices import Money
from pipeline.report import graph
from pipeline.report.collect import collect
from pipeline.report.page import render
from pipeline.report.steps import states
from pipeline.studio import places
from pipeline.studio.asked import Asked, Document, Page

WAITS, NOT_RUN = "waits", "not run"  # of a step that has not begun: it may still, or may not


def view(clients: Clients, asked: Asked) -> Page:
    arn = places.arn(clients, asked.path["pipeline"], asked.path["execution"])
    definition = Definition.parse(executions.definition(clients, arn))
    rows = parameters.told(definition.parameters, executions.parameter_values(clients, arn))
    return Page("execution.html", {**standing(clients, arn, definition), "parameters": rows})


def standing(clients: Clients, arn: str, definition: Definition) -> dict[str, Any]:
    """All of it that may be another one at the next look."""
    execution = executions.describe(clients, arn)
    steps = executions.steps(clients, arn)
    ended = execution["PipelineExecutionStatus"] in executions.ENDED
    now = execution["LastModifiedTime"] if ended else datetime.now(UTC)
    otherwise = NOT_RUN if ended else WAITS
    return {
        "arn": arn,
        "name": executions.pipeline_name(arn),
        "execution": execution,
        "ended": ended,
        "took": span(steps, now),
        "graph": drawn(arn, definition, steps, now, otherwise),
        "rows": [_row(clients, step, now) for step in steps],
        "otherwise": otherwise,
        "waiting": [name for name in definition.steps if name not in {step["StepName"] for step in steps}],
        **(_outcome(clients, arn, steps) if ended else {"accuracy": None, "against": "", "packages": []}),
    }


def report(money: Callable[[], Money], clients: Clients, asked: Asked) -> Document:
    """Made anew: what it shows may have changed since the run ended, such as what was approved.

    Nobody bills what ran on this machine: `money` is asked for an account alone.
    """
    arn = places.arn(clients, asked.path["pipeline"], asked.path["execution"])
    return Document(render(collect(clients, arn, money() if clients.place else None)).encode(), scripts=True)


def drawn(arn: str, definition: Definition, steps: list[dict[str, Any]], now: datetime, otherwise: str) -> Markup:
    """Each step that has begun leads to its page; `otherwise` is said of those that have not."""
    said = {step["StepName"]: _note(step, now) for step in steps}
    links = {name: places.step(arn, name) for name in said}
    return graph.draw(definition, states(steps), {**dict.fromkeys(definition.steps, otherwise), **said}, links)


def _note(step: dict[str, Any], now: datetime) -> str:
    if "CacheHitResult" in step:
        return "cache hit"
    words = [] if step["StepStatus"] == "Succeeded" else [step["StepStatus"]]
    return ", ".join([*words, *filter(None, [elapsed(step, now)])])


def _row(clients: Clients, step: dict[str, Any], now: datetime) -> dict[str, Any]:
    return {
        "step": step,
        "took": took(step, now),
        "cache": outcome.cache_phrase(step),
        "said": outcome.now(clients, step),
    }


def _outcome(clients: Clients, arn: str, steps: list[dict[str, Any]]) -> dict[str, Any]:
    packages = outcome.packages(clients, steps)
    linked = (found for package in packages if (found := registry.evaluation(clients, package)))
    evaluation = outcome.evaluation(clients, arn, steps) or next(linked, {})
    return {
        "accuracy": outcome.accuracy(evaluation),
        "against": champion.told(evaluation),
        "packages": packages,
    }
