"""Pipelines: create, update, describe, list, delete."""

from __future__ import annotations

from pipeline.definition import Definition
from pipeline.errors import DefinitionError, ServiceError, StorageError
from pipeline.local import names, recovery
from pipeline.local.operations.answers import remove_tags, save_tags
from pipeline.local.operations.paging import between, moment, page
from pipeline.local.operations.requests import check_name
from pipeline.local.operations.versions import Versions, aliases_of, named, with_aliases
from pipeline.local.records import RUNNING, Execution

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pipeline.local.storage import Storage
    from pipeline.local.store import Store

LARGEST_DEFINITION = 1_048_576  # characters
_SHORTEST_TOKEN, _LONGEST_TOKEN = 32, 128
_PARALLELISM = "ParallelismConfiguration"


class Pipelines(Versions):
    """Mixed into LocalSageMaker."""

    home: str
    store: Store
    storage: Storage

    def create_pipeline(
        self,
        *,
        PipelineName: str,
        PipelineDefinition: str = "",
        PipelineDefinitionS3Location: dict[str, str] | None = None,
        ClientRequestToken: str = "",
        RoleArn: str = "",
        PipelineDisplayName: str = "",
        PipelineDescription: str = "",
        Tags: list[dict[str, str]] | None = None,
        ParallelismConfiguration: dict[str, int] | None = None,
        PipelineVersionAliases: list[str] | None = None,
    ) -> dict[str, Any]:
        """The same ClientRequestToken again answers as the first time."""
        operation = "CreatePipeline"
        check_name(operation, "PipelineName", PipelineName)
        check_token(operation, ClientRequestToken)
        text = self._definition(operation, PipelineDefinition, PipelineDefinitionS3Location)
        arn = names.arn("pipeline", PipelineName)
        body = {
            "PipelineName": PipelineName,
            "PipelineDisplayName": PipelineDisplayName or PipelineName,
            "PipelineDescription": PipelineDescription,
            "RoleArn": RoleArn,
            _PARALLELISM: ParallelismConfiguration or {},
        }
        with self.store.transaction():
            if known := self.store.find("pipeline", PipelineName):
                if ClientRequestToken and known[0].body.get("token") == ClientRequestToken:
                    return {"PipelineArn": arn}
                rule = "Pipeline names must be unique within an AWS account and region."
                message = f"{rule} Pipeline with name ({PipelineName}) already exists."
                raise ServiceError("ValidationException", message, operation)
            # versions of an earlier pipeline of that name stay with its executions, so their numbers never come again
            first = len(self.store.list("pipeline-version", f"{PipelineName}/")) + 1
            aliases = with_aliases(operation, {}, first, PipelineVersionAliases or ())
            own = {"Version": first, "first": first, "aliases": aliases, "token": ClientRequestToken}
            self.store.add("pipeline", PipelineName, {**body, **own}, "Active", arn)
            self._add_version(PipelineName, first, text)
            save_tags(self.store, arn, Tags or ())
        return {"PipelineArn": arn}

    def update_pipeline(
        self,
        *,
        PipelineName: str,
        PipelineDefinition: str = "",
        PipelineDefinitionS3Location: dict[str, str] | None = None,
        PipelineDisplayName: str | None = None,
        PipelineDescription: str | None = None,
        RoleArn: str | None = None,
        ParallelismConfiguration: dict[str, int] | None = None,
        PipelineVersionAliases: list[str] | None = None,
    ) -> dict[str, Any]:
        """A changed definition becomes a new version, which may get aliases; anything else changes the pipeline."""
        operation = "UpdatePipeline"
        changes: dict[str, Any] = {
            "PipelineDisplayName": PipelineDisplayName,
            "PipelineDescription": PipelineDescription,
            "RoleArn": RoleArn,
            _PARALLELISM: ParallelismConfiguration,
        }
        changes = {name: value for name, value in changes.items() if value is not None}
        with self.store.transaction():
            record = self._pipeline(PipelineName, operation)
            version = before = record.body["Version"]
            if PipelineDefinition or PipelineDefinitionS3Location:
                text = self._definition(operation, PipelineDefinition, PipelineDefinitionS3Location)
                if text != self._version(record, version, operation).body["PipelineDefinition"]:
                    version += 1
                    self._add_version(record.name, version, text)
            if PipelineVersionAliases:
                if version == before:
                    message = "PipelineVersionAliases can be given only with a definition that differs."
                    raise ServiceError("ValidationException", message, operation, "UpdatePipelineVersion moves aliases")
                known = record.body.get("aliases", {})
                changes["aliases"] = with_aliases(operation, known, version, PipelineVersionAliases)
            self.store.change("pipeline", record.name, {**changes, "Version": version})
        return {"PipelineArn": record.arn, "PipelineVersionId": version}

    def describe_pipeline(
        self, *, PipelineName: str, PipelineVersionId: int | None = None, PipelineVersionAlias: str | None = None
    ) -> dict[str, Any]:
        record = self._pipeline(PipelineName, "DescribePipeline")
        version = self._meant(record, PipelineVersionId, PipelineVersionAlias, "DescribePipeline")
        last = self.store.query("SELECT max(created) FROM executions WHERE pipeline=?", record.name)[0][0]
        answer = {
            "PipelineArn": record.arn,
            "PipelineName": record.name,
            "PipelineDisplayName": record.body["PipelineDisplayName"],
            "PipelineDefinition": version.body["PipelineDefinition"],
            "PipelineDescription": record.body["PipelineDescription"],
            "RoleArn": record.body["RoleArn"],
            "PipelineStatus": record.status,
            "CreationTime": moment(record.created),
            "LastModifiedTime": moment(record.modified),
            "CreatedBy": {},
            "LastModifiedBy": {},
            **named(version),
            **aliases_of(record, version.body["PipelineVersionId"]),
        }
        if record.body[_PARALLELISM]:
            answer[_PARALLELISM] = record.body[_PARALLELISM]
        if last is not None:
            answer["LastRunTime"] = moment(last)
        return answer

    def list_pipelines(
        self,
        *,
        PipelineNamePrefix: str = "",
        CreatedAfter: Any = None,
        CreatedBefore: Any = None,
        SortBy: str = "CreationTime",
        SortOrder: str = "Descending",
        MaxResults: int = 10,
        NextToken: str = "",
    ) -> dict[str, Any]:
        known = self.store.list("pipeline", PipelineNamePrefix)
        records = [record for record in known if between(record.created, CreatedAfter, CreatedBefore)]
        if SortBy == "Name":
            records.sort(key=lambda record: record.name, reverse=True)
        if SortOrder == "Ascending":
            records.reverse()
        summaries = [
            {
                "PipelineArn": record.arn,
                "PipelineName": record.name,
                "PipelineDisplayName": record.body["PipelineDisplayName"],
                "PipelineDescription": record.body["PipelineDescription"],
                "RoleArn": record.body["RoleArn"],
                "CreationTime": moment(record.created),
                "LastModifiedTime": moment(record.modified),
            }
            for record in records
        ]
        return page("PipelineSummaries", summaries, MaxResults, NextToken)

    def delete_pipeline(self, *, PipelineName: str, ClientRequestToken: str = "") -> dict[str, Any]:
        """Refused while an execution runs. Here executions, with the definitions that they ran, stay as history."""
        operation = "DeletePipeline"
        check_token(operation, ClientRequestToken)
        with self.store.transaction():
            if ClientRequestToken and (done := self.store.find("deletion-token", ClientRequestToken)):
                return {"PipelineArn": done[0].arn}
            record = self._pipeline(PipelineName, operation)
            if running := self._running(record.name):
                message = f"Pipeline '{record.arn}' has running executions: {', '.join(running)}"
                raise ServiceError("ConflictException", message, operation, f"darkroom stop {running[0]}")
            self.store.remove("pipeline", record.name)
            for token in self.store.list("execution-token", f"{record.name}/"):
                self.store.remove(token.kind, token.name)
            remove_tags(self.store, record.arn)
            if ClientRequestToken:
                self.store.add("deletion-token", ClientRequestToken, {}, arn=record.arn)
        return {"PipelineArn": record.arn}

    def _running(self, pipeline: str) -> list[str]:
        """Without those whose runner was killed: nothing is left of them to wait for."""
        sql = "SELECT * FROM executions WHERE pipeline=? AND status IN (?,?)"
        known = [Execution(row) for row in self.store.query(sql, pipeline, *RUNNING)]
        return [execution.id for execution in known if recovery.runner_is_alive(execution)]

    def _definition(self, operation: str, text: str, location: dict[str, str] | None) -> str:
        if bool(text) == bool(location):
            message = "Give either PipelineDefinition or PipelineDefinitionS3Location."
            raise ServiceError("ValidationException", message, operation)
        if location:
            text = self._in_s3(operation, location)
        if len(text) > LARGEST_DEFINITION:
            message = f"The pipeline definition has {len(text)} characters; at most {LARGEST_DEFINITION} are allowed."
            raise ServiceError("ValidationException", message, operation)
        try:
            Definition.parse(text)
        except DefinitionError as exc:
            message = f"Unable to parse pipeline definition. {exc.message}"
            raise ServiceError("ValidationException", message, operation) from exc
        return text

    def _in_s3(self, operation: str, location: dict[str, str]) -> str:
        uri = f"s3://{location.get('Bucket', '')}/{location.get('ObjectKey', '')}"
        try:
            return self.storage.get_bytes(uri).decode()
        except (ServiceError, StorageError, UnicodeDecodeError) as exc:
            message = f"Unable to read the pipeline definition at {uri}."
            raise ServiceError("ValidationException", message, operation) from exc


def check_token(operation: str, token: str) -> None:
    """In this process a token may be left out; boto3 never does. Raises ServiceError ValidationException."""
    if token and not _SHORTEST_TOKEN <= len(token) <= _LONGEST_TOKEN:
        limits = f"{_SHORTEST_TOKEN} to {_LONGEST_TOKEN}"
        message = f"ClientRequestToken has {len(token)} characters, and not {limits}"
        raise ServiceError("ValidationException", message, operation)
