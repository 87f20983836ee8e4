"""`darkroom check --aws`: what an account lacks for this pipeline, before money is spent; it only reads."""

from __future__ import annotations

import os
import sys

from pipeline.cli import DONE, FAILED, USAGE, Command
from pipeline.cli.definitions import compiled_from, config_option, read_option

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Sequence

    from pipeline.preflight.finding import Finding
    from pipeline.preflight.setting import Setting


def arguments(parser: ArgumentParser) -> None:
    config_option(parser)
    parser.add_argument("--aws", action="store_true", help="look at the AWS account; there is nothing else to look at")
    parser.add_argument(
        "--set", action="append", default=[], metavar="PARAMETER=VALUE", help="as `darkroom start` will be given it"
    )
    read_option(parser)
    parser.add_argument("--json", action="store_true", help="the findings as a list")
    parser.add_argument("--region", default="", metavar="REGION", help="default: AWS_REGION, or the profile's")
    parser.add_argument("--profile", default="", metavar="NAME", help="of ~/.aws/config; default: AWS_PROFILE")


def run(args: Namespace) -> int:
    """Findings on stdout, errors first; exit code 1 if one of them is an error."""
    if not args.aws and os.environ.get("DARKROOM_TARGET") != "aws":
        from pipeline.cli import complain
        from pipeline.errors import DarkroomError

        told = "this machine needs no check: darkroom run says at once what is missing here"
        complain(DarkroomError(told, "darkroom check --aws"))
        return USAGE
    from pipeline.cli.text import print_json
    from pipeline.preflight import checking

    found = checking.run(_setting(args))
    if args.json:
        print_json([each.document() for each in found])
    else:
        _show(found)
    return FAILED if any(_fails(each) for each in found) else DONE


def _fails(found: Finding) -> bool:
    """Also where nobody knows whose account was looked at: then nothing was found out."""
    return found.status == "error" or (found.check == "credentials" and found.status == "cannot tell")


def _setting(args: Namespace) -> Setting:
    from pathlib import Path

    from pipeline.cli.home import home
    from pipeline.client import aws_services
    from pipeline.compile import entrypoints_root
    from pipeline.config import load_config
    from pipeline.control import parameters
    from pipeline.definition import Definition
    from pipeline.iam import policies, scope
    from pipeline.infra.packaging import packages
    from pipeline.plan import values
    from pipeline.preflight.setting import Setting

    given = parameters.parse(args.set)
    definition = Definition.parse(compiled_from(args.config, home(args.config)).definition())
    parameters.check(definition.parameters, given)
    config = load_config(Path(args.config))
    service, _ = aws_services(config.pipeline.region, args.profile, args.session)
    return Setting(
        config,
        definition,
        values.typed(definition, given),
        policies.roles(config, definition, [scope.address(each) for each in args.read]),
        packages(config, Path(entrypoints_root(os.path.abspath(args.config)))),
        service,
        _region(args),
        args.config,
    )


def _region(args: Namespace) -> str:
    """Where `darkroom upsert --target aws` would go; empty where it would ask."""
    from pipeline.client import aws_services
    from pipeline.errors import ServiceError

    try:
        return aws_services(args.region, args.profile, args.session)[1]
    except ServiceError as exc:
        if exc.code != "NoRegion":
            raise
        return ""


def _show(found: Sequence[Finding]) -> None:
    """A line each, and below it what to type."""
    from pipeline.cli import spelled

    width = max(len(each.check) for each in found)
    for each in found:
        about = "" if each.message.startswith(each.subject) else f"{each.subject}: "
        print(f"{each.status:<11}  {each.check:<{width}}  {about}{each.message}")
        if each.mend:
            print(f"{'':<11}  {'':<{width}}  → {spelled(each.mend)}")
    statuses = [each.status for each in found]
    counts = [f"{statuses.count(status)} {status}" for status in dict.fromkeys(statuses)]
    print(", ".join(counts), file=sys.stderr)


COMMANDS = {"check": Command(arguments, run)}
