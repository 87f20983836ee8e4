"""`darkroom infra`: the account around this pipeline as a CloudFormation template, and the code of its functions."""

from __future__ import annotations

import os
import sys

from pipeline.cli import Command
from pipeline.cli.definitions import STDOUT, compiled_from, config_option, read_option, write

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from pipeline.infra.setting import Setting


def arguments(parser: ArgumentParser) -> None:
    config_option(parser)
    parser.add_argument(
        "-o",
        "--output",
        default=STDOUT,
        metavar="FILE",
        help="default: stdout; FILE.json is written without blanks, which CloudFormation takes up to a greater length",
    )
    what = parser.add_mutually_exclusive_group()
    what.add_argument(
        "--functions", metavar="FOLDER", help="write the zip files of the Lambda functions there, and no template"
    )
    what.add_argument(
        "--serving-image", action="store_true", help="the other template: what builds our own serving image there"
    )
    parser.add_argument(
        "--issuer",
        metavar="HOST",
        help="whose tokens CI jobs show, such as gitlab.com; default: token.actions.githubusercontent.com",
    )
    read_option(parser)


def run(args: Namespace) -> int:
    """Offline: computed from pipeline.yaml, the definition that it compiles to, and entrypoints/."""
    if args.functions:
        return _write_functions(args)
    about = _setting(args)
    text = _serving_image(args, about) if args.serving_image else _account(args, about)
    if args.output == STDOUT:
        sys.stdout.write(text)
    else:
        write(args.output, text)
    _tell(args, about, len(text.encode()))
    return 0


def _account(args: Namespace, about: Setting) -> str:
    from pipeline.infra import template

    return template.as_json(about) if args.output.endswith(".json") else template.as_yaml(about)


def _serving_image(args: Namespace, about: Setting) -> str:
    from pathlib import Path

    from pipeline.compile import entrypoints_root
    from pipeline.infra import serving_image

    root = Path(entrypoints_root(os.path.abspath(args.config))).parent
    written = serving_image.as_json if args.output.endswith(".json") else serving_image.as_yaml
    return written(about, serving_image.files(root))


def _setting(args: Namespace) -> Setting:
    from pathlib import Path

    from pipeline.cli.home import home
    from pipeline.compile import entrypoints_root
    from pipeline.config import load_config
    from pipeline.definition import Definition
    from pipeline.iam import scope
    from pipeline.infra import setting

    definition = Definition.parse(compiled_from(args.config, home(args.config)).definition())
    reads = tuple(scope.address(each) for each in args.read)
    root = Path(entrypoints_root(os.path.abspath(args.config)))
    return setting.of(load_config(Path(args.config)), definition, root, reads, args.issuer or setting.GITHUB)


def _write_functions(args: Namespace) -> int:
    """Their paths on stdout; where they belong on stderr."""
    from pathlib import Path

    from pipeline.compile import entrypoints_root
    from pipeline.config import load_config
    from pipeline.infra import packaging

    config = load_config(Path(args.config))
    found = packaging.packages(config, Path(entrypoints_root(os.path.abspath(args.config))))
    for path in packaging.write(found, Path(args.functions)):
        print(path)
    address = config.pipeline.address(packaging.FOLDER)
    print(f"aws s3 cp --recursive {args.functions} {address}", file=sys.stderr)
    return 0


def _tell(args: Namespace, about: Setting, size: int) -> None:
    from pipeline.control.upserting import NOBODY
    from pipeline.infra.template import DIRECT_SIZE

    if about.config.pipeline.account == NOBODY:
        print(f"pipeline.account in {args.config} is nobody's: set yours before this goes to AWS", file=sys.stderr)
    if size > DIRECT_SIZE:
        hint = "--s3-bucket" if args.output.endswith(".json") else "-o FILE.json, or --s3-bucket"
        print(f"{size:,} bytes: CloudFormation takes {DIRECT_SIZE:,} in a call; {hint}", file=sys.stderr)


COMMANDS = {"infra": Command(arguments, run)}
