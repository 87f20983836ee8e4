"""`darkroom show-model`: everything about one registered model, for whoever has to approve it."""

from __future__ import annotations

import sys

from pipeline.cli import Command, model_text, target
from pipeline.cli.home import darkroom
from pipeline.cli.models import group_option
from pipeline.cli.text import print_json, whole
from pipeline.control import registry

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Iterator

    from pipeline.client import Clients
    from pipeline.models.dossier import Dossier


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("version", type=whole(1), metavar="N", help="as `darkroom models` lists it")
    group_option(parser)
    parser.add_argument("--json", action="store_true", help="one object: DescribeModelPackage, and what else is known")
    target.arguments(parser)


def show_command(args: Namespace) -> int:
    from pipeline.models import document, dossier

    clients = target.used(args)
    found = dossier.of(clients, registry.find(clients, args.version, args.group))
    if args.json:
        print_json(document.model(found))
        return 0
    model_text.print_facts(model_text.of_package(found))
    model_text.print_facts(model_text.of_evaluation(found))
    model_text.print_classes(found)
    model_text.print_facts(model_text.of_origin(clients, found))
    model_text.print_facts(model_text.of_deployment(found))
    model_text.print_gaps(found)
    for number, line in enumerate(_next(clients, found, args.group)):
        print(f"{'next:' if not number else '':<5} {line}", file=sys.stderr)
    return 0


def _next(clients: Clients, found: Dossier, group: str) -> Iterator[str]:
    """Commands for the decision that is due."""
    which = registry.spelled(found.version, group)
    before = [f"compare {which}"] if found.champion else []
    after = [f"deploy {which}"] if found.status == registry.APPROVED else []
    for command in (*before, *registry.due(found.status, which), *after):
        yield f"{darkroom()} {command}{clients.options}"


COMMANDS = {"show-model": Command(arguments, show_command)}
