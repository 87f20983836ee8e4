"""Where a command does its work: --target, --region, --profile, DARKROOM_TARGET; the clients that they mean."""

from __future__ import annotations

import os

from pipeline.cli.home import has_state, home, used_home
from pipeline.client import local_client
from pipeline.errors import DarkroomError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Sequence

    from pipeline.client import Clients, Hosting

LOCAL, AWS = TARGETS = ("local", "aws")
VARIABLE = "DARKROOM_TARGET"
OPTIONS = ("--target", "--region", "--profile")


def arguments(parser: ArgumentParser) -> None:
    """For every command that talks to a service."""
    parser.add_argument("--target", choices=TARGETS, help=f"this machine (the default) or AWS; {VARIABLE} sets it, too")
    parser.add_argument("--region", default="", metavar="REGION", help="of AWS; default: AWS_REGION, or the profile's")
    parser.add_argument("--profile", default="", metavar="NAME", help="of ~/.aws/config; default: AWS_PROFILE")


def chosen(args: Namespace) -> str:
    """Raises DarkroomError for what does not fit together."""
    target = str(args.target or os.environ.get(VARIABLE, "") or LOCAL)
    if target not in TARGETS:
        raise DarkroomError(f"{VARIABLE} is {target!r}", f"set it to {LOCAL} or {AWS}")
    for option, value in (("--region", args.region), ("--profile", args.profile)):
        if value and target != AWS:
            raise DarkroomError(f"{option} {value} means nothing on this machine", "add --target aws")
    return target


def connect(args: Namespace) -> Clients:
    """Clients for a command that may be the first one."""
    return _aws(args) if chosen(args) == AWS else local_client(home())


def used(args: Namespace) -> Clients:
    """Clients for a command about what is there. Raises DarkroomError where nothing ever was."""
    return _aws(args) if chosen(args) == AWS else local_client(used_home())


def looked_at(args: Namespace) -> Clients | None:
    """Clients for a command that only looks; None where nothing was ever done: it leaves nothing behind."""
    if chosen(args) == AWS:
        return _aws(args)
    return local_client(home()) if has_state() else None


def hosting(args: Namespace, where: str) -> Hosting:
    """What runs behind endpoints, on the side that the command is led to; on this machine below the folder `where`."""
    from pipeline.client import aws_hosting, local_hosting

    return aws_hosting(args.region, args.profile, args.session) if chosen(args) == AWS else local_hosting(where)


def only_here(args: Namespace, instead: str) -> None:
    """For a command that works on this machine alone so far. Raises DarkroomError where AWS is asked for."""
    if chosen(args) == AWS:
        command = f"darkroom {args.typed[0]}"
        raise DarkroomError(f"{command} works on this machine alone so far, not with --target aws", instead)


def _aws(args: Namespace) -> Clients:
    from pipeline.client import aws_client

    return aws_client(home(), args.region, args.profile, typed(args.typed), args.session)


def typed(argv: Sequence[str]) -> str:
    """' --target aws --region eu-west-1': what was typed of these options, for the commands that are typed next."""
    import shlex

    words = list(argv)
    found = []
    for number, word in enumerate(words):
        name, equals, value = word.partition("=")
        if name in OPTIONS:
            found += [name, value if equals else words[number + 1] if number + 1 < len(words) else ""]
    return f" {shlex.join(found)}" if found else ""
