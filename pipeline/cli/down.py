"""`darkroom down --endpoints`: endpoints that nobody asks go, with what was made for them."""

from __future__ import annotations

import re
import sys

from pipeline.cli import Command, target
from pipeline.cli.definitions import config_option
from pipeline.cli.home import home
from pipeline.cli.text import print_json, print_table, say
from pipeline.control import fleets, removal
from pipeline.errors import DarkroomError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Sequence
    from datetime import datetime, timedelta

    from pipeline.control.fleets import Fleet
    from pipeline.control.removal import Part
    from pipeline.plan.prices import Price, Prices

_UNITS = {"h": "hours", "d": "days"}
_MOST_DAYS = 60  # CloudWatch keeps hours for longer, and answers 1,440 of them in a call


def arguments(parser: ArgumentParser) -> None:
    config_option(parser)
    parser.add_argument("--endpoints", action="store_true", required=True, help="there is nothing else that runs on")
    parser.add_argument(
        "--idle",
        type=duration,
        default="24h",
        metavar="24h",
        help="only those that nobody asked for so long; 0: whatever there is (default: 24h)",
    )
    parser.add_argument(
        "--all", nargs="+", default=[], metavar="NAME", help="these, too, though they are not this pipeline's"
    )
    parser.add_argument("--prices", metavar="FILE", help='your own, as JSON: {"ml.m5.large": 0.115}, USD an hour')
    parser.add_argument("--yes", action="store_true", help="do not ask; needed where there is no terminal")
    parser.add_argument("--json", action="store_true", help="a list; with --yes after the removal")
    target.arguments(parser)


def duration(text: str) -> timedelta:
    """The `type` of --idle."""
    from argparse import ArgumentTypeError
    from datetime import timedelta

    if text == "0":
        return timedelta()
    found = re.fullmatch(r"([0-9]{1,4})([hd])", text)
    length = timedelta(**{_UNITS[found[2]]: int(found[1])}) if found else timedelta()
    if not timedelta() < length <= timedelta(days=_MOST_DAYS):
        raise ArgumentTypeError(f"{text!r} is no time such as 24h or 7d, up to {_MOST_DAYS}d, or 0")
    return length


def run(args: Namespace) -> int:
    """A table of all endpoints, then what would go; asks, and deletes that."""
    from datetime import UTC, datetime

    hosting, ours, now = target.hosting(args, home(args.config)), _ours(args), datetime.now(UTC)
    found = fleets.fleets(hosting, ours, args.idle, _prices(args, now.date().isoformat()), now)
    _refuse_strangers(args.all, found)
    stays = {fleet.name: _why(fleet, args, now) for fleet in found}
    going = [name for name in dict.fromkeys((*ours, *args.all)) if not stays.get(name, "")]
    parts = [part for name in going for part in removal.parts(hosting, name, name in ours)]
    if not args.json:
        _show(found, stays, parts)
    done = bool(parts) and confirmed(args, parts)
    if done:
        removal.remove(parts, say)
    if args.json:
        print_json([_row(fleet, stays[fleet.name], done) for fleet in found])
    return 0


def _ours(args: Namespace) -> list[str]:
    """By their names, with which the deploying function makes them."""
    from pathlib import Path

    from pipeline.config import deployment, load_config

    config = load_config(Path(args.config))
    return list(dict.fromkeys((config.endpoint_name, deployment.production_name(config))))


def _prices(args: Namespace, today: str) -> Prices:
    from pathlib import Path

    from pipeline.config import load_config
    from pipeline.plan import prices

    config = load_config(Path(args.config))
    own = prices.read(args.prices) if args.prices else config.prices
    return prices.Prices(args.region or config.pipeline.region, own, args.prices or args.config, today)


def _refuse_strangers(named: Sequence[str], found: Sequence[Fleet]) -> None:
    if missing := [name for name in named if name not in {fleet.name for fleet in found}]:
        there = ", ".join(fleet.name for fleet in found) or "none"
        raise DarkroomError(f"there is no endpoint {missing[0]!r}; there is: {there}", "leave it out of --all")


def _why(fleet: Fleet, args: Namespace, now: datetime) -> str:
    """Why it stays; empty where it goes."""
    if not fleet.ours and fleet.name not in args.all:
        return "not of this pipeline"
    return fleets.idle(fleet, args.idle, now)


def _show(found: Sequence[Fleet], stays: dict[str, str], parts: Sequence[Part]) -> None:
    if not found:
        say("there is no endpoint")
    else:
        cells = [(*_cells(fleet), stays[fleet.name] or "goes") for fleet in found]
        print_table(("ENDPOINT", "STATUS", "CREATED", "MACHINES", "USD/H", "LAST ASKED", ""), cells)
    for part in parts:
        say(f"would delete {part.kind} {part.name}")


def _cells(fleet: Fleet) -> tuple[str, ...]:
    from pipeline.control.times import moment

    machines = " + ".join(f"{count} × {machine}" for _, machine, count in fleet.variants)
    hourly = "unknown" if fleet.hourly is None else f"{fleet.hourly:.3f}"
    last = "unknown" if fleet.invocations is None else moment(fleet.last) if fleet.last else "not lately"
    return fleet.name, fleet.status, moment(fleet.created), machines, hourly, last


def _row(fleet: Fleet, stays: str, done: bool) -> dict[str, object]:
    machines = [
        {"VariantName": name, "InstanceType": machine, "CurrentInstanceCount": count, "Price": _price(price)}
        for (name, machine, count), price in zip(fleet.variants, fleet.prices, strict=True)
    ]
    return {
        "EndpointName": fleet.name,
        "EndpointStatus": "Deleted" if done and not stays else fleet.status,
        "CreationTime": fleet.created,
        "ProductionVariants": machines,
        "Invocations": fleet.invocations,
        "LastInvocation": fleet.last,
        "UsdPerHour": fleet.hourly,
        "Ours": fleet.ours,
        "Stays": stays or None,
    }


def _price(price: Price | None) -> dict[str, object] | None:
    """Of one machine; None where nobody has said."""
    if price is None:
        return None
    return {"UsdPerHour": price.usd, "Region": price.region, "Source": price.source, "Date": price.date}


def confirmed(args: Namespace, parts: Sequence[Part]) -> bool:
    """Raises DarkroomError where nobody can be asked, unless it was only a list for a program."""
    if args.yes:
        return True
    if args.json:
        return False
    if not sys.stdin.isatty():
        import shlex

        raise DarkroomError(
            f"nothing was deleted: {len(parts)} things would go, and there is no terminal to ask on",
            f"darkroom {shlex.join(args.typed)} --yes",
        )
    print(f"delete these {len(parts)}? [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() in ("y", "yes"):
        return True
    say("nothing was deleted")
    return False


COMMANDS = {"down": Command(arguments, run)}
