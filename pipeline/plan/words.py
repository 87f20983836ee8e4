"""A plan in words: the sentences and cells that a terminal and a pull request both show."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

from pipeline.plan.archives import CodeChange
from pipeline.plan.caching import HIT, SKIPPED, UNKNOWN, Prediction, names_next
from pipeline.plan.cost import StepCost
from pipeline.plan.difference import ADDED, CHANGED, REMOVED, Absent, Change, Field
from pipeline.plan.document import plain
from pipeline.plan.making import Plan
from pipeline.plan.permissions import Needed
from pipeline.wording import count, listed

SIGNS = {ADDED: "+", REMOVED: "-", CHANGED: "~"}
ROOM = 160  # characters that a page has for an old and a new value together
LEAST_ROOM = 12  # characters of a value that are always shown
_CELL_FIELDS = 2  # differences that the one line of a step names; the others are counted


def headline(plan: Plan) -> str:
    """What an upsert would do."""
    if plan.deployed is None:
        steps = len(plan.predictions)
        return f"nothing is deployed; an upsert would create the pipeline with {count(steps, 'step')}"
    version = f"version {plan.deployed.version}" if plan.deployed.version else "a version"
    if plan.bytes_only:
        return f"{version} is deployed and says the same in other bytes; an upsert would make a version of it"
    if not plan.changes:
        return f"{version} is deployed; an upsert would change nothing"
    return f"{version} is deployed; an upsert would change {_what(plan)}"


def _what(plan: Plan) -> str:
    parts = [
        count(len(found), word)
        for found, word in (
            (plan.difference.settings, "setting"),
            (plan.difference.parameters, "parameter"),
            (plan.difference.steps, "step"),
        )
        if found
    ]
    return " and ".join(filter(None, (", ".join(parts[:-1]), parts[-1])))


def pair(old: Any, new: Any, room: int) -> str:
    """`old → new` in about `room` characters; what both begin with is left out of long addresses."""
    one, other = _text(old), _text(new)
    if len(one) + len(other) + 3 > room and not isinstance(old, Absent) and not isinstance(new, Absent):
        one, other = _without_common_folder(one, other)
    each = max(LEAST_ROOM, (room - 3) // 2)
    spare = max(0, each - min(len(one), len(other)))
    return f"{short(one, each + spare)} → {short(other, each + spare)}"


def short(text: str, room: int) -> str:
    """Its beginning and its end."""
    if len(text) <= room:
        return text
    head = (room - 1) // 2
    return f"{text[:head]}…{text[len(text) - (room - 1 - head) :]}"


def code(change: CodeChange, most: int = 8) -> str:
    """Which files changed."""
    if change.problem:
        return f"which files changed cannot be told: {change.problem}"
    told = [
        f"{listed(names, most)} {word}"
        for names, word in ((change.changed, "changed"), (change.added, "added"), (change.removed, "removed"))
        if names
    ]
    return "; ".join(told) or "the files are the same, only their archive differs"


def why(plan: Plan, found: Prediction, room: int) -> str:
    """Why a step runs, or what it waits for; with what has to hold for it to start at all."""
    parts = [found.reason] if found.reason else []
    own = [field for field in found.fields if not (found.below and names_next(field))]
    parts += [_difference(plan, found.step, field, room) for field in own[:_CELL_FIELDS]]
    if len(own) > _CELL_FIELDS:
        parts.append(count(len(own) - _CELL_FIELDS, "more difference"))
    if found.below:
        parts.append(f"takes what {' and '.join(found.below)} will make")
    if found.outcome == UNKNOWN and found.until:
        parts.append(f"until {' and '.join(found.until)} {'has' if len(found.until) == 1 else 'have'} run")
    if found.outcome == HIT:
        parts.append(f"as in {found.source.rpartition('/')[2]}")
    if found.only_if:
        parts.append(f"only if {' and '.join(found.only_if)} leads there")
    return "; ".join(parts)


def _difference(plan: Plan, step: str, field: Field, room: int) -> str:
    changed = plan.code_of(step, field)
    if changed and not changed.problem:
        return code(changed, most=3)
    return f"{tail(field.path, room)}: {pair(field.old, field.new, room)}"


def tail(path: str, room: int) -> str:
    """The end of a path, cut at a dot: `…S3DataSource.S3Uri`."""
    if len(path) <= room:
        return path
    kept = path[len(path) - room + 1 :]
    return f"…{kept[kept.find('.') + 1 :] or kept}"


def outcome(found: Prediction) -> str:
    return "not run" if found.outcome == SKIPPED else found.outcome


def usd(value: float | None) -> str:
    if value is None:
        return "?"
    return "–" if value == 0 else "<$0.01" if value < 0.01 else f"${value:,.2f}"


def money(cost: StepCost | None) -> tuple[str, str]:
    """At most, likely; nothing for a step without machines."""
    return (usd(cost.most), usd(cost.likely)) if cost else ("", "")


def total(plan: Plan) -> list[str]:
    """Lines about cost."""
    cost = plan.cost
    if not cost.steps:
        return []
    bounds = (("at most", cost.most, cost.without_most), ("likely", cost.likely, cost.without_likely))
    sums = ", ".join(_bound(word, value, len(without), len(cost.steps)) for word, value, without in bounds)
    lines = [f"{sums} (as long as last time): machines alone, on demand, without retries"]
    missing = Counter(step.missing for step in cost.steps if step.missing)
    lines += [f"{reason}: {count(times, 'step')}" for reason, times in missing.items()]
    dates = {f"{price.region or 'any region'}, {price.date}" for step in cost.steps for price in step.prices}
    if dates:
        lines.append(f"prices of {'; '.join(sorted(dates))} (--prices FILE: your own)")
    return lines


def _bound(word: str, value: float, without: int, steps: int) -> str:
    """What is unknown is no part of a sum, and a sum of nothing is unknown, too."""
    if without == steps:
        return f"{word} unknown"
    more = f" without {count(without, 'step')}" if without else ""
    return f"{word} {_sum(value)}{more}"


def _sum(value: float) -> str:
    return f"${value:,.2f}" if value == 0 or value >= 0.01 else "<$0.01"


def permission(needed: Needed) -> str:
    """What has to be allowed before the next execution."""
    role = needed.role.rpartition("/")[2]
    if not needed.actions:
        return f"{role} is another role: darkroom iam has its policies"
    return f"{role} needs {', '.join(needed.actions)} on {listed(needed.resources, 1)}"


def describes(change: Change) -> str:
    return f"{change.name} ({change.kind})" if change.kind else change.name


def _text(value: Any) -> str:
    if isinstance(value, Absent):
        return "nothing"
    value = plain(value)
    return value if isinstance(value, str) and value else json.dumps(value, ensure_ascii=False)


def _without_common_folder(one: str, other: str) -> tuple[str, str]:
    same = next(
        (index for index, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other))
    )
    cut = one.rfind("/", 0, same) + 1
    return (f"…/{one[cut:]}", f"…/{other[cut:]}") if cut > 1 else (one, other)
