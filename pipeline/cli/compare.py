"""`darkroom compare`: two registered models side by side, or one and the champion."""

from __future__ import annotations

import sys

from pipeline.cli import Command, target
from pipeline.cli.model_text import accuracy, print_facts, print_gaps
from pipeline.cli.models import group_option
from pipeline.cli.text import on_one_line, print_error, print_json, print_table, whole
from pipeline.control import registry
from pipeline.errors import DarkroomError
from pipeline.wording import cut, listed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Sequence

    from pipeline.models.comparison import Change, Comparison, Figure

MOST_CLASSES, MOST_FILES = 12, 20  # that are shown; --json has all
CELL = 34  # characters: three columns of texts and what lies between them are 100
NAME = 50  # characters of a figure's, such as a class


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("one", type=whole(1), metavar="A", help="a model's version")
    parser.add_argument("other", type=whole(1), nargs="?", metavar="B", help="default: the newest approved other one")
    group_option(parser)
    parser.add_argument("--json", action="store_true", help="one object; differences are A minus B")
    target.arguments(parser)


def compare_command(args: Namespace) -> int:
    from pipeline.models import comparison, document, dossier

    if args.one == args.other:
        raise DarkroomError(f"version {args.one} differs from itself in nothing", "name two versions: darkroom models")
    clients = target.used(args)
    one = registry.find(clients, args.one, args.group)
    group = str(one["ModelPackageGroupName"])
    named = f"darkroom compare {args.one} B, with B any other version"
    other = registry.find(clients, args.other or registry.opponent(clients, one, named), group)
    found = comparison.compare(clients, *(dossier.of(clients, each, whole=False) for each in (one, other)))
    if args.json:
        print_json(document.comparison(found))
    else:
        _print(found)
        which = registry.spelled(args.one, args.group)
        print(f"next: {_command(which)}{clients.options}", file=sys.stderr)
    return 0


def _command(which: str) -> str:
    from pipeline.cli.home import darkroom

    return f"{darkroom()} show-model {which}"


def _print(found: Comparison) -> None:
    one, other = found.one, found.other
    names = (f"VERSION {one.version}", f"VERSION {other.version}")
    print_facts(
        [
            ("A", f"version {one.version} of {one.group}, {one.status}"),
            ("B", f"version {other.version} of {other.group}, {other.status}"),
            *_verdict(found),
        ]
    )
    _print_figures("FIGURE", names, found.figures)
    _print_figures("RECALL OF CLASS", names, found.classes, MOST_CLASSES)
    for title, changes in (
        ("CLASS", found.classes_apart),
        ("HYPERPARAMETER", found.settings),
        ("PARAMETER", found.parameters),
        ("MADE BY", found.made),
        ("DATA", found.data),
        ("CODE", found.code),
    ):
        _print_changes(title, names, changes)
    _print_files(found)
    equal = [name for name, changes in _kinds(found) if not changes]
    print()
    if equal:
        print_facts([("equal", ", ".join(equal))])
    for side in (one, other):
        print_gaps(side, f"{'A' if side is one else 'B'} unknown")
    for hint in found.hints:
        print_error(f"hint:  {hint}")


def _kinds(found: Comparison) -> list[tuple[str, Sequence[Change]]]:
    """Those of which both sides told something: of what is not known, nobody can say that it is equal."""
    both = (found.one, found.other)
    sides = tuple(side.origin for side in both)
    told = [
        ("hyperparameters", found.settings, all(side.training for side in sides)),
        (
            "parameters",
            found.parameters,
            not any("parameters" in side.gaps.reasons for side in both),
        ),
        ("data", found.data, all(side.train and side.test for side in sides)),
        ("code", found.code, all(side.code for side in sides)),
    ]
    return [(name, changes) for name, changes, known in told if known]


def _verdict(found: Comparison) -> list[tuple[str, str]]:
    """Whether the figures below say anything: first of all."""
    told = {
        True: f"on {found.because}",
        False: f"NOT COMPARABLE: {found.because}. No figure below says which is better",
        None: f"not known whether on the same pictures: {found.because}. Differences may come from that alone",
    }
    lines = [("judged", told[found.same_test])]
    if paired := found.paired:
        low, high = paired.interval
        sides = (paired.right_here_only, paired.right_there_only)
        only = f"; right in A only {sides[0]:,}, in B only {sides[1]:,}" if None not in sides else ""
        span = f"(95 %: {low:+.4f} to {high:+.4f})"
        lines.append(("paired", f"A - B {paired.difference:+.4f} {span} on the same pictures: {paired.verdict}{only}"))
        if paired.same_data is False:
            lines.append(("", "one of them may have been trained on some of these pictures"))
    elif found.same_test:
        words = "were not asked picture by picture: two intervals, overlapping or not, do not say whether it is chance"
        lines.append(("paired", f"none: these two {words}"))
    lines += [(f"accuracy {name}", accuracy(side.evaluation)) for name, side in (("A", found.one), ("B", found.other))]
    return lines


def _print_figures(title: str, names: tuple[str, str], rows: Sequence[Figure], most: int = 100) -> None:
    if not rows:
        return
    print()
    cells = [
        (cut(on_one_line(row.name), NAME), _number(row.one), _number(row.other), _number(row.difference, "+"))
        for row in rows[:most]
    ]
    print_table((title, *names, "A - B"), cells)
    if len(rows) > most:
        print(f"and {len(rows) - most:,} more: --json")


def _print_changes(title: str, names: tuple[str, str], rows: Sequence[Change]) -> None:
    """One below the other where they do not fit side by side."""
    if not rows:
        return
    print()
    width = 100 - 2 * CELL
    narrow = [row for row in rows if max(len(row.one), len(row.other)) < CELL and len(row.name) < width]
    if narrow:
        cells = [(row.name, row.one or "-", row.other or "-") for row in narrow]
        print_table((title, *names), cells)
    for row in rows:
        if row not in narrow:
            name = "" if narrow else f"{title}  "
            print_facts([("", f"{name}{row.name}"), ("  A", row.one or "-"), ("  B", row.other or "-")])


def _print_files(found: Comparison) -> None:
    for each in found.files:
        print_facts([(each.step[:11], each.problem)] if each.problem else [])
        words = (("only in A", each.added), ("only in B", each.removed), ("changed", each.changed))
        for word, names in words:
            if names:
                print_facts([(each.step[:11], f"{word}: {listed(names, MOST_FILES)}")])


def _number(value: float | None, sign: str = "") -> str:
    return "-" if value is None else f"{value:{sign}.4f}"


COMMANDS = {"compare": Command(arguments, compare_command)}
