"""`darkroom download`: report, metrics and model of an execution, into a folder."""

from __future__ import annotations

import os
import sys

from pipeline.cli import Command, target
from pipeline.cli.executions import execution_argument
from pipeline.cli.partial import so_far
from pipeline.cli.text import print_json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Iterator
    from typing import Any

    from pipeline.client import Clients
    from pipeline.control.download import Item, Written

REPORT, METRICS, MODEL = KINDS = ("report", "metrics", "model")


def arguments(parser: ArgumentParser) -> None:
    execution_argument(parser)
    parser.add_argument("-o", "--output", default="", metavar="FOLDER", help="default: one called like the execution")
    parser.add_argument("--only", choices=KINDS, default="", help="this alone")
    parser.add_argument("--json", action="store_true", help="a list of files with size, SHA-256 and where they lay")


def run(args: Namespace) -> int:
    from pipeline.control import download, executions

    clients = target.used(args)
    arn = executions.find(clients, args.execution, args.pipeline)
    folder = args.output or executions.identifier(arn)
    with so_far("nothing was written"):
        items = list(_items(clients, arn, args.only))
        if not items:
            raise download.nothing(arn, args.only)
    rows = [_said(folder, written) for written in download.fetch(clients, arn, items, folder)]
    if args.json:
        print_json(rows)
    else:
        for row in rows:
            print(row["File"])
    return 0


def _items(clients: Clients, arn: str, only: str) -> Iterator[Item]:
    from pipeline.cli.report import money
    from pipeline.control import download, executions
    from pipeline.report import NAME, write_report

    steps = executions.steps(clients, arn)
    if only in ("", REPORT):
        with open(write_report(clients, arn, money=money(clients)), "rb") as file:
            yield download.Item(NAME, content=file.read())
    if only in ("", METRICS):
        yield from download.metrics(clients, arn, steps)
    if only in ("", MODEL):
        yield from download.models(clients, steps)


def _said(folder: str, written: Written) -> dict[str, Any]:
    word = "written" if written.written else "there already"
    print(f"{written.file}: {word}, {written.size:,} bytes", file=sys.stderr, flush=True)
    names = {"Uri": written.uri} if written.uri else {}
    size = {"Size": written.size, "Sha256": written.sha256, "Written": written.written}
    return {"File": os.path.join(folder, written.file), **names, **size}


COMMANDS = {"download": Command(arguments, run)}
