"""May a service take a role? Trust policies as IAM judges them, as far as that is sure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

YES, NO, UNSURE = "yes", "no", "unsure"
SOURCE = "aws:sourcearn"
_ARNS = ("ArnLike", "ArnEquals", "StringLike", "StringEquals")
_ASSUME = ("sts:assumerole", "sts:*", "*")


def may_assume(document: Mapping[str, Any], service: str, context: Mapping[str, str]) -> str:
    """`context`: what the service says of its request, such as aws:SourceAccount. A Deny that may apply is UNSURE."""
    answers = {"Allow": NO, "Deny": NO}
    for statement in listed(document.get("Statement")):
        held = _holds(statement, service, context)
        effect = str(statement.get("Effect"))
        if held == YES or (held == UNSURE and answers.get(effect) == NO):
            answers[effect] = held
    if answers["Deny"] == YES:
        return NO
    if answers["Allow"] == YES and answers["Deny"] == UNSURE:
        return UNSURE
    return answers["Allow"]


def listed(value: Any) -> list[Any]:
    """IAM writes one of something without a list around it."""
    return list(value) if isinstance(value, list) else [] if value is None else [value]


def _holds(statement: Mapping[str, Any], service: str, context: Mapping[str, str]) -> str:
    principal = statement.get("Principal")
    if principal is None or "Action" not in statement:
        return UNSURE  # NotPrincipal, NotAction
    services = ["*"] if principal == "*" else listed(principal.get("Service"))
    actions = [str(each).lower() for each in listed(statement["Action"])]
    if not {service, "*"} & set(services) or not set(actions) & set(_ASSUME):
        return NO
    conditions = statement.get("Condition") or {}
    held = [
        _compared(operator, key.lower(), listed(values), context.get(key.lower()))
        for operator, keys in conditions.items()
        for key, values in keys.items()
    ]
    return NO if NO in held else UNSURE if UNSURE in held else YES


def _compared(operator: str, key: str, values: Iterable[Any], actual: str | None) -> str:
    """`key` in small letters, as IAM takes it."""
    name, optional, _ = operator.partition("IfExists")
    wanted = [str(each) for each in values]
    if actual is None:
        return YES if optional else UNSURE
    if key == SOURCE:
        return _any(_from(each, actual) for each in wanted) if name in _ARNS else UNSURE
    match name:
        case "StringEquals":
            return YES if actual in wanted else NO
        case "StringLike":
            return YES if any(_like(each, actual) for each in wanted) else NO
        case _:
            return UNSURE


def _from(pattern: str, source: str) -> str:
    """Of an ARN only service, region and account are known before there is a job."""
    fields, known = pattern.split(":", 5), source.split(":", 5)
    if len(fields) < 6:
        return UNSURE if "*" in pattern else NO
    if not all(_like(field, other) for field, other in zip(fields[:5], known[:5], strict=True)):
        return NO
    return YES if fields[5] == "*" else UNSURE


def _any(answers: Iterable[str]) -> str:
    found = set(answers)
    return YES if YES in found else UNSURE if UNSURE in found else NO


def _like(pattern: str, text: str) -> bool:
    plain = "".join({"*": ".*", "?": "."}.get(each, re.escape(each)) for each in pattern)
    return re.fullmatch(plain, text, re.DOTALL) is not None
