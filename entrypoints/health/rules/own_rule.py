"""A rule of somebody's own: one function, rule(records), in a Python file that travels with train.py."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
from refusal import Refusal

from health.verdicts import STATUSES, Verdict, failed, fine, issues
from health.view import Records

RULE = "def rule(records) -> tuple[bool, str]"
FIGURES = ("points", "step", "value", "threshold")


def load(file: Path) -> Callable[[Records], Verdict]:
    """Runs the file's code. Refuses what cannot be a rule at once: training for hours to learn of it would be worse."""
    if not file.is_file():
        raise Refusal(f"{file}: no such file, and a rule names it: ship it beside train.py")
    module = ModuleType(f"own_rule_{file.stem}")
    module.__file__ = str(file)
    sys.modules[module.__name__] = module  # dataclasses look there for their module
    try:
        exec(compile(file.read_bytes(), str(file), "exec"), module.__dict__)
    except (Exception, SystemExit) as error:  # whatever somebody's own code raises
        raise Refusal(f"{place(file, error)}: it does not run ({cause(error)}): mend the file") from None
    function = getattr(module, "rule", None)
    if not callable(function):
        raise Refusal(f"{file}: no function rule: write {RULE}")

    def judge(records: Records) -> Verdict:
        try:
            answer = function(records)
        except (Exception, SystemExit) as error:  # training goes on
            return failed(file.stem, f"{place(file, error)}: {cause(error)}", "mend the file")
        return _verdict(file, answer, len(records.steps["step"]))

    return judge


def place(file: Path, error: BaseException) -> str:
    """The last line of this file that ran."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(file)]
    if isinstance(error, SyntaxError) and error.filename == str(file):
        lines.append(error.lineno)
    return f"{file.name}, line {lines[-1]}" if lines else file.name


def cause(error: BaseException) -> str:
    return f"{type(error).__name__}: {(str(error) or 'no reason given').splitlines()[0]}"


def _verdict(file: Path, answer: object, points: int) -> Verdict:
    """True is an issue, as with rules of smdebug, whose invoke_at_step answers alike."""
    match answer:
        case Verdict():
            return _fitting(file, answer)
        case (bool() | np.bool_() as found, str(message)):
            return issues(file.stem, points, message, "") if found else fine(file.stem, points, message)
        case bool() | np.bool_():
            return _verdict(file, (answer, "It found an issue" if answer else "It found none"), points)
    message = f"{file.name}: rule(records) returned {answer!r:.80}"
    return failed(file.stem, message, "return (True, what is wrong), (False, what is right), or a Verdict")


def _fitting(file: Path, verdict: Verdict) -> Verdict:
    """Status Error for a field that health.json cannot hold, which is written when hours of training are over."""
    for name, value in verdict._asdict().items():
        kinds = (int, float, np.integer, np.floating) if name in FIGURES else (str,)
        known = isinstance(value, kinds) or (value is None and name in Verdict._field_defaults)
        if not known or (name == "status" and value not in STATUSES):
            message = f"{file.name}: the verdict of rule(records) has {name} {value!r:.80}"
            return failed(file.stem, message, f"status is one of {', '.join(STATUSES)}; the rest are texts and numbers")
    return verdict
