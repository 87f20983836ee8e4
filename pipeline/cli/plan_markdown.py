"""A plan as a comment on a pull request. Whatever comes out of a definition is escaped: a fork may have written it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pipeline.plan import words
from pipeline.plan.difference import Change, Field
from pipeline.plan.making import Plan

_ROOM = 100  # characters of an old and a new value together
_MOST_FIELDS = 40  # of one step: GitHub cuts comments at 65,536 characters
_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 ,→…–")
_Row = tuple[str, str, Field | None]  # sign, of what, which field
_CIRCLES = {"hit": "🟢 hit", "runs": "🟡 runs", "unknown": "🔵 unknown", "not run": "⚪ not run"}


def markdown(plan: Plan) -> str:
    blocks = [
        f"### darkroom plan: {escape(plan.subject.name)}",
        f"{escape(words.headline(plan))}.",
        *(_differences(plan) if plan.deployed else ()),
        "\n".join(f"- 🔑 {escape(words.permission(each))}" for each in plan.permissions),
        _table(("step", "cache", "at most", "likely", "why"), _steps(plan)),
        "\n".join(f"- {escape(line)}" for line in words.total(plan)),
        "\n".join(f"- ⚠️ {code(each.step)} {escape(each.text)}" for each in plan.surprises),
    ]
    return "\n\n".join(block for block in blocks if block) + "\n"


def escape(text: str) -> str:
    """Every character that could be markup, a mention, a link or a table's border, as an entity."""
    return "".join(character if character in _PLAIN else _entity(character) for character in text)


def code(text: str) -> str:
    """In a type of fixed width; mentions and links mean nothing there."""
    return f"<code>{escape(text)}</code>"


def _entity(character: str) -> str:
    return f"&#{ord(character)};" if character.isprintable() else "�"


def _differences(plan: Plan) -> Iterator[str]:
    rows: list[_Row] = [("~", "pipeline", field) for field in plan.difference.settings]
    for change in (*plan.difference.parameters, *plan.difference.steps):
        rows += _of(change)
    yield _table(("", "what", "field", "old → new"), (_difference(*row) for row in rows))
    told = dict.fromkeys(f"- {code(each.step)}: {escape(words.code(each))}" for each in plan.code)
    yield "\n".join(told)


def _of(change: Change) -> list[_Row]:
    sign = words.SIGNS[change.what]
    rows: list[_Row] = [(sign, words.describes(change), field) for field in change.fields[:_MOST_FIELDS]]
    if len(change.fields) > _MOST_FIELDS:
        rows.append((sign, f"{words.describes(change)}: {len(change.fields) - _MOST_FIELDS} more fields", None))
    return rows or [(sign, words.describes(change), None)]


def _difference(sign: str, what: str, field: Field | None) -> tuple[str, ...]:
    if field is None:
        return (escape(sign), code(what), "", "")
    return (escape(sign), code(what), code(field.path), code(words.pair(field.old, field.new, _ROOM)))


def _steps(plan: Plan) -> Iterator[tuple[str, ...]]:
    costs = {cost.step: cost for cost in plan.cost.steps}
    for found in plan.predictions:
        most, likely = words.money(costs.get(found.step))
        outcome = _CIRCLES[words.outcome(found)]
        yield (code(found.step), outcome, escape(most), escape(likely), escape(words.why(plan, found, _ROOM)))


def _table(header: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    body = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([f"| {' | '.join(header)} |", f"|{' --- |' * len(header)}", *body]) if body else ""
