"""`darkroom executions`, `show`, `logs`, `stop`, `resume`."""

from __future__ import annotations

import sys
from contextlib import suppress
from datetime import UTC, datetime

from pipeline.cli import Command, target
from pipeline.cli.follow import said_trouble
from pipeline.cli.home import shown
from pipeline.cli.partial import so_far
from pipeline.cli.text import print_json, print_nothing, print_table, whole
from pipeline.control import champion, executions, health, logs, outcome
from pipeline.control.times import duration, elapsed, moment

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from typing import Any

    from pipeline.client import Clients


def list_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--pipeline", default="", metavar="NAME", help="only this pipeline's")
    parser.add_argument("--json", action="store_true", help="the list as JSON")
    target.arguments(parser)


def list_command(args: Namespace) -> int:
    clients = target.looked_at(args)
    rows = executions.newest_first(clients, args.pipeline) if clients else []
    if not rows:
        place = clients.place if clients else ""
        return print_nothing(args.json, place, f"start DEFINITION{clients.options}" if clients and place else "run")
    if args.json:
        print_json(rows)
        return 0
    cells = []
    for row in rows:
        arn = row["PipelineExecutionArn"]
        reason = row.get("PipelineExecutionFailureReason", "").partition("\n")[0]
        name, started = executions.pipeline_name(arn), moment(row["StartTime"])
        cells.append((executions.identifier(arn), name, row["PipelineExecutionStatus"], started, reason))
    print_table(("EXECUTION", "PIPELINE", "STATUS", "STARTED", "REASON"), cells)
    return 0


def execution_argument(parser: ArgumentParser) -> None:
    parser.add_argument("execution", nargs="?", default=executions.LAST, metavar="EXECUTION", help=_EXECUTION)
    _where(parser)


def _where(parser: ArgumentParser) -> None:
    parser.add_argument("--pipeline", default="", metavar="NAME", help="only among the executions of this pipeline")
    target.arguments(parser)


_EXECUTION = "an id, the beginning of one, an ARN, or last (the default): the newest"


def show_arguments(parser: ArgumentParser) -> None:
    execution_argument(parser)
    parser.add_argument("--json", action="store_true", help="one object; its Steps and ModelPackages newest first")


def show_command(args: Namespace) -> int:
    clients = target.used(args)
    arn = executions.find(clients, args.execution, args.pipeline)
    if args.json:
        print_json(in_full(clients, arn))
    else:
        _show(clients, arn)
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


def _show(clients: Clients, arn: str) -> None:
    execution = executions.describe(clients, arn)
    steps = executions.steps(clients, arn)
    ended = execution["PipelineExecutionStatus"] in executions.ENDED
    now = execution["LastModifiedTime"] if ended else datetime.now(UTC)
    facts = [
        ("execution", executions.identifier(arn)),
        ("pipeline", executions.pipeline_name(arn)),
        ("status", execution["PipelineExecutionStatus"]),
        ("started", moment(execution.get("CreationTime"))),
        ("took", _took(steps, now)),
        *_given(clients, arn),
    ]
    evaluation = outcome.evaluation(clients, arn, steps)
    measured = outcome.accuracy(evaluation)
    if measured is not None:
        facts.append(("accuracy", f"{measured:.4f}"))
    if against := champion.told(evaluation):
        facts.append(("champion", against))
    if judged := health.read(clients, steps):
        facts.append(("health", health.told(judged)))
    for package in outcome.packages(clients, steps):
        facts.append(("model", f"version {package['ModelPackageVersion']}, {package['ModelApprovalStatus']}"))
    if reason := execution.get("FailureReason"):
        facts.append(("reason", reason))
    for name, value in facts:
        print(f"{name:<10} {value}")
    print()
    print_table(("STEP", "STATUS", "TOOK", "CACHE", ""), [_step_row(clients, step, now) for step in steps])


def _given(clients: Clients, arn: str) -> list[tuple[str, str]]:
    """Only what is not the definition's default."""
    from pipeline.definition import Definition

    declared = Definition.parse(executions.definition(clients, arn)).parameters
    changed = [
        f"{name}={value}"
        for name, value in executions.parameter_values(clients, arn).items()
        if value != str(declared.get(name, {}).get("DefaultValue"))
    ]
    return [("set", " ".join(changed))] if changed else []


def _took(steps: list[dict[str, Any]], now: datetime) -> str:
    starts = [step["StartTime"] for step in steps if step.get("StartTime")]
    ends = [step.get("EndTime") or now for step in steps]
    return duration((max(ends) - min(starts)).total_seconds()) if starts else ""


def _step_row(clients: Clients, step: dict[str, Any], now: datetime) -> tuple[str, ...]:
    said = step.get("FailureReason", "").strip().partition("\n")[0] or outcome.now(clients, step)
    took = "" if "CacheHitResult" in step else elapsed(step, now)
    return step["StepName"], step["StepStatus"], took, outcome.cache_phrase(step), said


def logs_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("execution", metavar="EXECUTION", help=_EXECUTION.replace(" (the default)", ""))
    parser.add_argument("step", metavar="STEP", help="the step's name")
    parser.add_argument("-n", "--lines", type=whole(0), metavar="N", help="only the last N lines of each file")
    parser.add_argument("-f", "--follow", action="store_true", help="go on printing while the step runs")
    parser.add_argument("--json", action="store_true", help="a list of files, each with its lines")
    _where(parser)


def logs_command(args: Namespace) -> int:
    from pipeline.cli.text import print_log

    clients = target.used(args)
    arn = executions.find(clients, args.execution, args.pipeline)
    step = logs.step_named(executions.steps(clients, arn), args.step)
    paths = logs.paths(clients, step)
    if args.json:
        read = [(path, logs.read(clients, path, args.lines)[0]) for path in paths]
        print_json([{"Step": step["StepName"], "Path": path, "Lines": lines} for path, lines in read])
        return 0
    positions: dict[str, Any] = {}
    for path in paths:
        print(f"==> {shown(path)} <==", file=sys.stderr)
        lines, positions[path] = logs.read(clients, path, args.lines)
        print_log(lines)
    if not paths:
        print(f"{step['StepName']} has written no log", file=sys.stderr)
    if args.follow and paths:
        _follow_log(clients, arn, step["StepName"], paths[0], positions[paths[0]])
    return 0


def _follow_log(clients: Clients, arn: str, name: str, path: str, position: Any) -> None:
    """What the service cannot be asked for now is printed at a later look."""
    from pipeline.cli.text import print_log

    def look(_execution: dict[str, Any], steps: list[dict[str, Any]]) -> None:
        nonlocal position
        step = logs.step_named(steps, name)
        fresh, position = logs.after(clients, path, position)
        print_log(fresh)
        sys.stdout.flush()
        if step["StepStatus"] in executions.ENDED:
            raise _Ended

    with suppress(_Ended):
        executions.wait(clients, arn, look, said_trouble)


class _Ended(Exception):
    """The step has, though its execution may not have."""


def stop_command(args: Namespace) -> int:
    clients = target.used(args)
    arn = executions.find(clients, args.execution, args.pipeline)
    identifier = executions.identifier(arn)
    again = f"darkroom stop {identifier}"
    with so_far(f"execution {identifier} was not asked to stop", _PERHAPS.format(identifier, "asked to stop"), again):
        executions.stop(clients, arn)
    print(f"{identifier} is stopping", file=sys.stderr)
    with so_far(f"execution {identifier} was asked to stop", hint=f"darkroom show {identifier}"):
        ended = executions.wait(clients, arn, lambda execution, steps: None, said_trouble)
    print(f"{identifier} is {ended['PipelineExecutionStatus']}", file=sys.stderr)
    return 0


_PERHAPS = "whether execution {} was {} is not known; to ask again does no harm"


def resume_arguments(parser: ArgumentParser) -> None:
    execution_argument(parser)
    parser.add_argument("--no-wait", action="store_true", help="return at once")


def resume_command(args: Namespace) -> int:
    clients = target.used(args)
    arn = executions.find(clients, args.execution, args.pipeline)
    identifier = executions.identifier(arn)
    again = f"darkroom resume {identifier}"
    with so_far(f"execution {identifier} was not resumed", _PERHAPS.format(identifier, "resumed"), again):
        executions.resume(clients, arn)
    print(arn, flush=True)
    if args.no_wait:
        return 0
    from pipeline.cli.follow import follow
    from pipeline.cli.run import finish

    code = follow(clients, arn, args.typed)
    ended = f"execution {identifier} has {'succeeded' if code == 0 else 'ended'}; only its report is missing"
    with so_far(ended, hint=f"darkroom report {identifier}"):
        finish(clients, arn, code, as_json=False)
    return code


COMMANDS = {
    "executions": Command(list_arguments, list_command),
    "show": Command(show_arguments, show_command),
    "logs": Command(logs_arguments, logs_command),
    "stop": Command(execution_argument, stop_command),
    "resume": Command(resume_arguments, resume_command),
}
