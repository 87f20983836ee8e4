"""A plan for people at a terminal: aligned, wrapped at its width, in colours only there."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator

from pipeline.plan import words
from pipeline.plan.caching import HIT, RUNS, SKIPPED, UNKNOWN, Prediction
from pipeline.plan.difference import Change, Field
from pipeline.plan.making import Plan

_COLOURS = {"+": "32", "-": "31", "~": "33", "!": "33", HIT: "32", RUNS: "33", UNKNOWN: "36", SKIPPED: "2"}
_NARROW = 30  # characters that a reason gets at least; else it goes below its step


class _Page:
    """`colour`: escape sequences around signs and outcomes, which change no width."""

    def __init__(self, width: int, colour: bool) -> None:
        self.width = width
        self.colour = colour

    def paint(self, text: str, key: str) -> str:
        return f"\x1b[{_COLOURS[key]}m{text}\x1b[0m" if self.colour and key in _COLOURS else text

    def wrapped(self, text: str, indent: int) -> Iterator[str]:
        """Lines with that many blanks before them; long words such as addresses are broken only where they must."""
        room = max(20, self.width - indent)
        for line in textwrap.wrap(harmless(text), room, break_on_hyphens=False) or [""]:
            yield " " * indent + line


def lines(plan: Plan, width: int, colour: bool = False) -> Iterator[str]:
    page = _Page(width, colour)
    yield from page.wrapped(f"{plan.subject.name}: {words.headline(plan)}", 0)
    if plan.deployed:
        yield from _section("settings", _fields(page, plan, "", plan.difference.settings, 2))
        yield from _section("parameters", _changes(page, plan, plan.difference.parameters))
        yield from _section("steps", _changes(page, plan, plan.difference.steps))
    needed = (line for each in plan.permissions for line in page.wrapped(words.permission(each), 2))
    yield from _section("permissions", needed)
    yield from _section("next execution", _steps(page, plan))
    cost = (line for text in words.total(plan) for line in page.wrapped(text, 2))
    yield from _section("cost", cost)
    yield from _section("beware", _surprises(page, plan))


def _section(title: str, body: Iterable[str]) -> Iterator[str]:
    rows = list(body)
    if rows:
        yield ""
        yield title
        yield from rows


def _changes(page: _Page, plan: Plan, changes: Iterable[Change]) -> Iterator[str]:
    for change in changes:
        sign = words.SIGNS[change.what]
        yield f"  {page.paint(sign, sign)} {harmless(words.describes(change))}"
        yield from _fields(page, plan, change.name, change.fields, 6)


def _fields(page: _Page, plan: Plan, step: str, fields: Iterable[Field], indent: int) -> Iterator[str]:
    """`path: old → new`, the values below where they do not fit beside it; of code, which files changed."""
    for field in fields:
        room = page.width - indent - len(field.path) - 2
        told = words.pair(field.old, field.new, max(room, page.width - indent - 2))
        if len(told) <= room:
            yield " " * indent + harmless(f"{field.path}: {told}")
        else:
            yield from page.wrapped(field.path, indent)
            yield from page.wrapped(told, indent + 2)
        if code := plan.code_of(step, field):
            yield from page.wrapped(words.code(code), indent + 2)


def _steps(page: _Page, plan: Plan) -> Iterator[str]:
    costs = {cost.step: cost for cost in plan.cost.steps}
    rows = [(found, words.outcome(found), *words.money(costs.get(found.step))) for found in plan.predictions]
    if not rows:
        return
    head = ("step", "cache", "most", "likely")
    sizes = [max(len(head[0]), *(len(found.step) for found, *_ in rows))]
    sizes += [max(len(head[column]), *(len(str(row[column])) for row in rows)) for column in (1, 2, 3)]
    begin = 2 + sum(sizes) + 2 * len(sizes)
    beside = page.width - begin >= _NARROW
    yield _row(head, sizes).rstrip()
    for found, outcome, most, likely in rows:
        plain = _row((harmless(found.step), outcome, most, likely), sizes)
        start = plain.index(outcome, 2 + sizes[0])
        row = plain[:start] + page.paint(outcome, found.outcome) + plain[start + len(outcome) :]
        yield from _with_reason(page, plan, row, found, begin if beside else 0)


def _row(cells: tuple[str, ...], sizes: list[int]) -> str:
    """The sums stand to the right, so that their points are below one another."""
    step, outcome, most, likely = cells
    left = f"  {step:<{sizes[0]}}  {outcome:<{sizes[1]}}"
    return f"{left}  {most:>{sizes[2]}}  {likely:>{sizes[3]}}  "


def _with_reason(page: _Page, plan: Plan, row: str, found: Prediction, beside: int) -> Iterator[str]:
    """The reason in the column that begins at `beside`; 0: below the row."""
    indent = beside or 6
    reason = words.why(plan, found, page.width - indent - 4)
    if not reason:
        yield row.rstrip()
        return
    below = list(page.wrapped(reason, indent))
    yield f"{row}{below.pop(0)[indent:]}".rstrip() if beside else row.rstrip()
    yield from below


def _surprises(page: _Page, plan: Plan) -> Iterator[str]:
    for each in plan.surprises:
        first, *rest = page.wrapped(f"{each.step} {each.text}", 4)
        yield f"  {page.paint('!', '!')} {first[4:]}"
        yield from rest


def harmless(text: str) -> str:
    """Definitions may come from strangers: nothing in them drives a terminal."""
    return "".join(character if character.isprintable() else "�" for character in text)
