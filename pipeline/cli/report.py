"""`darkroom report`: an execution as one HTML page, here or out of an account."""

from __future__ import annotations

import os
import sys

from pipeline.cli import Command, target
from pipeline.cli.executions import execution_argument
from pipeline.cli.home import shown
from pipeline.cli.partial import so_far
from pipeline.control import executions

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace


def arguments(parser: ArgumentParser) -> None:
    execution_argument(parser)
    parser.add_argument(
        "-o", "--output", default="", metavar="FILE", help="default: report.html of the execution's folder"
    )


def run(args: Namespace) -> int:
    """Prints the page's path."""
    from pipeline.report import write_report

    clients = target.used(args)
    arn = executions.find(clients, args.execution, args.pipeline)
    with so_far("no report was written"):
        path = write_report(clients, arn, args.output)
    print(shown(path))
    print(
        f"{os.path.getsize(path):,} bytes, self-contained: it opens in a browser, offline and out of a mail",
        file=sys.stderr,
    )
    return 0


COMMANDS = {"report": Command(arguments, run)}
