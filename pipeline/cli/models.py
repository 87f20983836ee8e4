"""`darkroom models`, `approve`, `reject`."""

from __future__ import annotations

import sys

from pipeline.cli import Command, target
from pipeline.cli.home import darkroom
from pipeline.cli.partial import so_far
from pipeline.cli.text import print_json, print_nothing, print_table
from pipeline.control import champion, outcome, registry
from pipeline.control.times import moment

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

LONGEST_REASON = 1024


def group_option(parser: ArgumentParser) -> None:
    parser.add_argument("--group", default="", metavar="GROUP", help="model package group, where there are several")


def list_arguments(parser: ArgumentParser) -> None:
    group_option(parser)
    parser.add_argument("--json", action="store_true", help="the list as JSON")
    target.arguments(parser)


def list_command(args: Namespace) -> int:
    clients = target.looked_at(args)
    if clients is None:
        return print_nothing(args.json)
    packages = registry.newest_first(clients, args.group)
    if args.json:
        print_json([{**package, "Accuracy": registry.accuracy(clients, package)} for package in packages])
        return 0
    if not packages:
        print(
            f"there is no model yet{clients.place}" + ("" if clients.place else f"; {darkroom()} run"), file=sys.stderr
        )
        return 0
    rows = []
    for package in packages:
        evaluation = registry.evaluation(clients, package)
        measured, against = outcome.accuracy(evaluation), champion.told(evaluation)
        shown = "" if measured is None else f"{measured:.4f}"
        created, status = moment(package["CreationTime"]), package["ModelApprovalStatus"]
        version, group = str(package["ModelPackageVersion"]), package["ModelPackageGroupName"]
        rows.append((version, status, shown, against, created, group, package.get("ApprovalDescription", "")))
    print_table(("VERSION", "STATUS", "ACCURACY", "CHAMPION", "CREATED", "GROUP", "REASON"), rows)
    return 0


def approve_arguments(parser: ArgumentParser) -> None:
    _decision_arguments(parser, reason_needed=False)


def reject_arguments(parser: ArgumentParser) -> None:
    _decision_arguments(parser, reason_needed=True)


def _decision_arguments(parser: ArgumentParser, *, reason_needed: bool) -> None:
    parser.add_argument("version", type=int, metavar="N", help="the model's version, as `darkroom models` lists it")
    parser.add_argument("--reason", required=reason_needed, default="", help="kept with the model")
    group_option(parser)
    target.arguments(parser)


def approve_command(args: Namespace) -> int:
    return _decide(args, registry.APPROVED)


def reject_command(args: Namespace) -> int:
    return _decide(args, registry.REJECTED)


def _decide(args: Namespace, status: str) -> int:
    clients = target.used(args)
    package = registry.find(clients, args.version, args.group)
    version = f"version {args.version} of {package['ModelPackageGroupName']}"
    before = f"{version} is {package['ModelApprovalStatus']} as before"
    perhaps = f"whether {version} is {status} now is not known; the same command again makes it so"
    with so_far(before, perhaps, perhaps.rpartition("; ")[2]):
        registry.decide(clients, package, status, args.reason[:LONGEST_REASON])
    print(f"{version} is {status}", file=sys.stderr)
    if status == registry.APPROVED and not clients.place:
        print(f"next: {darkroom()} deploy {args.version}", file=sys.stderr)
    return 0


COMMANDS = {
    "models": Command(list_arguments, list_command),
    "approve": Command(approve_arguments, approve_command),
    "reject": Command(reject_arguments, reject_command),
}
