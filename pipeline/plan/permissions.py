"""What the roles of a pipeline have to be allowed for a new definition that they were not for the deployed one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.definition import Definition
from pipeline.errors import DarkroomError

if TYPE_CHECKING:
    from pipeline.config import Config

_Right = tuple[str, str]  # action, resource


@dataclass(frozen=True)
class Needed:
    """`actions` that a role needs anew, on these resources; neither where the whole role is new."""

    role: str
    actions: tuple[str, ...]
    resources: tuple[str, ...]


def needed(config: Config, old: Definition, new: Definition) -> tuple[Needed, ...]:
    """By role and resources. Nothing where the policies of the deployed definition cannot be computed."""
    try:
        before = _rights(config, old)
    except DarkroomError:
        return ()
    found: list[Needed] = []
    for role, rights in _rights(config, new).items():
        if role not in before:
            found.append(Needed(role, (), ()))
            continue
        by_action: dict[str, set[str]] = {}
        for action, resource in rights - before[role]:
            by_action.setdefault(action, set()).add(resource)
        shared: dict[tuple[str, ...], list[str]] = {}
        for action, resources in sorted(by_action.items()):
            shared.setdefault(tuple(sorted(resources)), []).append(action)
        found += [Needed(role, tuple(actions), resources) for resources, actions in shared.items()]
    return tuple(found)


def _rights(config: Config, definition: Definition) -> dict[str, frozenset[_Right]]:
    """Role → what it may do. What conditions a statement has is left to `darkroom iam`."""
    from pipeline.iam import policies

    return {
        role.arn: frozenset(
            (action, place) for each in role.statements for action in each.actions for place in each.resources
        )
        for role in policies.roles(config, definition)
    }
