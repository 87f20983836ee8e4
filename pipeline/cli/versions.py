"""`darkroom versions`, `promote`, `rollback`: which version of a pipeline is meant where nobody says which."""

from __future__ import annotations

import os
import sys

from pipeline.cli import USAGE, Command, complain, target
from pipeline.cli.home import CONFIG, darkroom
from pipeline.cli.text import print_json, print_nothing, print_table, whole
from pipeline.client import pages
from pipeline.control import executions, upserting, versions
from pipeline.control.times import moment
from pipeline.errors import DarkroomError, ServiceError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from contextlib import AbstractContextManager

    from pipeline.client import Clients
    from pipeline.control.versions import Move

SHOWN = 12  # hex digits of a commit


def pipeline_option(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--pipeline", default="", metavar="NAME", help=f"default: that of {CONFIG}, or the only one there is"
    )


def pipeline_name(clients: Clients, given: str) -> str:
    """Raises DarkroomError where it cannot be told which pipeline is meant."""
    if given:
        return given
    if os.path.exists(CONFIG):
        from pathlib import Path

        from pipeline.config import load_config

        return str(load_config(Path(CONFIG)).pipeline.name)
    known = [str(row["PipelineName"]) for row in pages(clients.sagemaker.list_pipelines, "PipelineSummaries")]
    match known:
        case [only]:
            return only
        case []:
            raise DarkroomError(f"there is no pipeline{clients.place} yet", "darkroom upsert")
        case _:
            raise DarkroomError(f"there are several pipelines: {', '.join(known)}", f"add --pipeline {known[0]}")


def list_arguments(parser: ArgumentParser) -> None:
    pipeline_option(parser)
    parser.add_argument("--json", action="store_true", help="the list as JSON")
    target.arguments(parser)


def list_command(args: Namespace) -> int:
    clients = target.looked_at(args)
    if clients is None:
        return print_nothing(args.json)
    known = versions.newest_first(clients, pipeline_name(clients, args.pipeline))
    if args.json:
        print_json([_row(version) for version in known])
        return 0
    cells = []
    for version in known:
        commit = upserting.commit_of(version)
        short = commit[:SHOWN] + ("+" if "+" in commit else "")
        last = executions.identifier(version.last_execution)
        cells.append((str(version.id), ", ".join(version.aliases), moment(version.created), short, last))
    print_table(("VERSION", "ALIASES", "CREATED", "COMMIT", "LAST EXECUTION"), cells)
    return 0


def _row(version: versions.Version) -> dict[str, object]:
    return {
        "PipelineVersionId": version.id,
        "PipelineVersionAliases": list(version.aliases),
        "CreationTime": version.created,
        "Commit": upserting.commit_of(version) or None,
        "PipelineVersionDisplayName": version.name,
        "PipelineVersionDescription": version.description,
        "LastExecutionPipelineExecutionArn": version.last_execution or None,
    }


def promote_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("alias", metavar="ALIAS", help="such as production")
    parser.add_argument("version", nargs="?", type=whole(1), default=0, metavar="VERSION", help="default: the newest")
    pipeline_option(parser)
    target.arguments(parser)


def promote_command(args: Namespace) -> int:
    clients = target.used(args)
    name = pipeline_name(clients, args.pipeline)
    with _between(args):
        moved = versions.promote(clients, name, args.alias, args.version)
    return _tell(clients, args, name, moved, f"{args.alias} stands at version {moved.now} of {name} already")


def rollback_arguments(parser: ArgumentParser) -> None:
    from pipeline.cli.definitions import config_option

    parser.add_argument(
        "alias", nargs="?", default="", metavar="ALIAS", help=f"default: {versions.CURRENT}; none with --endpoint"
    )
    pipeline_option(parser)
    parser.add_argument(
        "--endpoint",
        nargs="?",
        const="",
        metavar="NAME",
        help="not an alias, but an endpoint: to its last good model; default: the production endpoint",
    )
    config_option(parser)
    parser.add_argument("--json", action="store_true", help="of an endpoint: what came of it as JSON")
    target.arguments(parser)


def rollback_command(args: Namespace) -> int:
    if args.endpoint is not None:
        return _rollback_endpoint(args)
    args.alias = args.alias or versions.CURRENT
    clients = target.used(args)
    name = pipeline_name(clients, args.pipeline)
    with _between(args):
        moved = versions.rollback(clients, name, args.alias)
    further = f"{darkroom()} promote {args.alias} VERSION{clients.options}"
    already = f"{args.alias} stands at version {moved.now} of {name} already, as before its last promotion; {further}"
    return _tell(clients, args, name, moved, already)


def _rollback_endpoint(args: Namespace) -> int:
    """Whoever also names what is of aliases may mean the pipeline: nothing that serves is changed on a guess."""
    from pipeline.cli import deployments

    if args.alias or args.pipeline:
        told = repr(args.alias) if args.alias else f"--pipeline {args.pipeline}"
        either = f"darkroom rollback --endpoint {args.endpoint}".rstrip()
        other = f"darkroom rollback {args.alias}".rstrip()
        complain(DarkroomError(f"--endpoint is about an endpoint, {told} about a pipeline", f"{either}, or {other}"))
        return USAGE
    return deployments.rollback(args)


def _between(args: Namespace) -> AbstractContextManager[None]:
    """What is refused before the service is asked to move anything has moved nothing."""
    from pipeline.cli.partial import so_far

    again = f"{darkroom()} {' '.join(args.typed)}"
    said = f"{args.alias} may have left its old version already; this completes the move: {again}"
    return so_far(said, of=ServiceError)


def _tell(clients: Clients, args: Namespace, name: str, moved: Move, already: str) -> int:
    """stdout: the number of the version that has the alias now."""
    print(moved.now)
    if moved.before == moved.now:
        print(already, file=sys.stderr)
        return 0
    was = f"from version {moved.before} " if moved.before else ""
    print(f"{moved.alias} of {name} moved {was}to version {moved.now}", file=sys.stderr)
    which = f" --pipeline {name}" if args.pipeline else ""
    print(f"next: {darkroom()} start{which} --alias {moved.alias}{clients.options}", file=sys.stderr)
    return 0


COMMANDS = {
    "versions": Command(list_arguments, list_command),
    "promote": Command(promote_arguments, promote_command),
    "rollback": Command(rollback_arguments, rollback_command),
}
