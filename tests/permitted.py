"""What a role may do, decided as IAM decides it: Allow statements with wildcards and conditions, else nothing."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from pipeline.iam.policies import Role
from pipeline.iam.statements import Document

Context = Mapping[str, str]
NO_CONTEXT: Context = {}


def may(roles: Iterable[Role], arn: str, action: str, resource: str, context: Context = NO_CONTEXT) -> bool:
    """Whether the role with this ARN is allowed it by the documents that IAM would be given."""
    return any(
        allows(document, action, resource, context)
        for role in roles
        if role.arn == arn
        for document in role.policies().values()
    )


def allows(document: Document, action: str, resource: str, context: Context = NO_CONTEXT) -> bool:
    return any(
        any(matches(pattern.lower(), action.lower()) for pattern in _all(statement["Action"]))
        and any(matches(pattern, resource) for pattern in _all(statement["Resource"]))
        and all(
            _holds(operator, key, _all(wanted), context)
            for operator, keys in statement.get("Condition", {}).items()
            for key, wanted in keys.items()
        )
        for statement in document["Statement"]
    )


def matches(pattern: str, text: str) -> bool:
    """`*` any characters, `?` one; ${*}, ${?} and ${$} stand for the characters themselves."""
    parts = re.split(r"(\$\{[*?$]\}|\*|\?)", pattern)
    plain = {"*": ".*", "?": "."}
    expression = "".join(plain.get(each) or re.escape(each[2] if each.startswith("${") else each) for each in parts)
    return re.fullmatch(expression, text, re.DOTALL) is not None


def _holds(operator: str, key: str, wanted: list[str], context: Context) -> bool:
    """A key that a request does not have satisfies none of these operators."""
    if key not in context:
        return False
    match operator:
        case "StringEquals" | "Bool" | "ForAnyValue:StringEquals":
            return context[key] in wanted
        case "StringLike" | "ArnLike":
            return any(matches(pattern, context[key]) for pattern in wanted)
    raise AssertionError(f"no such operator is known here: {operator}")


def _all(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else list(value)
