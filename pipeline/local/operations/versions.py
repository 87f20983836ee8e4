"""A pipeline's versions and the aliases that name them; how a request says which version it means."""

from __future__ import annotations

import re

from pipeline.errors import ServiceError
from pipeline.local import names
from pipeline.local.operations.paging import between, moment, page
from pipeline.local.operations.requests import one_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime
    from typing import Any

    from pipeline.local.store import Record, Store

NAME, DESCRIPTION, ALIASES = "PipelineVersionDisplayName", "PipelineVersionDescription", "PipelineVersionAliases"
MOST_ALIASES = 10  # of one version
_ALIAS = re.compile(r"(?![0-9]+\Z)[a-zA-Z0-9._\-]{1,128}")
_DISPLAY_NAME = re.compile(r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,81}")
_LONGEST_DESCRIPTION = 3072


class Versions:
    """Mixed into LocalSageMaker. The pipeline's record holds `aliases`, alias → version: no alias can stand twice.

    Records of an older darkroom lack the member, and their versions the names: nothing has to be rewritten.
    """

    store: Store

    def update_pipeline_version(
        self,
        *,
        PipelineArn: str,
        PipelineVersionId: int,
        PipelineVersionDisplayName: str | None = None,
        PipelineVersionDescription: str | None = None,
        PipelineVersionAliasOperations: dict[str, list[str]] | None = None,
    ) -> dict[str, Any]:
        """All of it, or nothing: an alias that stands at another version is a conflict."""
        operation = "UpdatePipelineVersion"
        changes = {NAME: PipelineVersionDisplayName, DESCRIPTION: PipelineVersionDescription}
        changes = {name: value for name, value in changes.items() if value is not None}
        _check_words(operation, changes)
        with self.store.transaction():
            record = self._pipeline(PipelineArn, operation)
            version = self._version(record, PipelineVersionId, operation)
            if changes:
                self.store.change(version.kind, version.name, changes)
            if PipelineVersionAliasOperations:
                wanted = PipelineVersionAliasOperations
                kept = _without(operation, record, PipelineVersionId, wanted.get("Remove") or (), wanted.get("Add"))
                aliases = with_aliases(operation, kept, PipelineVersionId, wanted.get("Add") or ())
                self.store.change("pipeline", record.name, {"aliases": aliases})
        return {"PipelineArn": record.arn, "PipelineVersionId": PipelineVersionId}

    def list_pipeline_versions(
        self,
        *,
        PipelineName: str,
        CreatedAfter: datetime | float | None = None,
        CreatedBefore: datetime | float | None = None,
        SortOrder: str = "Descending",
        MaxResults: int = 10,
        NextToken: str = "",
    ) -> dict[str, Any]:
        operation = "ListPipelineVersions"
        one_of(operation, "SortOrder", SortOrder, ("Ascending", "Descending"))
        record = self._pipeline(PipelineName, operation)
        versions = [each for each in self._versions(record) if between(each.created, CreatedAfter, CreatedBefore)]
        versions.sort(key=lambda version: version.body["PipelineVersionId"], reverse=SortOrder == "Descending")
        answer = page("PipelineVersionSummaries", versions, MaxResults, NextToken)
        last = self._last_executions(record.name)
        shown = [_summary(record, version, last) for version in answer["PipelineVersionSummaries"]]
        return {**answer, "PipelineVersionSummaries": shown}

    def _versions(self, pipeline: Record) -> list[Record]:
        """Those of an earlier pipeline of that name stay for its executions, and are nobody else's."""
        known = self.store.list("pipeline-version", f"{pipeline.name}/")
        return [version for version in known if version.body["PipelineVersionId"] >= pipeline.body.get("first", 1)]

    def _last_executions(self, pipeline: str) -> dict[int, str]:
        """Version → ARN of the newest execution that it started."""
        sql = "SELECT version, arn, max(created) FROM executions WHERE pipeline=? GROUP BY version"
        return {row["version"]: row["arn"] for row in self.store.query(sql, pipeline)}

    def _pipeline(self, name_or_arn: str, operation: str) -> Record:
        name = name_or_arn.rpartition("/")[2]
        found = self.store.find("pipeline", name)
        if not found:
            message = f"Pipeline '{names.arn('pipeline', name)}' does not exist."
            raise ServiceError(
                "ResourceNotFound", message, operation, "darkroom run, or darkroom start definition.json"
            )
        return found[0]

    def _meant(self, pipeline: Record, version: int | None, alias: str | None, operation: str) -> Record:
        """The version with this number or this alias; the newest without either."""
        if version is not None and alias is not None:
            message = "PipelineVersionId and PipelineVersionAlias cannot be given together."
            raise ServiceError("ValidationException", message, operation)
        if alias is None:
            return self._version(pipeline, pipeline.body["Version"] if version is None else version, operation)
        found = pipeline.body.get("aliases", {}).get(alias)
        if found is None:
            message = f"Pipeline '{pipeline.arn}' has no version with the alias '{alias}'."
            raise ServiceError("ResourceNotFound", message, operation, "darkroom versions")
        return self._version(pipeline, found, operation)

    def _version(self, pipeline: Record, version: int, operation: str) -> Record:
        found = self.store.find("pipeline-version", f"{pipeline.name}/{version}")
        if not found or version < pipeline.body.get("first", 1):
            message = f"Pipeline '{pipeline.arn}' has no version {version}."
            raise ServiceError("ResourceNotFound", message, operation, "darkroom versions")
        return found[0]

    def _add_version(self, pipeline: str, version: int, text: str) -> None:
        body = {"PipelineVersionId": version, "PipelineDefinition": text}
        self.store.add("pipeline-version", f"{pipeline}/{version}", body)


def aliases_of(pipeline: Record, version: int) -> dict[str, list[str]]:
    """The member as answers have it; nothing for a version without."""
    found = sorted(alias for alias, at in pipeline.body.get("aliases", {}).items() if at == version)
    return {ALIASES: found} if found else {}


def named(version: Record) -> dict[str, str]:
    """What somebody called it; nothing by itself."""
    return {name: version.body[name] for name in (NAME, DESCRIPTION) if name in version.body}


def with_aliases(operation: str, known: dict[str, int], version: int, added: Iterable[str]) -> dict[str, int]:
    """`known` with these at `version`. Raises ServiceError ConflictException for one that stands at another."""
    aliases = dict(known)
    for alias in added:
        if not isinstance(alias, str) or not _ALIAS.fullmatch(alias):
            message = f"{alias!r} is no alias: 1 to 128 letters, digits, '.', '-' and '_', and not digits alone."
            raise ServiceError("ValidationException", message, operation)
        if aliases.setdefault(alias, version) != version:
            message = f"The alias '{alias}' is assigned to version {aliases[alias]}: remove it from that version first."
            raise ServiceError("ConflictException", message, operation)
    if sum(at == version for at in aliases.values()) > MOST_ALIASES:
        message = f"Version {version} would have more than {MOST_ALIASES} aliases."
        raise ServiceError("ValidationException", message, operation)
    return aliases


def _without(
    operation: str, pipeline: Record, version: int, removed: Iterable[str], added: Iterable[str] | None
) -> dict[str, int]:
    aliases: dict[str, int] = dict(pipeline.body.get("aliases", {}))
    for alias in removed:
        if alias in (added or ()):
            message = f"The alias '{alias}' cannot be both added and removed."
            raise ServiceError("ValidationException", message, operation)
        if aliases.pop(alias, None) != version:
            message = f"Version {version} of '{pipeline.arn}' does not have the alias '{alias}'."
            raise ServiceError("ResourceNotFound", message, operation)
    return aliases


def _check_words(operation: str, words: dict[str, str | None]) -> None:
    name, description = words.get(NAME), words.get(DESCRIPTION)
    if name is not None and not _DISPLAY_NAME.fullmatch(name):
        message = f"{NAME} {name!r} is no name: letters, digits and inner hyphens, at most 82 characters"
        raise ServiceError("ValidationException", message, operation)
    if description is not None and (len(description) > _LONGEST_DESCRIPTION or "\n" in description):
        message = f"{DESCRIPTION} has more than {_LONGEST_DESCRIPTION} characters, or more than one line"
        raise ServiceError("ValidationException", message, operation)


def _summary(pipeline: Record, version: Record, last: dict[int, str]) -> dict[str, Any]:
    number = version.body["PipelineVersionId"]
    return {
        "PipelineArn": pipeline.arn,
        "PipelineVersionId": number,
        "CreationTime": moment(version.created),
        **named(version),
        **({"LastExecutionPipelineExecutionArn": last[number]} if number in last else {}),
        **aliases_of(pipeline, number),
    }
