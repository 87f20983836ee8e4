"""`darkroom show`: one execution as a graph of its steps with what became of each, learning curves, and the outcome."""

from __future__ import annotations

import shutil
import sys
from datetime import UTC, datetime

from pipeline.cli import Command, target
from pipeline.cli.executions import execution_argument
from pipeline.cli.partial import so_far
from pipeline.cli.text import harmless, on_one_line, print_json, print_spans, takes_unicode
from pipeline.control import champion, executions, health, outcome, parameters
from pipeline.control.times import moment, span
from pipeline.errors import ServiceError, StorageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Callable, Iterator
    from typing import Any, TypeVar

    from pipeline.cli.graph import Seen
    from pipeline.cli.text import Span
    from pipeline.client import Clients

    Found = TypeVar("Found")

NARROWEST, WIDTH = 40, 100  # columns: on a narrower terminal lines wrap; and where none says how many it has
INDENT = 11  # of the values below the graph
LARGEST = 32 << 20  # bytes of an archive in which curves are looked for: a glance has less patience than a report
MOST_TRAININGS = 3  # whose curves are shown: the last ones


def arguments(parser: ArgumentParser) -> None:
    execution_argument(parser)
    parser.add_argument("--json", action="store_true", help="one object; its Steps and ModelPackages newest first")


def run(args: Namespace) -> int:
    clients = target.used(args)
    arn = executions.find(clients, args.execution, args.pipeline)
    if args.json:
        print_json(in_full(clients, arn))
    else:
        show(clients, arn)
    return 0


def in_full(clients: Clients, arn: str) -> dict[str, Any]:
    """DescribePipelineExecution with accuracy, health, parameters, and two lists, newest first: packages; steps."""
    execution = executions.describe(clients, arn)
    steps = executions.steps(clients, arn)
    latest = list(reversed(steps))
    execution.pop("ResponseMetadata", None)
    return {
        "PipelineName": executions.pipeline_name(arn),
        **execution,
        "Accuracy": outcome.accuracy(outcome.evaluation(clients, arn, steps)),
        "Health": health.in_full(health.read(clients, steps)),
        "PipelineParameters": executions.parameter_values(clients, arn),
        "ModelPackages": outcome.packages(clients, latest),
        "Steps": [{**step, "Metrics": outcome.metrics(clients, step)} for step in latest],
    }


def show(clients: Clients, arn: str) -> None:
    """What decides stands last, where a terminal that is too low for all of it shows it all the same."""
    from pipeline.cli.graph import table
    from pipeline.control.remembering import remembering

    clients = remembering(clients)
    seen = _seen(clients, arn)
    parts = _Parts()
    none: list[list[Span]] = []
    columns = max(NARROWEST, shutil.get_terminal_size((WIDTH, 24)).columns)

    def said(step: dict[str, Any]) -> str:
        return parts.ask("results of steps", lambda: outcome.now(clients, step), "")

    rows = list(table(seen, said, columns if sys.stdout.isatty() else 0, takes_unicode()))
    facts = list(_facts(clients, arn, seen, parts))
    for line in rows:
        print_spans(line)
    for line in parts.ask("curves", lambda: list(_curves(clients, seen, columns)), none):
        print_spans(line)
    print()
    for name, value in facts:
        told = harmless(value).strip().replace("\n", "\n" + " " * INDENT)
        print_spans([(f"{name:<{INDENT}}", ""), (told, executions.LOOKS.get(value, "") if name == "status" else "")])
    if parts.error is not None:
        with so_far(f"missing above: {', '.join(parts.missing)}"):
            raise parts.error


class _Parts:
    """What is asked for one after the other. Once the service is gone nothing more is asked: it takes a minute."""

    def __init__(self) -> None:
        self.missing: list[str] = []
        self.error: ServiceError | None = None  # the first
        self._gone = False

    def ask(self, part: str, question: Callable[[], Found], otherwise: Found) -> Found:
        if not self._gone:
            try:
                return question()
            except ServiceError as exc:
                self.error = self.error or exc
                self._gone = not exc.is_of_one_part
        if part not in self.missing:
            self.missing.append(part)
        return otherwise


def _seen(clients: Clients, arn: str) -> Seen:
    from pipeline.cli.graph import Seen
    from pipeline.definition import Definition

    execution = executions.describe(clients, arn)
    ended = execution["PipelineExecutionStatus"] in executions.ENDED
    return Seen(
        execution,
        Definition.parse(executions.definition(clients, arn)),
        {step["StepName"]: step for step in executions.steps(clients, arn)},
        execution["LastModifiedTime"] if ended else datetime.now(UTC),
        ended,
    )


def _curves(clients: Clients, seen: Seen, columns: int) -> Iterator[list[Span]]:
    """Of trainings that left report/training.json, as train.py does."""
    from pipeline.cli.curves import drawn

    trainings = [name for name, step in seen.steps.items() if step["StepType"] == "Training"]
    for name in trainings[-MOST_TRAININGS:]:
        try:
            epochs = _epochs(clients, seen.steps[name])
        except (ServiceError, StorageError) as exc:
            if isinstance(exc, ServiceError) and not exc.is_of_one_part:
                raise
            yield from ([], [(on_one_line(f"{name}: its curves cannot be read: {exc.message}"), "stopped")])
            continue
        if epochs:
            yield []
            yield from drawn(name, epochs, columns, takes_unicode())


def _epochs(clients: Clients, step: dict[str, Any]) -> list[dict[str, Any]]:
    """Empty where it left none. Raises StorageError for too much to look for them: a stranger's may be gigabytes."""
    from pipeline.report import left

    found = left.sections(clients, step, LARGEST)
    return next((content["epochs"] for name, content in found if name == "training" and "epochs" in content), [])


def _facts(clients: Clients, arn: str, seen: Seen, parts: _Parts) -> Iterator[tuple[str, str]]:
    steps = list(seen.steps.values())
    nothing: dict[str, Any] = {}
    none: list[dict[str, Any]] = []
    yield "execution", executions.identifier(arn)
    yield "pipeline", executions.pipeline_name(arn)
    yield "started", moment(seen.execution.get("CreationTime"))
    yield "took", span(steps, seen.now)
    if given := parts.ask("set", lambda: _given(clients, arn, seen), ""):
        yield "set", given
    yield "status", seen.execution["PipelineExecutionStatus"]
    evaluation = parts.ask("accuracy", lambda: outcome.evaluation(clients, arn, steps), nothing)
    measured = outcome.accuracy(evaluation)
    if measured is not None:
        yield "accuracy", f"{measured:.4f}"
    if against := champion.told(evaluation):
        yield "champion", against
    if judged := parts.ask("health", lambda: health.read(clients, steps), None):
        yield "health", health.told(judged)
    for package in parts.ask("models", lambda: outcome.packages(clients, steps), none):
        yield "model", f"version {package['ModelPackageVersion']}, {package['ModelApprovalStatus']}"
    if reason := seen.execution.get("FailureReason"):
        yield "reason", reason


def _given(clients: Clients, arn: str, seen: Seen) -> str:
    """Only what is not the definition's default."""
    declared, given = seen.definition.parameters, executions.parameter_values(clients, arn)
    usual = {name: value for name, value, _ in parameters.told(declared, {})}
    return " ".join(
        f"{name}={value}" for name, value, _ in parameters.told(declared, given) if value != usual.get(name)
    )


COMMANDS = {"show": Command(arguments, run)}
