"""`darkroom weights`: torchvision's ImageNet weights as a file that model.weights names."""

from __future__ import annotations

import os
import sys

from pipeline.cli import Command
from pipeline.cli.definitions import config_option
from pipeline.cli.home import home, shown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace


def arguments(parser: ArgumentParser) -> None:
    config_option(parser)
    parser.add_argument("name", metavar="NAME", help="a classifier of torchvision, such as resnet18")
    parser.add_argument("-o", "--output", metavar="FILE", help="default: .darkroom/weights/NAME.pth")
    parser.add_argument(
        "--url", default="", metavar="URL", help="a mirror of torchvision's file, which is at pytorch.org"
    )


def run(args: Namespace) -> int:
    """The file's path on stdout, so that scripts can go on with it."""
    from pipeline import pretrained
    from pipeline.content import sha256

    path = os.path.abspath(args.output or os.path.join(home(args.config), "weights", f"{_file_name(args.name)}.pth"))
    if args.output and os.path.exists(path):
        raise _taken(args.output)
    if not os.path.exists(path):
        pretrained.fetch(args.name, path, args.url)
    print(shown(path))
    print(f"{os.path.getsize(path):,} bytes, SHA-256 {sha256(path)}", file=sys.stderr)
    print(
        f"in {args.config}:\nmodel:\n  name: {args.name}\n  weights: {_from_config(path, args.config)}", file=sys.stderr
    )
    return 0


def _file_name(name: str) -> str:
    """Whatever was typed must not lead out of the folder; what torchvision has is judged where torchvision is."""
    return "".join(c if c.isascii() and (c.isalnum() or c == "_") else "-" for c in name)[:100]


def _from_config(path: str, config: str) -> str:
    """As the configuration has to say it: relative to that file, where both lie in one project."""
    project = os.path.dirname(home(config))
    inside = os.path.commonpath([path, project]) == project
    return os.path.relpath(path, os.path.dirname(os.path.abspath(config))) if inside else path


def _taken(path: str) -> Exception:
    from pipeline.errors import DarkroomError

    return DarkroomError(f"{path} is there already", "choose another file with -o, or remove that one")


COMMANDS = {"weights": Command(arguments, run)}
