"""A pipeline's versions and the aliases that name them: list, promote, roll back.

An alias leaves its old version before it comes to the new one: the service asks for that, and has no call that does
both. Every function here can be repeated after an interruption at any point, and ends where it would have ended.
"""

from __future__ import annotations

import re
from collections import namedtuple

from pipeline.client import pages
from pipeline.errors import DarkroomError, ServiceError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from pipeline.client import Clients

CURRENT = "current"  # what `upsert` moves and `start` begins with, unless told otherwise
PREVIOUS = "darkroom:previous:"  # + alias: a tag of the pipeline, the version that the alias was promoted from
LONGEST_ALIAS = 128 - len(PREVIOUS)  # a tag's key has 128 characters at most
_ALIAS = re.compile(rf"(?![0-9]+\Z)[a-zA-Z0-9._\-]{{1,{LONGEST_ALIAS}}}")
ATTEMPTS = 5
# the answers to an alias that somebody else moved between our look and our call
_MOVED = ("ConflictException", "ResourceNotFound", "ValidationException")

Version = namedtuple("Version", "id arn created name description aliases last_execution")
# `before` is 0 where no version had the alias, or its move was interrupted
Move = namedtuple("Move", "alias before now")


def newest_first(clients: Clients, pipeline: str) -> list[Version]:
    """Raises ServiceError ResourceNotFound."""
    rows = pages(clients.sagemaker.list_pipeline_versions, "PipelineVersionSummaries", PipelineName=pipeline)
    return sorted(map(_version, rows), key=lambda version: version.id, reverse=True)


def _version(row: dict[str, Any]) -> Version:
    return Version(
        row["PipelineVersionId"],
        row["PipelineArn"],
        row["CreationTime"],
        row.get("PipelineVersionDisplayName", ""),
        row.get("PipelineVersionDescription", ""),
        tuple(row.get("PipelineVersionAliases") or ()),
        row.get("LastExecutionPipelineExecutionArn", ""),
    )


def find(clients: Clients, pipeline: str, number: int = 0, alias: str = "") -> Version:
    """With this number, or this alias; without either the one that is `current`, else the newest."""
    known = newest_first(clients, pipeline)
    if number:
        return _with_number(known, pipeline, number)
    holder = _holder(known, alias or CURRENT)
    if holder is not None:
        return holder
    if alias:
        raise DarkroomError(
            f"no version of {pipeline} has the alias {alias!r}; there are: {_aliases(known)}",
            f"darkroom promote {alias} VERSION, also where such a move was interrupted; darkroom versions lists them",
        )
    return _newest(known, pipeline)


def promote(clients: Clients, pipeline: str, alias: str, number: int = 0) -> Move:
    """Moves the alias to this version, or to the newest. Raises DarkroomError where there is no such version."""
    check(alias)

    def wanted(known: list[Version]) -> Version:
        return _with_number(known, pipeline, number) if number else _newest(known, pipeline)

    return move(clients, pipeline, alias, wanted)


def rollback(clients: Clients, pipeline: str, alias: str) -> Move:
    """Moves the alias back to where its last promotion took it from; once it is there, nothing more is undone."""
    check(alias)
    known = newest_first(clients, pipeline)
    newest, holder = _newest(known, pipeline), _holder(known, alias)
    before = _previous(clients, newest.arn, alias)
    if not before:
        before = _below(known, pipeline, alias, holder)
        _remember(clients, newest.arn, alias, before)  # so that it can be repeated when the alias has left its version
    return move(clients, pipeline, alias, lambda now: _with_number(now, pipeline, before), remember=False)


def move(
    clients: Clients,
    pipeline: str,
    alias: str,
    wanted: Callable[[list[Version]], Version | None],
    words: dict[str, str] | None = None,
    remember: bool = True,
) -> Move:
    """`wanted` says from the versions of this moment where the alias belongs; None: not to be moved by this call.

    `words` are set together with the alias. Others that move it at the same time make this call look again.
    """
    for attempt in range(1, ATTEMPTS + 1):
        known = newest_first(clients, pipeline)
        target, holder = wanted(known), _holder(known, alias)
        before = holder.id if holder else 0
        if target is None or target is holder:
            return Move(alias, before, before)
        try:
            if holder is not None:
                if remember:
                    _remember(clients, holder.arn, alias, holder.id)
                _update(clients, holder, {"Remove": [alias]})
            _update(clients, target, {"Add": [alias]}, words)
        except ServiceError as exc:
            if exc.code not in _MOVED or attempt == ATTEMPTS:
                raise
            continue
        return Move(alias, before, target.id)
    raise AssertionError("the last attempt returns or raises")


def _update(
    clients: Clients, version: Version, operations: dict[str, list[str]], words: dict[str, str] | None = None
) -> None:
    clients.sagemaker.update_pipeline_version(
        PipelineArn=version.arn,
        PipelineVersionId=version.id,
        PipelineVersionAliasOperations=operations,
        **(words or {}),
    )


def check(alias: str) -> None:
    """Raises DarkroomError for what is no alias."""
    if not _ALIAS.fullmatch(alias):
        raise DarkroomError(
            f"{alias!r} is no alias: letters, digits, '.', '-' and '_', at most {LONGEST_ALIAS}, and not digits alone",
            "such as darkroom promote production 3",
        )


def _holder(known: list[Version], alias: str) -> Version | None:
    return next((version for version in known if alias in version.aliases), None)


def _newest(known: list[Version], pipeline: str) -> Version:
    if not known:
        raise DarkroomError(f"{pipeline} has no versions", "darkroom upsert")
    return known[0]


def _with_number(known: list[Version], pipeline: str, number: int) -> Version:
    for version in known:
        if version.id == number:
            return version
    numbers = ", ".join(str(version.id) for version in known[:10])
    raise DarkroomError(f"{pipeline} has no version {number}; the newest are: {numbers}", "darkroom versions")


def _below(known: list[Version], pipeline: str, alias: str, holder: Version | None) -> int:
    """Without a promotion that is remembered: the version before."""
    if holder is None:
        raise DarkroomError(
            f"no version of {pipeline} has the alias {alias!r}; there are: {_aliases(known)}", "darkroom versions"
        )
    older = [int(version.id) for version in known if version.id < holder.id]
    if not older:
        raise DarkroomError(
            f"{alias} stands at version {holder.id} of {pipeline}, the first there is: nothing lies before it",
            f"darkroom promote {alias} VERSION",
        )
    return older[0]


def _aliases(known: list[Version]) -> str:
    return ", ".join(sorted(alias for version in known for alias in version.aliases)) or "none"


def _previous(clients: Clients, arn: str, alias: str) -> int:
    for tag in pages(clients.sagemaker.list_tags, "Tags", ResourceArn=arn):
        if tag["Key"] == f"{PREVIOUS}{alias}" and tag["Value"].isdigit():
            return int(tag["Value"])
    return 0


def _remember(clients: Clients, arn: str, alias: str, number: int) -> None:
    tag = {"Key": f"{PREVIOUS}{alias}", "Value": str(number)}
    clients.sagemaker.add_tags(ResourceArn=arn, Tags=[tag])
