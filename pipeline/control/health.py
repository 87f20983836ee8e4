"""What rules said of a training: health.json in the job's output, which any code may have written; managed rules."""

from __future__ import annotations

import json
import math
from collections import namedtuple

from pipeline.control import archived, managed, outcome
from pipeline.control.managed import FIRST_WORDS, NAMED, one_line
from pipeline.errors import ServiceError, StorageError
from pipeline.wording import count, listed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from pipeline.client import Clients

TOLD, NO_RULES = "health_rules", "none"  # the hyperparameter by which a job is asked for it
FILE, PAGE = "health/health.json", "health/profiler-report.html"
FINE, FOUND, NOT_EVALUATED, ERROR = STATUSES = ("NoIssuesFound", "IssuesFound", "NotEvaluated", "Error")
LARGEST, LARGEST_PAGE = 1 << 20, 4 << 20
MOST_RULES, LONGEST = 100, 2000  # rules of a job; characters of a text

# `asked`: the job was told of our rules. `unknown` says why there is no verdict of them, and then `rules` is empty.
# `address` is the archive's; `page` is the profile's HTML, None where it was not asked for or is not there. `steps` and
# `every` are None where they are not told. `managed`: Debugger's own rules. `stopped_by`: the rule that ended the job.
Health = namedtuple("Health", "step address rules unknown steps every page asked managed stopped_by", defaults=[None])
Rule = namedtuple("Rule", "rule status message advice points step tensor value threshold on_issue ours")
_TEXTS = ("message", "advice", "on_issue", "ours")


def read(clients: Clients, steps: Iterable[dict[str, Any]], page: bool = False) -> Health | None:
    """Of the last training step that has rules, ours or managed; None where none has, or it has not come to an end."""
    found = [health for step in steps if step["StepType"] == "Training" and (health := _of(clients, step, page))]
    return found[-1] if found else None


def _of(clients: Clients, step: dict[str, Any], page: bool) -> Health | None:
    job = outcome.training_job(clients, step)
    asked, status = (job.get("HyperParameters") or {}).get(TOLD), job.get("TrainingJobStatus")
    rows = managed.of(job)
    if status not in ("Completed", "Stopped", "Failed"):
        return None
    uri = archived.address(clients, step)
    only_managed = Health(step["StepName"], uri, [], None, None, None, None, False, rows) if any(rows) else None
    if asked is None:
        return only_managed
    held, why = _fetched(clients, uri, page)
    if why and status != "Completed" and (kept := archived.beside_checkpoint(clients, job, FILE, LARGEST)):
        held[FILE], why = kept, None
    rules: list[Rule] = []
    steps = every = stopper = None
    if FILE in held:
        try:
            rules, steps, every, stopper = _parsed(held[FILE])
        except _Foreign as exc:
            why = str(exc)
    elif asked == NO_RULES:
        why = None
    if status != "Completed" and why is not None:
        return only_managed  # that it failed, or was stopped, says more
    return Health(step["StepName"], uri, rules, why, steps, every, _text(held.get(PAGE)), True, rows, stopper)


def _fetched(clients: Clients, uri: str, page: bool) -> tuple[dict[str, bytes], str | None]:
    """What is there of the two files, and why health.json is not among them."""
    limits = {FILE: LARGEST, PAGE: LARGEST_PAGE} if page else {FILE: LARGEST}
    held: dict[str, bytes] = {}
    why = f"{archived.NAME} has no {FILE} of up to {LARGEST >> 20} MiB"
    try:
        for name, body in archived.files(clients, uri, lambda name, size: size <= limits.get(name, -1)):
            held.setdefault(name, body)
            if len(held) == len(limits):
                break  # what follows need not be unpacked
    except ServiceError as exc:
        if not exc.is_of_one_part:
            raise
        why = f"there is no {uri or archived.NAME}" if exc.code == "NoSuchKey" else f"{uri}: {exc.message}"
    except (archived.Torn, StorageError) as exc:
        why = str(exc)
    return held, None if FILE in held else why


class _Foreign(Exception):
    """The file is not what train.py writes."""


def _parsed(body: bytes) -> tuple[list[Rule], int | None, int | None, str | None]:
    try:
        content = json.loads(body, parse_constant=_refused)
    except (ValueError, RecursionError) as exc:
        raise _Foreign(f"{FILE} is no JSON: {exc}"[:200]) from exc
    rules = content.get("rules") if isinstance(content, dict) else None
    if not isinstance(rules, list) or len(rules) > MOST_RULES:
        raise _Foreign(f"{FILE} has no list of rules")
    figures = _count(content.get("steps")), _count(content.get("every"))
    return [_rule(each) for each in rules], *figures, _short(content.get("stopped_by")) or None


def _refused(name: str) -> None:
    raise ValueError(f"{name} is no number")


def _rule(row: Any) -> Rule:
    """What is not of its type is left out; without name and status it is nobody's verdict."""
    if not isinstance(row, dict) or not isinstance(row.get("rule"), str) or row.get("status") not in STATUSES:
        raise _Foreign(f"{FILE}: {row!r:.80} is no verdict of a rule")
    return Rule(
        rule=_short(row["rule"]),
        status=row["status"],
        points=_count(row.get("points")) or 0,
        step=_count(row.get("step")),
        tensor=_short(row.get("tensor")) or None,
        value=_figure(row.get("value")),
        threshold=_figure(row.get("threshold")),
        **{name: _short(row.get(name)) for name in _TEXTS},
    )


def _short(value: Any) -> str:
    return value[:LONGEST].encode("utf-8", "replace").decode() if isinstance(value, str) else ""


def _count(value: Any) -> int | None:
    return value if type(value) is int and 0 <= value < 10**15 else None


def _figure(value: Any) -> float | str | None:
    """What is no finite number is a word there, such as NaN."""
    if value in ("NaN", "Infinity", "-Infinity"):
        return str(value)
    return float(value) if type(value) in (int, float) and abs(value) < 1e300 and math.isfinite(value) else None


def _text(page: bytes | None) -> str | None:
    return None if page is None else page.decode("utf-8", "replace")


def told(health: Health) -> str:
    """On one line: 2 of 6 rules found issues: Overfit (validation loss …), LossNotDecreasing (…); managed: …"""
    return "; ".join(
        part for part in (told_of_ours(health) if health.asked else "", managed.told(health.managed)) if part
    )


def told_of_ours(health: Health) -> str:
    """The same without managed rules."""
    if health.unknown is not None:
        return f"not known ({one_line(health.unknown, 3 * FIRST_WORDS)})"
    if not health.rules:
        return "no rules"
    stoppers = [each for each in health.rules if each.status == FOUND and each.rule == health.stopped_by]
    found = stoppers + [each for each in health.rules if each.status == FOUND and each not in stoppers]
    rules = count(len(health.rules), "rule")
    fine = any(each.status == FINE for each in health.rules)
    well = f"{rules}, no issues" if fine else rules  # of rules that all could not judge it is not said
    parts = [f"{len(found)} of {rules} found issues: {_named(found)}" if found else well]
    for status, words in ((NOT_EVALUATED, "not evaluated"), (ERROR, "failed themselves")):
        names = [one_line(each.rule, FIRST_WORDS) for each in health.rules if each.status == status]
        parts += [f"{words}: {listed(names, NAMED)}"] if names else []
    by = f"stopped by {one_line(stoppers[0].rule, FIRST_WORDS)}: " if stoppers else ""
    return by + "; ".join(parts)


def _named(found: list[Rule]) -> str:
    named = [f"{one_line(each.rule, FIRST_WORDS)} ({one_line(each.message, FIRST_WORDS)})" for each in found]
    return listed(named, NAMED)


def in_full(health: Health | None) -> dict[str, Any] | None:
    """For programs, with the members that DescribeTrainingJob has for rules of Debugger where it has them."""
    if health is None:
        return None
    rows = [
        {
            "RuleConfigurationName": each.rule,
            "RuleEvaluationStatus": each.status,
            "StatusDetails": each.message,
            "Advice": each.advice,
            "OnIssue": each.on_issue,
            "Points": each.points,
            "Step": each.step,
            "Tensor": each.tensor,
            "Value": each.value,
            "Threshold": each.threshold,
        }
        for each in health.rules
    ]
    ours = {"StepName": health.step, "Summary": told(health), "NotKnown": health.unknown, "Rules": rows}
    ours["StoppedBy"] = health.stopped_by
    return {**ours, **managed.in_full(health.managed)}
