"""`darkroom start`: runs a version that is deployed, or any definition, also one that this project did not compile."""

from __future__ import annotations

import os
import re
import sys
from collections import namedtuple

from pipeline.cli import Command, target
from pipeline.errors import DarkroomError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Sequence

    from pipeline.client import Clients

LONGEST_NAME = 256
SHORTEST_TOKEN, LONGEST_TOKEN = 32, 128
_FORMS = {"--image": "URI-PATTERN=COMMAND", "--function": "ARN=ZIP-OR-FOLDER"}

# given: parameters' values · more: further members of StartPipelineExecution
Starting = namedtuple("Starting", "name text given more")


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "definition", nargs="?", help="a pipeline definition in JSON; without it a version that is deployed is started"
    )
    parser.add_argument("--set", action="append", default=[], metavar="PARAMETER=VALUE", help="may be repeated")
    parser.add_argument("--wait", action="store_true", help="follow it to its end; exit 1 when it does not succeed")
    parser.add_argument(
        "--name", "--pipeline", metavar="NAME", help="of the pipeline (default: the file's, or pipeline.yaml's)"
    )
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--version", type=int, default=0, metavar="N", help="this version of what is deployed")
    which.add_argument("--alias", default="", metavar="ALIAS", help="the one that the alias names (default: current)")
    selection = parser.add_mutually_exclusive_group()
    selection.add_argument(
        "--from", dest="onwards", default="", metavar="STEP", help="only this step and all that wait for it"
    )
    selection.add_argument("--only", nargs="+", default=[], metavar="STEP", help="only these steps")
    parser.add_argument("--role", default="", metavar="ARN", help="of a new pipeline: what SageMaker runs its steps as")
    parser.add_argument(
        "--token",
        default="",
        metavar="TOKEN",
        help="32 to 128 characters; the same one never starts a second execution",
    )
    stand_ins(parser)
    target.arguments(parser)


def stand_ins(parser: ArgumentParser) -> None:
    """Options for what this machine cannot know of a definition that others compiled."""
    parser.add_argument(
        "--image",
        action="append",
        default=[],
        metavar=_FORMS["--image"],
        help="what runs here in place of containers with such images; * matches anything",
    )
    parser.add_argument(
        "--function",
        action="append",
        default=[],
        metavar=_FORMS["--function"],
        help="the code of a Lambda function",
    )


def run(args: Namespace) -> int:
    from pipeline.cli.home import darkroom
    from pipeline.cli.partial import so_far
    from pipeline.client import request_token
    from pipeline.control import parameters, pipelines

    given = parameters.parse(args.set)
    token = _token(args.token) or request_token()
    images, functions = pairs(args.image, "--image"), pairs(args.function, "--function")
    if images or functions:
        target.only_here(args, "leave out --image and --function: SageMaker has the images and functions themselves")
    clients, what = _of_file(args, given, images, functions) if args.definition else _deployed(args, given)
    if args.onwards or args.only:
        from pipeline.cli.deployed import selected

        what = selected(args, clients, what)
    if what.given:
        from pipeline.control import bounds

        parameters.check(parameters.declared(what.text), what.given)
        bounds.check(what.text, what.given, clients.home)
    again = f"{darkroom()} {_with_token(args.typed, token)}"
    perhaps = f"whether an execution was started is not known: this starts none that was started already:\n  {again}"
    with so_far(f"pipeline {what.name} is up to date; nothing was started", perhaps):
        arn = pipelines.start(clients, what.name, what.text, what.given, token, what.more)
    print(arn, flush=True)
    if not args.wait:
        return 0
    from pipeline.cli.follow import follow

    code = follow(clients, arn, args.typed)
    if code == 0:  # else it was said what happened, and what to type
        print(f"next: {darkroom()} show {arn.rpartition('/')[2]}{clients.options}", file=sys.stderr)
    return code


def _of_file(
    args: Namespace, given: dict[str, str], images: list[tuple[str, str]], functions: list[tuple[str, str]]
) -> tuple[Clients, Starting]:
    """The pipeline is brought to where the file is, and its newest version is started."""
    from pipeline import verdict
    from pipeline.cli.home import home
    from pipeline.cli.partial import so_far
    from pipeline.control import pipelines

    if args.version or args.alias:
        raise DarkroomError(
            "--version and --alias mean what is deployed, and not a file", f"leave out {args.definition}"
        )
    text = read(args.definition)
    verdict.refuse(text, home(), args.definition)
    clients = target.connect(args)
    if images or functions:
        from pipeline.control import local_setup

        local_setup.register(clients, images, functions)
    name = args.name or name_of(args.definition)
    with so_far("nothing was started", f"whether pipeline {name} was changed is not known; nothing was started"):
        pipelines.upsert(clients, name, text, role=args.role)
    return clients, Starting(name, text, given, {})


def _deployed(args: Namespace, given: dict[str, str]) -> tuple[Clients, Starting]:
    from pipeline.cli.deployed import deployed  # what the start of a file has no use for

    return deployed(args, given)


def _token(given: str) -> str:
    """Raises DarkroomError for one that the service does not take."""
    if given and not (SHORTEST_TOKEN <= len(given) <= LONGEST_TOKEN):
        raise DarkroomError(
            f"--token has {len(given)} characters; SageMaker takes {SHORTEST_TOKEN} to {LONGEST_TOKEN}",
            "such as the commit's id and the job's number; without it each start is a new one",
        )
    return given


def _with_token(typed: Sequence[str], token: str) -> str:
    import shlex

    return shlex.join(typed if any(word.startswith("--token") for word in typed) else [*typed, "--token", token])


def read(path: str) -> str:
    """Raises DarkroomError if the file cannot be read or is no text."""
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except OSError as exc:
        raise DarkroomError(f"cannot read {path}: {exc.strerror}", "darkroom compile -o definition.json") from exc
    except UnicodeDecodeError as exc:
        raise DarkroomError(f"{path} is not text in UTF-8: byte {exc.start}", "darkroom start --help") from exc


def name_of(path: str) -> str:
    """The file's name, with what a pipeline's name cannot hold replaced by dashes."""
    stem = os.path.splitext(os.path.basename(path))[0]
    return re.sub(r"[^A-Za-z0-9]+", "-", stem).strip("-")[:LONGEST_NAME] or "pipeline"


def pairs(options: list[str], option: str) -> list[tuple[str, str]]:
    """What was given with --image or --function. Raises DarkroomError."""
    found = []
    for text in options:
        key, equals, value = text.partition("=")
        if not (key and equals and value):
            raise DarkroomError(f"{option} {text!r} is not of the form {_FORMS[option]}", "darkroom start --help")
        found.append((key, value))
    return found


COMMANDS = {"start": Command(arguments, run)}
