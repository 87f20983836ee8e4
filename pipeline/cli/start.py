"""`darkroom start`: runs any definition, also one that this project did not compile."""

from __future__ import annotations

import os
import re
import sys

from pipeline.cli import Command
from pipeline.errors import DarkroomError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

LONGEST_NAME = 256
_FORMS = {"--image": "URI-PATTERN=COMMAND", "--function": "ARN=ZIP-OR-FOLDER"}


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("definition", help="a pipeline definition in JSON")
    parser.add_argument("--set", action="append", default=[], metavar="PARAMETER=VALUE", help="may be repeated")
    parser.add_argument("--wait", action="store_true", help="follow it to its end; exit 1 when it does not succeed")
    parser.add_argument("--name", help="name of the pipeline (default: the file's name)")
    stand_ins(parser)


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
    from pipeline import verdict
    from pipeline.cli.home import darkroom, home
    from pipeline.client import local_client
    from pipeline.control import parameters, pipelines

    given = parameters.parse(args.set)
    images, functions = pairs(args.image, "--image"), pairs(args.function, "--function")
    text = read(args.definition)
    where = home()
    verdict.refuse(text, where, args.definition)
    clients = local_client(where)
    if images or functions:
        from pipeline.control import local_setup

        local_setup.register(clients, images, functions)
    name = args.name or _name(args.definition)
    pipelines.upsert(clients, name, text)
    arn = pipelines.start(clients, name, text, given)
    print(arn, flush=True)
    if not args.wait:
        return 0
    from pipeline.cli.follow import follow

    code = follow(clients, arn, args.typed)
    if code == 0:  # else it was said what happened, and what to type
        print(f"next: {darkroom()} show {arn.rpartition('/')[2]}", file=sys.stderr)
    return code


def read(path: str) -> str:
    """Raises DarkroomError if the file cannot be read or is no text."""
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except OSError as exc:
        raise DarkroomError(f"cannot read {path}: {exc.strerror}", "darkroom compile -o definition.json") from exc
    except UnicodeDecodeError as exc:
        raise DarkroomError(f"{path} is not text in UTF-8: byte {exc.start}", "darkroom start --help") from exc


def _name(path: str) -> str:
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
