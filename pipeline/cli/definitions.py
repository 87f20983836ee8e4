"""`darkroom compile`, `darkroom validate`, `darkroom config`."""

from __future__ import annotations

import os
import sys

from pipeline.cli import Command
from pipeline.cli.home import CONFIG, home

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace, _ActionsContainer

    from pipeline.compile import CompiledOnDisk

STDOUT = "-"


def config_option(parser: _ActionsContainer) -> None:
    parser.add_argument("-c", "--config", default=CONFIG, metavar="FILE", help=f"default: {CONFIG}")


def read_option(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--read",
        action="append",
        default=[],
        metavar="S3-ADDRESS",
        help="what jobs may read besides, such as another DatasetUri or champions of other pipelines; may be repeated",
    )


def compiled_from(config: str, where: str) -> CompiledOnDisk:
    """Says so only where something is compiled: that takes seconds."""
    from pipeline.compile import compile_pipeline
    from pipeline.errors import StorageError

    try:
        return compile_pipeline(config, where, begun=lambda: print(f"compiling {config}", file=sys.stderr, flush=True))
    except PermissionError as exc:  # what was compiled is its user's alone
        raise StorageError(f"cannot read {exc.filename}: {exc.strerror}", "DARKROOM_HOME moves the folder") from exc


def compile_arguments(parser: ArgumentParser) -> None:
    config_option(parser)
    parser.add_argument(
        "-o", "--output", default="definition.json", metavar="FILE", help="default: definition.json; - is stdout"
    )


def compile_command(args: Namespace) -> int:
    """What it refers to is put where this machine's executions look for it, so that `start` finds it."""
    from pipeline import verdict
    from pipeline.client import local_client
    from pipeline.control import local_setup, uploads

    where = home(args.config)
    compiled = compiled_from(args.config, where)
    text = compiled.definition()
    verdict.refuse(text, where)
    clients = local_client(where)
    local_setup.put(clients, compiled)
    uploads.put_model_files(clients, compiled)
    if args.output == STDOUT:
        sys.stdout.write(text)
        return 0
    write(args.output, text)
    print(f"{compiled.name}: {len(text.encode()):,} bytes in {args.output}", file=sys.stderr)
    return 0


def write(path: str, text: str) -> None:
    """Raises StorageError where the file of -o cannot be written."""
    from pipeline.errors import StorageError

    try:
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
    except OSError as exc:
        raise StorageError(f"cannot write {path}: {exc.strerror}", "choose another file with -o") from exc


def validate_arguments(parser: ArgumentParser) -> None:
    subject = parser.add_mutually_exclusive_group()
    subject.add_argument("definition", nargs="?", help="a definition in JSON; without it pipeline.yaml is compiled")
    config_option(subject)
    parser.add_argument("--json", action="store_true", help="the findings as a list")


def validate_command(args: Namespace) -> int:
    """Findings on stdout; exit code 1 if one of them is an error."""
    from pipeline import verdict
    from pipeline.cli.text import print_json
    from pipeline.wording import count

    where = home("" if args.definition else args.config)
    findings = verdict.check(_definition(args, where), where)
    errors = sum(finding.severity == "error" for finding in findings)
    if args.json:
        print_json([finding.as_dict() for finding in findings])
    else:
        for finding in findings:
            print(finding)
    subject = os.path.basename(args.definition or args.config)
    if not (errors or args.definition):
        _try_own_network(args.config, where)
    print(f"{subject}: {count(errors, 'error')}, {count(len(findings) - errors, 'warning')}", file=sys.stderr)
    return 1 if errors else 0


def _try_own_network(config: str, where: str) -> None:
    from pipeline.compile import entrypoints_root

    said = compiled_from(config, where).own_network_tried(entrypoints_root(os.path.abspath(config)))
    if said:
        print(f"model.file: {said}", file=sys.stderr)


def _definition(args: Namespace, where: str) -> str:
    if args.definition:
        from pipeline.cli.start import read

        return read(args.definition)
    return compiled_from(args.config, where).definition()


def config_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--schema", action="store_true", required=True, help="JSON Schema, so that editors complete it")


def config_command(_args: Namespace) -> int:
    from pipeline.cli.text import print_json
    from pipeline.config import config_schema

    print_json(config_schema())
    return 0


COMMANDS = {
    "compile": Command(compile_arguments, compile_command),
    "validate": Command(validate_arguments, validate_command),
    "config": Command(config_arguments, config_command),
}
