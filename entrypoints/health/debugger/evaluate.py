"""Judges AWS's Debugger rules over saved tensors, as AWS's own evaluators would, and writes what they say.

    python -m health.debugger.evaluate --tensors DIR --rules FILE --status FILE --output FILE

Run apart from the service, since the tensors are a training's, whose code may be anybody's.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jsonfile
from refusal import Parser, Refusal

from health import verdicts
from health.debugger import trial
from health.debugger.saved import Torn
from health.debugger.trial import Trial
from health.rules import judging, settings
from health.rules.judging import Setting
from health.verdicts import Verdict
from health.watching import limits

NAME, STATUS, DETAILS = "RuleConfigurationName", "RuleEvaluationStatus", "StatusDetails"
INVOKED = "rule_to_invoke"
LONGEST = 1024  # characters of StatusDetails
# One parameter of ours is two of AWS's, name_min and name_max; these are its defaults.
RANGES = {"threshold_tanh": ("-9.4999", "9.4999"), "threshold_sigmoid": ("-23", "16.99999")}
Result = dict[str, str]


def main(argv: list[str] | None = None) -> int:
    args = _parser().parse_args(argv)
    try:
        rules = _rules(args.rules)
    except (OSError, ValueError) as error:
        print(f"{args.rules}: {error}", file=sys.stderr)
        return 1
    jsonfile.write(args.output, evaluated(args.tensors, rules, _status(args.status)))
    return 0


def evaluated(folder: Path, rules: list[Mapping[str, Any]], status: Mapping[str, Any]) -> list[Result]:
    """`rules` are DebugRuleConfigurations; `status` is debugger.json, {} where there is none."""
    asked = [_setting(rule) for rule in rules]
    known = tuple(each for each in asked if isinstance(each, Setting))
    found = _trial(folder, known, status)
    return [_result(rule, each, found, status) for rule, each in zip(rules, asked, strict=True)]


def _result(rule: Mapping[str, Any], asked: Setting | str, found: Trial | str, status: Mapping[str, Any]) -> Result:
    name = str(rule.get(NAME) or "")
    for failure in (asked, found):
        if isinstance(failure, str):
            return {NAME: name, STATUS: verdicts.ERROR, DETAILS: _cut(failure)}
    assert isinstance(asked, Setting) and isinstance(found, Trial)
    verdict = _judged(asked, found)
    judged = verdict.status in (verdicts.NO_ISSUES_FOUND, verdicts.ISSUES_FOUND)
    return {
        NAME: name,
        STATUS: verdict.status if judged else verdicts.ERROR,
        DETAILS: _cut(_details(verdict, found, status)),
    }


def _judged(asked: Setting, found: Trial) -> Verdict:
    """As while training; where too little was saved for what scales with the job's length, by AWS's own defaults."""
    rule = judging.opened(asked)
    verdict = judging.judged(asked, rule, found.records, found.job)
    if verdict.status == verdicts.NOT_EVALUATED and rule.scaled:
        return judging.judged(asked, rule._replace(scaled=None), found.records, found.job)
    return verdict


def _details(verdict: Verdict, found: Trial, status: Mapping[str, Any]) -> str:
    """The API has no word for a rule that lacks something: the text says that it is not evaluated, and what to do."""
    text = f"{verdict.message}: {verdict.advice}" if verdict.advice else verdict.message
    if verdict.status == verdicts.NOT_EVALUATED:
        text = f"Not evaluated: {text} ({found.said}; health.every and the collections say at which)"
    elif verdict.rule == "WeightUpdateRatio" and found.job.every > 1:
        text = f"{text} (of saved weights, {found.job.every} steps apart, which AWS's rule compares too)"
    return f"{text}; the hook {status['why']}" if status.get("why") else text


def _trial(folder: Path, known: tuple[Setting, ...], status: Mapping[str, Any]) -> Trial | str:
    """Or why there is none."""
    if status.get("registered") is False:
        return (
            f"Not evaluated: smdebug's hook was not registered: {status.get('why') or 'debugger.json does not say why'}"
        )
    try:
        return trial.read(folder, limits(known))
    except Torn as error:
        why = f"; the hook {status['why']}" if status.get("why") else ""
        return f"Not evaluated: {error}{why}: see health/debugger.json and the log of the training job"


def _setting(rule: Mapping[str, Any]) -> Setting | str:
    """Or what is wrong with it."""
    given = {str(key): str(value) for key, value in (rule.get("RuleParameters") or {}).items()}
    name = given.pop(INVOKED, "")
    if not name:
        return f"RuleParameters has no {INVOKED}: name one of AWS's rules there"
    if name.endswith(".py") or "on_issue" in given:
        return f"rule {name}: {'a rule of your own' if name.endswith('.py') else 'on_issue'} is none of Debugger's"
    try:
        return settings.checked(name, _joined(given))
    except Refusal as error:
        return str(error)


def _joined(given: dict[str, str]) -> dict[str, str]:
    for key, (low, high) in RANGES.items():
        if given.keys() & {f"{key}_min", f"{key}_max"}:
            given[key] = f"{given.pop(f'{key}_min', low)},{given.pop(f'{key}_max', high)}"
    return given


def _rules(file: Path) -> list[Mapping[str, Any]]:
    content = json.loads(file.read_text(encoding="utf-8"))
    fit = isinstance(content, list) and all(isinstance(each, dict) for each in content)
    if not fit or not all(isinstance(each.get("RuleParameters") or {}, dict) for each in content):
        raise ValueError("is no list of DebugRuleConfigurations")
    found: list[Mapping[str, Any]] = content
    return found


def _status(file: Path | None) -> Mapping[str, Any]:
    """A job that was killed may have left half of it, or none."""
    try:
        content = json.loads(file.read_bytes()) if file else {}
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def _cut(text: str) -> str:
    plain = text.encode("utf-8", "replace").decode()
    return plain if len(plain) <= LONGEST else f"{plain[: LONGEST - 1]}…"


def _parser() -> argparse.ArgumentParser:
    parser = Parser(description="Judges AWS's Debugger rules over the tensors that a training's hook saved.")
    parser.add_argument("--tensors", type=Path, required=True, help="the folder of the hook: index/, events/")
    parser.add_argument("--rules", type=Path, required=True, help="a JSON list of DebugRuleConfigurations")
    parser.add_argument("--status", type=Path, help="the training's debugger.json; may be absent")
    parser.add_argument("--output", type=Path, required=True, help="where the JSON list of statuses goes")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
