"""What a rule says of a training."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

NO_ISSUES_FOUND = "NoIssuesFound"
ISSUES_FOUND = "IssuesFound"
NOT_EVALUATED = "NotEvaluated"
ERROR = "Error"
STATUSES = (NO_ISSUES_FOUND, ISSUES_FOUND, NOT_EVALUATED, ERROR)


class Verdict(NamedTuple):
    """`message` is a sentence: what, where, how much. `advice` is what to try; of NotEvaluated, how to get what is
    missing. `points` is how many recorded values were judged. `ours` is what of the rule's logic AWS leaves open."""

    rule: str
    status: str
    points: int
    message: str
    step: int | None = None
    tensor: str | None = None
    value: float | None = None
    threshold: float | None = None
    advice: str = ""
    ours: str = ""


def issues(
    rule: str,
    points: int,
    message: str,
    advice: str,
    step: int | None = None,
    tensor: str | None = None,
    value: float | None = None,
    threshold: float | None = None,
) -> Verdict:
    return Verdict(rule, ISSUES_FOUND, points, message, step, tensor, value, threshold, advice)


def fine(rule: str, points: int, message: str) -> Verdict:
    return Verdict(rule, NO_ISSUES_FOUND, points, message)


def missing(rule: str, message: str, advice: str, points: int = 0) -> Verdict:
    return Verdict(rule, NOT_EVALUATED, points, message, advice=advice)


def failed(rule: str, message: str, advice: str) -> Verdict:
    return Verdict(rule, ERROR, 0, message, advice=advice)


def body(verdict: Verdict) -> dict[str, object]:
    """As health.json has it. What is not finite becomes a text, since a bare NaN is no JSON; texts become UTF-8."""
    return {name: _plain(value) for name, value in verdict._asdict().items()}


def number(value: float) -> str:
    """For sentences: three digits, and thousands in full."""
    return f"{value:,.0f}" if 1000 <= abs(value) < 1e9 else f"{value:.3g}"


def _plain(value: object) -> object:
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value
