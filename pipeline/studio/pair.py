"""Two executions of a pipeline side by side: what was started differently, and what came of each step."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from pipeline.client import Clients
from pipeline.control import executions, outcome, parameters
from pipeline.control.times import took
from pipeline.definition import Definition
from pipeline.errors import DarkroomError
from pipeline.models.comparison import changes
from pipeline.plan import difference, words
from pipeline.studio import places
from pipeline.studio.asked import Asked, Page


@dataclass(frozen=True)
class Side:
    """`steps` by name; `values` of all parameters, defaults among them."""

    arn: str
    execution: dict[str, Any]
    definition: Definition
    steps: dict[str, dict[str, Any]]
    values: dict[str, str]
    accuracy: float | None


def view(clients: Clients, asked: Asked) -> Page:
    """`a` and `b` are ids. Raises DarkroomError where one is missing."""
    name, (a, b) = asked.path["pipeline"], (asked.query.get(key, "") for key in "ab")
    if not a or not b or a == b:
        raise DarkroomError("two executions are compared, and each is named once", "choose an A and a B")
    one, other = (_side(clients, places.arn(clients, name, each)) for each in (a, b))
    named = dict.fromkeys((*one.definition.steps, *other.definition.steps))
    values = {
        "name": name,
        "sides": (one, other),
        "parameters": list(changes(one.values, other.values)),
        "steps": [(each, *(_cells(clients, side, each) for side in (one, other))) for each in named],
        "difference": difference.compare(other.definition, one.definition),
        "words": words,
        "room": words.ROOM,
    }
    return Page("pair.html", values)


def _side(clients: Clients, arn: str) -> Side:
    execution, steps = executions.describe(clients, arn), executions.steps(clients, arn)
    definition = Definition.parse(executions.definition(clients, arn))
    given = executions.parameter_values(clients, arn)
    values = {**given, **{name: value for name, value, _ in parameters.told(definition.parameters, given)}}
    accuracy = outcome.accuracy(outcome.evaluation(clients, arn, steps))
    return Side(arn, execution, definition, {row["StepName"]: row for row in steps}, values, accuracy)


def _cells(clients: Clients, side: Side, name: str) -> dict[str, Any] | None:
    """None for a step that it did not run."""
    step = side.steps.get(name)
    if step is None:
        return None
    cache, metrics = outcome.cache_phrase(step), outcome.metrics_phrase(outcome.metrics(clients, step))
    told = (took(step, datetime.now(UTC)), cache and f"cache {cache}", metrics)
    return {"status": step["StepStatus"], "told": ", ".join(filter(None, told))}
