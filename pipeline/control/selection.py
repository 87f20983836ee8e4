"""Selective execution: which steps run, and the earlier execution whose outputs stand in for the others'."""

from __future__ import annotations

from pipeline.control import executions
from pipeline.control.parameters import nearest
from pipeline.definition import Definition, parse_get
from pipeline.errors import DarkroomError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from typing import Any

    from pipeline.client import Clients

MOST = 50  # steps that the service takes
LOOKED_AT = 50  # executions, newest first
ENDED_SO = ("Succeeded", "Failed")  # what the service takes for a source


def onwards(definition: Definition, step: str) -> list[str]:
    """This step and all that waits for it, directly or not, in the definition's order. Raises DarkroomError."""
    _known(definition, [step])
    found = {step}
    while more := {name for name in definition.steps if name not in found and definition.dependencies(name) & found}:
        found |= more
    return _checked(definition, found)


def only(definition: Definition, names: Sequence[str]) -> list[str]:
    """These steps. Raises DarkroomError for an unknown one, and where one on the way between two is left out."""
    _known(definition, names)
    chosen = set(names)
    before = set().union(*(_above(definition, name) for name in chosen)) - chosen
    missing = [name for name in definition.steps if name in before and _above(definition, name) & chosen]
    if missing:
        raise DarkroomError(
            f"{', '.join(missing)} lies between the steps to run, and the service asks for all on the way",
            f"add {' '.join(missing)} to --only, or start at the first with --from",
        )
    return _checked(definition, chosen)


def source(clients: Clients, pipeline: str, definition: Definition, selected: Collection[str]) -> str:
    """The newest execution that ended and has what the selected steps take from others; empty if they take nothing.

    Raises DarkroomError where there is none.
    """
    needed = _needed(definition, selected)
    if not needed:
        return ""
    rows = [row for row in executions.newest_first(clients, pipeline) if row["PipelineExecutionStatus"] in ENDED_SO]
    for row in rows[:LOOKED_AT]:
        arn = str(row["PipelineExecutionArn"])
        if needed <= _succeeded(executions.steps(clients, arn)):
            return arn
    raise DarkroomError(
        f"no execution of {pipeline} has ended with what the selected steps need: {', '.join(sorted(needed))}",
        "start all of it once, or select those steps, too",
    )


def behind(clients: Clients, definition: Definition, step: str, arn: str) -> dict[str, Any]:
    """SelectiveExecutionConfig that runs this step and all that wait for it, with the rest of this very execution.

    Raises DarkroomError where the execution does not have what they need.
    """
    selected = onwards(definition, step)
    config: dict[str, Any] = {"SelectedSteps": [{"StepName": name} for name in selected]}
    needed = _needed(definition, selected)
    if missing := sorted(needed - _succeeded(executions.steps(clients, arn))):
        identifier = executions.identifier(arn)
        raise DarkroomError(
            f"{step} needs what {', '.join(missing)} did not bring about in execution {identifier}",
            "begin with an earlier step, or resume that execution",
        )
    return {**config, "SourcePipelineExecutionArn": arn} if needed else config


def _needed(definition: Definition, selected: Collection[str]) -> set[str]:
    """Steps whose outputs the selected ones refer to and that do not run themselves."""
    found = set()
    for name in selected:
        for reference in definition.steps[name].references():
            expression = reference.node.get("Get")
            if isinstance(expression, str) and expression.startswith("Steps."):
                found.add(parse_get(expression).name)
    return found - set(selected)


def _succeeded(steps: list[dict[str, Any]]) -> set[str]:
    return {step["StepName"] for step in steps if step["StepStatus"] == "Succeeded"}


def _known(definition: Definition, names: Sequence[str]) -> None:
    for name in names:
        if name not in definition.steps:
            raise DarkroomError(
                f"there is no step {name!r}{nearest(name, definition.steps)}",
                f"steps of this pipeline: {', '.join(definition.steps)}",
            )


def _checked(definition: Definition, chosen: Collection[str]) -> list[str]:
    if len(chosen) > MOST:
        raise DarkroomError(f"{len(chosen)} steps are selected, and the service takes {MOST}", "select fewer of them")
    return [name for name in definition.steps if name in chosen]


def _above(definition: Definition, name: str) -> set[str]:
    """All that this step waits for, directly or not."""
    found: set[str] = set()
    waiting = [name]
    while waiting:
        more = definition.dependencies(waiting.pop()) - found
        found |= more
        waiting += [other for other in more if other in definition.steps]
    return found
