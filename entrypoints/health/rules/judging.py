"""Rules as somebody asked for them: opened once, judged again and again while training runs."""

from __future__ import annotations

import inspect
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from health.rules import own_rule
from health.rules.parameters import Value
from health.rules.rulebook import BOOK, Rule
from health.rules.scaling import Job
from health.verdicts import Verdict, failed
from health.view import Records


class Setting(NamedTuple):
    """A rule as somebody asked for it: its name, or the file of a rule of one's own; `given` are parameters."""

    rule: str
    given: Mapping[str, Value] = {}
    on_issue: str = "warn"


def opened(setting: Setting, folder: Path = Path()) -> Rule:
    """Runs the code of a rule of one's own, whose file is named from `folder`. Raises Refusal."""
    if setting.rule.endswith(".py"):
        return Rule(own_rule.load(folder / setting.rule), ())
    return BOOK[setting.rule]


def judged(setting: Setting, rule: Rule, records: Records, job: Job) -> Verdict:
    """The rule's word, with what was scaled in the message; whatever the rule raises is status Error."""
    arguments: dict[str, object] = dict(setting.given)
    notes = []
    for name, value in (rule.scaled(job, records) if rule.scaled else {}).items():
        default = defaults(rule)[name]
        if name not in arguments and value != default:
            arguments[name] = value
            notes.append(f"{name} is {value:g} instead of {default:g}")
    arguments |= {name: getattr(job, name) for name in rule.of_job}
    try:
        with np.errstate(all="ignore"):
            verdict = rule.function(records, **arguments)
    except Exception as error:  # no rule, be it our own, may end a training of hours
        last = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{Path(last.filename).name}, line {last.lineno}"
        return failed(setting.rule, f"{where}: {own_rule.cause(error)}", "report this: the rule has a bug")
    if notes:
        length = f"{job.steps:,} steps and {job.epochs:,} epoch{'s' * (job.epochs != 1)}"
        scaled = f"{verdict.message} ({'; '.join(notes)}, in a job of {length})"
        verdict = verdict._replace(message=scaled)
    return verdict._replace(ours=verdict.ours or ours(rule))


def defaults(rule: Rule) -> dict[str, Value]:
    """AWS's, as the function has them."""
    parameters = inspect.signature(rule.function).parameters.values()
    return {each.name: each.default for each in parameters if each.name in rule.types}


def effective(settings: tuple[Setting, ...], name: str) -> dict[str, Value]:
    """Parameters of the first setting of that rule, or its defaults; the recorder needs tolerances and thresholds."""
    given: Mapping[str, Value] = next((each.given for each in settings if each.rule == name), {})
    return {**defaults(BOOK[name]), **given}


def needs(settings: tuple[Setting, ...]) -> set[str]:
    """Kinds of tensors and tables; a rule of one's own may look at anything."""
    if any(each.rule not in BOOK for each in settings):
        return {need for rule in BOOK.values() for need in rule.needs}
    return {need for each in settings for need in BOOK[each.rule].needs}


def ours(rule: Rule) -> str:
    """What follows "Ours:" in the docstring."""
    return " ".join((inspect.getdoc(rule.function) or "").partition("Ours: ")[2].split())
