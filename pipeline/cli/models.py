"""`darkroom models`, `approve`, `reject`."""

from __future__ import annotations

import sys

from pipeline.cli import Command, spelled, target
from pipeline.cli.home import darkroom
from pipeline.cli.partial import so_far
from pipeline.cli.text import on_one_line, print_error, print_json, print_nothing, print_table
from pipeline.control import champion, outcome, registry
from pipeline.control.times import moment
from pipeline.errors import DarkroomError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from typing import Any

    from pipeline.client import Clients


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
        none = registry.nothing(clients)
        print(f"{none.message}; {spelled(none.hint, args.typed)}", file=sys.stderr)
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
    words = "though it was rejected, or is approved already: whatever deploys on an approval does so once more"
    parser.add_argument("--again", action="store_true", help=words)


def reject_arguments(parser: ArgumentParser) -> None:
    _decision_arguments(parser, reason_needed=True)


def _decision_arguments(parser: ArgumentParser, *, reason_needed: bool) -> None:
    parser.add_argument("version", type=int, metavar="N", help="the model's version, as `darkroom models` lists it")
    words = f"kept with the model; {registry.LONGEST_REASON} characters at most"
    parser.add_argument("--reason", required=reason_needed, default="", help=words)
    group_option(parser)
    target.arguments(parser)


def approve_command(args: Namespace) -> int:
    return _decide(args, registry.APPROVED, args.again)


def reject_command(args: Namespace) -> int:
    return _decide(args, registry.REJECTED, again=False)


def _decide(args: Namespace, status: str, again: bool) -> int:
    reason = registry.reason(args.reason, needed=status == registry.REJECTED)
    clients = target.used(args)
    package = registry.find(clients, args.version, args.group)
    version = f"version {args.version} of {package['ModelPackageGroupName']}"
    before = package["ModelApprovalStatus"]
    if before == status and not again:
        return _remark(clients, package, version, reason)
    if before != registry.PENDING and before != status:
        _overrule(args, package, version, status, again)
    as_before = f"{version} is {before} as before"
    perhaps = f"whether {version} is {status} now is not known; the same command again makes it so"
    with so_far(as_before, perhaps, perhaps.rpartition("; ")[2]):
        registry.decide(clients, package, status, reason)
    print(f"{version} is {status}", file=sys.stderr)
    if status == registry.APPROVED:
        which = registry.spelled(args.version, args.group)
        print(f"next: {darkroom()} deploy {which}{clients.options}", file=sys.stderr)
    elif status == registry.REJECTED and before == registry.APPROVED:
        which = registry.spelled(args.version, args.group)
        print(f"endpoints that serve it go on: {darkroom()} show-model {which}{clients.options}", file=sys.stderr)
    return 0


def _remark(clients: Clients, package: dict[str, Any], version: str, reason: str) -> int:
    """For what is decided already: no second approval is sent, which might deploy once more; a new note is."""
    status = package["ModelApprovalStatus"]
    if not reason or reason == package.get("ApprovalDescription", ""):
        again = "; --again sends it once more, for whatever deploys then" if status == registry.APPROVED else ""
        print(f"{version} is {status} already{_told(package)}; nothing was sent{again}", file=sys.stderr)
        return 0
    perhaps = f"{version} is {status} as before; whether its note is the new one is not known"
    with so_far(f"{version} is {status} as before, and so is its note", perhaps, "run the same command again"):
        registry.annotate(clients, package, reason)
    print(f"{version} is {status} already{_told(package)}; its note is the new one now", file=sys.stderr)
    return 0


def _overrule(args: Namespace, package: dict[str, Any], version: str, status: str, again: bool) -> None:
    """Somebody decided otherwise, perhaps since this caller looked. Raises DarkroomError: a rejected model that goes
    live by mistake costs more than a command that is typed twice; taking an approval back is told alone.
    """
    before = package["ModelApprovalStatus"]
    said = f"{version} was {before}{_told(package)}"
    if status == registry.APPROVED and not again:
        which = registry.spelled(args.version, args.group)
        raise DarkroomError(on_one_line(said), f'darkroom approve {which} --again --reason "…"')
    print_error(on_one_line(said))


def _told(package: dict[str, Any]) -> str:
    """When, by whom as far as the service tells, and why."""
    when, why = moment(package.get("LastModifiedTime")), str(package.get("ApprovalDescription") or "")
    since = f" since {when}{registry.by(package.get('LastModifiedBy'))}" if when else ""
    return since + (f" ({on_one_line(why)})" if why else "")


COMMANDS = {
    "models": Command(list_arguments, list_command),
    "approve": Command(approve_arguments, approve_command),
    "reject": Command(reject_arguments, reject_command),
}
