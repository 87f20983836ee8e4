"""`darkroom executions`, `logs`, `stop`, `resume`."""

from __future__ import annotations

import sys
from contextlib import suppress

from pipeline.cli import Command, target
from pipeline.cli.follow import said_trouble
from pipeline.cli.home import shown
from pipeline.cli.partial import so_far
from pipeline.cli.text import print_json, print_nothing, print_table, whole
from pipeline.control import executions, logs
from pipeline.control.times import moment

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
    "logs": Command(logs_arguments, logs_command),
    "stop": Command(execution_argument, stop_command),
    "resume": Command(resume_arguments, resume_command),
}
