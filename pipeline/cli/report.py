"""`darkroom report`: an execution as one HTML page, here or out of an account."""

from __future__ import annotations

import os
import sys

from pipeline.cli import Command, target
from pipeline.cli.definitions import config_option
from pipeline.cli.executions import execution_argument
from pipeline.cli.home import CONFIG, shown
from pipeline.cli.partial import so_far
from pipeline.control import executions
from pipeline.errors import ConfigError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from pipeline.client import Clients
    from pipeline.plan.prices import Money


def arguments(parser: ArgumentParser) -> None:
    execution_argument(parser)
    parser.add_argument(
        "-o", "--output", default="", metavar="FILE", help="or a folder; default: report.html of the execution's own"
    )
    config_option(parser)
    parser.add_argument("--prices", metavar="FILE", help="in place of the prices in pipeline.yaml, as of darkroom plan")


def run(args: Namespace) -> int:
    """Prints the page's path."""
    from pipeline.report import write_report

    clients = target.used(args)
    arn = executions.find(clients, args.execution, args.pipeline)
    with so_far("no report was written"):
        path = write_report(clients, arn, args.output, money(clients, args.config, args.prices))
    print(shown(path))
    print(
        f"{os.path.getsize(path):,} bytes, self-contained: it opens in a browser, offline and out of a mail",
        file=sys.stderr,
    )
    return 0


def money(clients: Clients, config: str = CONFIG, own: str | None = None) -> Money:
    """What machines cost whoever asks. Nothing is read where the execution ran on this machine, which nobody bills."""
    from pipeline.plan import prices

    return own_prices(config, own) if clients.place else prices.Money()


def own_prices(config: str, own: str | None = None, needed: bool = True) -> Money:
    """Of the file `own`, else of pipeline.yaml where there is one that can be read.

    Raises ConfigError for another file than that, which somebody has named, where its prices are `needed`.
    """
    from datetime import UTC, datetime

    from pipeline.plan import prices

    today = datetime.now(UTC).date().isoformat()
    if own:
        return prices.Money(prices.read(own), own, today)
    if config == CONFIG and not os.path.exists(config):
        return prices.Money()
    from pathlib import Path

    from pipeline.config import load_config

    try:
        return prices.Money(load_config(Path(config)).prices, config, today)
    except ConfigError as exc:
        if needed and config != CONFIG:
            raise
        # it may be another pipeline's, and what was asked for is there all the same
        print(f"without the prices of {config}: {exc.message}", file=sys.stderr)
        return prices.Money()


COMMANDS = {"report": Command(arguments, run)}
