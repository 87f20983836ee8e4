"""`darkroom watch`: an execution that somebody started, as it goes on, to its end."""

from __future__ import annotations

import sys

from pipeline.cli import Command, target
from pipeline.cli.executions import execution_argument
from pipeline.cli.text import whole

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

LINES, MOST_LINES = 20, 1000


def arguments(parser: ArgumentParser) -> None:
    execution_argument(parser)
    parser.add_argument(
        "-n",
        "--lines",
        type=whole(0, MOST_LINES),
        default=LINES,
        metavar="N",
        help=f"the last N lines of a running step's log at each look; default {LINES}, 0 for none",
    )


def run(args: Namespace) -> int:
    from pipeline.cli.follow import watch
    from pipeline.control import executions

    clients = target.used(args)
    arn = executions.find(clients, args.execution, args.pipeline)
    code = watch(clients, arn, args.typed, args.lines)
    if code == 0:
        print(f"{executions.identifier(arn)} is Succeeded", file=sys.stderr)
    return code


COMMANDS = {"watch": Command(arguments, run)}
