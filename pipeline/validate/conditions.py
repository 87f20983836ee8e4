"""Condition steps: every condition well-formed, its operands comparable."""

from __future__ import annotations

from collections.abc import Callable

from pipeline.validate.document import BRANCHES, Document, Step
from pipeline.validate.node import Node, nearest, quote
from pipeline.validate.properties import ANY
from pipeline.validate.references import kind_of
from pipeline.validate.values import number

ACCURACY = "_classification_metrics.accuracy.value"  # SageMaker's model quality reports, binary and multiclass
NUMBERS = frozenset({"integer", "long", "float", "double"})
TEXTS = frozenset({"string", "timestamp"})
FAMILY = {**dict.fromkeys(NUMBERS, "number"), **dict.fromkeys(TEXTS, "text"), "boolean": "boolean"}


def check_step(document: Document, step: Step) -> None:
    if step.type != "Condition":
        return
    arguments = step.arguments
    if not isinstance(arguments.value, dict):
        arguments.error(
            "Arguments holds Conditions, IfSteps and ElseSteps", 'write {"Conditions": [...], "IfSteps": [...]}'
        )
        return
    for key, member in arguments.members():
        if key not in ("Conditions", *BRANCHES):
            member.error(f"a Condition step has no {quote(key)}", nearest(key, ("Conditions", *BRANCHES), "remove it"))
    _check_list(document, arguments["Conditions"], "Conditions")
    for side in BRANCHES:
        steps = arguments[side]
        if steps.there and not isinstance(steps.value, list):
            steps.error(f"{side} is a list of steps, not {quote(steps.value)}", f'write "{side}": []')
    if not arguments["IfSteps"].value and not arguments["ElseSteps"].value:
        arguments.warning(
            "both branches are empty: the condition decides nothing", "add a step to IfSteps or ElseSteps"
        )


def _check_list(document: Document, conditions: Node, name: str) -> None:
    if not isinstance(conditions.value, list) or not conditions.value:
        conditions.error(f"{name} is a list of at least one condition", f'write "{name}": [{{"Type": "Equals", …}}]')
    for condition in conditions:
        _check(document, condition)


def _check(document: Document, condition: Node) -> None:
    if not isinstance(condition.value, dict):
        condition.error(f"a condition is an object, not {quote(condition.value)}", 'write {"Type": "Equals", …}')
        return
    kind = condition["Type"].text
    if kind == "And":
        condition["Type"].error("there is no And condition", "list the conditions: all of a list have to hold")
        return
    if kind is None or kind not in CONDITIONS:
        condition["Type"].error(
            f"there is no condition {quote(condition['Type'].value)}", nearest(kind or "", CONDITIONS, "")
        )
        return
    members, checker = CONDITIONS[kind]
    for key, member in condition.members():
        if key != "Type" and key not in members:
            member.error(f"a {kind} condition has no {quote(key)}", f"it has {', '.join(members)}")
    for key in members:
        if not condition[key].there:
            condition.error(f"{key} is missing: a {kind} condition has {', '.join(members)}", f"add {key}")
    checker(document, condition)


def _operand(document: Document, node: Node) -> str | None:
    """The family of values that an operand belongs to; None when any would do, or when it was reported."""
    if not node.there:
        return None
    kind = kind_of(document, node)
    if kind is None or kind == ANY or (kind == "string" and _made_by_a_step(node)):
        return None  # tuned hyperparameters and Lambda outputs are texts that may spell a number
    if kind not in FAMILY:
        node.error(
            f"{quote(node.value)} is a {kind}: conditions compare single values", "use a text, a number, true or false"
        )
    return FAMILY.get(kind)


def _made_by_a_step(node: Node) -> bool:
    return node["Get"].text is not None and node["Get"].value.startswith("Steps.")


def _equals(document: Document, condition: Node) -> None:
    _comparable(document, condition["LeftValue"], condition["RightValue"])


def _ordered(document: Document, condition: Node) -> None:
    left, right = condition["LeftValue"], condition["RightValue"]
    _comparable(document, left, right)
    _check_share(document, left, right)
    _check_share(document, right, left)
    for node in (left, right):
        if kind_of(document, node) == "boolean":
            node.error(f"{quote(node.value)} is true or false, which has no order", "compare numbers, or use Equals")


def _check_share(document: Document, measured: Node, limit: Node) -> None:
    """An accuracy in SageMaker's format is a share, and a limit such as 95 is meant in percent: no model reaches it."""
    if not (measured.at("Std:JsonGet", "Path").text or "").endswith(ACCURACY):
        return
    for value, words in document.possible(limit.value):
        share = number(value)
        if share is not None and not 0 <= share <= 1:
            limit.error(f"{words}{share:g}, where an accuracy is a share from 0 to 1", "write 0.95 for 95 percent")


def _comparable(document: Document, left: Node, right: Node) -> None:
    one, other = _operand(document, left), _operand(document, right)
    if one is not None and other is not None and one != other:
        right.error(
            f"{quote(right.value)} is a {other}, the other side is a {one}: they never compare",
            f"write a {one} on both sides",
        )


def _in(document: Document, condition: Node) -> None:
    values = condition["Values"]
    if values.there and (not isinstance(values.value, list) or not values.value):
        values.error("Values is a list of at least one value", 'write "Values": ["a", "b"]')
    for value in values:
        _comparable(document, condition["QueryValue"], value)
    if not isinstance(values.value, list):
        _operand(document, condition["QueryValue"])


def _not(document: Document, condition: Node) -> None:
    if "Expression" in condition:
        condition.error(
            "Not holds its condition as Condition; the service refuses Expression", "rename Expression to Condition"
        )
    if condition["Condition"].there:
        _check(document, condition["Condition"])


def _or(document: Document, condition: Node) -> None:
    if condition["Conditions"].there:
        _check_list(document, condition["Conditions"], "Conditions")


SIDES = ("LeftValue", "RightValue")
CONDITIONS: dict[str, tuple[tuple[str, ...], Callable[[Document, Node], None]]] = {
    "Equals": (SIDES, _equals),
    "GreaterThan": (SIDES, _ordered),
    "GreaterThanOrEqualTo": (SIDES, _ordered),
    "LessThan": (SIDES, _ordered),
    "LessThanOrEqualTo": (SIDES, _ordered),
    "In": (("QueryValue", "Values"), _in),
    "Not": (("Condition",), _not),
    "Or": (("Conditions",), _or),
}
