"""A plan as JSON, for programs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pipeline.plan.cost import StepCost
from pipeline.plan.difference import Absent, Change, Field
from pipeline.plan.making import Plan
from pipeline.plan.planfile import digest
from pipeline.plan.values import Unknown, readable


def document(plan: Plan) -> dict[str, Any]:
    """`old` or `new` is left out where a side has no value; USD are null where they are unknown."""
    return {
        "Pipeline": plan.subject.name,
        "Changes": plan.changes,
        "Definition": {"Sha256": digest(plan.subject.text), "BytesOnly": plan.bytes_only},
        "Deployed": {"Version": plan.deployed.version, "Sha256": plan.deployed.sha256} if plan.deployed else None,
        "Settings": _fields(plan.difference.settings),
        "Parameters": [_change(change) for change in plan.difference.parameters],
        "Steps": [_change(change) for change in plan.difference.steps],
        "Code": [
            {
                "Step": code.step,
                "Old": code.old,
                "New": code.new,
                "Problem": code.problem,
                "Added": code.added,
                "Removed": code.removed,
                "Changed": code.changed,
            }
            for code in plan.code
        ],
        "Permissions": [
            {"Role": each.role, "Actions": each.actions, "Resources": each.resources} for each in plan.permissions
        ],
        "Execution": _execution(plan),
        "Surprises": [
            {"Step": each.step, "Message": each.text, "Fields": _fields(each.fields)} for each in plan.surprises
        ],
        "Cost": {
            "Region": plan.region,
            "Currency": "USD",
            "Most": plan.cost.most,
            "Likely": plan.cost.likely,
            "WithoutMost": plan.cost.without_most,
            "WithoutLikely": plan.cost.without_likely,
        },
    }


def _execution(plan: Plan) -> dict[str, Any]:
    costs = {cost.step: _cost(cost) for cost in plan.cost.steps}
    steps = [
        {
            "Step": found.step,
            "Type": found.kind,
            "Cache": found.outcome,
            "Reason": found.reason,
            "Fields": _fields(found.fields),
            "Until": found.until,
            "OnlyIf": found.only_if,
            "Likely": found.likely,
            "Source": found.source,
            "Cost": costs.get(found.step),
        }
        for found in plan.predictions
    ]
    return {"Parameters": dict(plan.parameters), "Steps": steps}


def _change(change: Change) -> dict[str, Any]:
    return {"Name": change.name, "Type": change.kind, "Change": change.what, "Fields": _fields(change.fields)}


def _fields(fields: Iterable[Field]) -> list[dict[str, Any]]:
    return [
        {"Path": each.path, **{key: plain(side) for key, side in _sides(each) if not isinstance(side, Absent)}}
        for each in fields
    ]


def _sides(field: Field) -> tuple[tuple[str, Any], tuple[str, Any]]:
    return ("Old", field.old), ("New", field.new)


def plain(value: Any) -> Any:
    """What is unknown as {"Until": [steps]}."""
    if isinstance(value, Unknown):
        return {"Until": sorted(value.steps)}
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return readable(value)


def _cost(cost: StepCost) -> dict[str, Any]:
    prices = [
        {"UsdPerHour": price.usd, "Region": price.region, "Source": price.source, "Date": price.date}
        for price in cost.prices
    ]
    return {
        "Machines": cost.machines,
        "Most": cost.most,
        "Likely": cost.likely,
        "Missing": cost.missing,
        "Prices": prices,
    }
