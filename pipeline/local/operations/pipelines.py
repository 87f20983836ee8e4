"""Pipelines and their versions: create, update, describe, list, delete."""

from __future__ import annotations

from pipeline.definition import Definition
from pipeline.errors import DefinitionError, ServiceError
from pipeline.local import names
from pipeline.local.operations.answers import remove_tags, save_tags
from pipeline.local.operations.paging import moment, page
from pipeline.local.operations.requests import check_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pipeline.local.storage import Storage
    from pipeline.local.store import Record, Store

_PARALLELISM = "ParallelismConfiguration"


class Pipelines:
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
    ) -> dict[str, Any]:
        check_name("CreatePipeline", "PipelineName", PipelineName)
        text = self._definition(PipelineDefinition, PipelineDefinitionS3Location)
        arn = names.arn("pipeline", PipelineName)
        body = {
            "PipelineName": PipelineName,
            "PipelineDisplayName": PipelineDisplayName or PipelineName,
            "PipelineDescription": PipelineDescription,
            "RoleArn": RoleArn,
            _PARALLELISM: ParallelismConfiguration or {},
        }
        with self.store.transaction():
            if self.store.find("pipeline", PipelineName):
                rule = "Pipeline names must be unique within an AWS account and region."
                message = f"{rule} Pipeline with name ({PipelineName}) already exists."
                raise ServiceError("ValidationException", message, "CreatePipeline")
            # versions of an earlier pipeline of that name stay with its executions, so their numbers never come again
            first = len(self.store.list("pipeline-version", f"{PipelineName}/")) + 1
            self.store.add("pipeline", PipelineName, {**body, "Version": first, "first": first}, "Active", arn)
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
    ) -> dict[str, Any]:
        """A changed definition becomes a new version; anything else changes the pipeline only."""
        changes: dict[str, Any] = {
            "PipelineDisplayName": PipelineDisplayName,
            "PipelineDescription": PipelineDescription,
            "RoleArn": RoleArn,
            _PARALLELISM: ParallelismConfiguration,
        }
        changes = {name: value for name, value in changes.items() if value is not None}
        with self.store.transaction():
            record = self._pipeline(PipelineName, "UpdatePipeline")
            version = record.body["Version"]
            if PipelineDefinition or PipelineDefinitionS3Location:
                text = self._definition(PipelineDefinition, PipelineDefinitionS3Location)
                if text != self._version(PipelineName, version).body["PipelineDefinition"]:
                    version += 1
                    self._add_version(PipelineName, version, text)
            self.store.change("pipeline", PipelineName, {**changes, "Version": version})
        return {"PipelineArn": record.arn, "PipelineVersionId": version}

    def describe_pipeline(self, *, PipelineName: str, PipelineVersionId: int = 0) -> dict[str, Any]:
        record = self._pipeline(PipelineName, "DescribePipeline")
        version = self._version(record.name, PipelineVersionId or record.body["Version"])
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
            "PipelineVersionDisplayName": f"version {version.body['PipelineVersionId']}",
            "PipelineVersionDescription": "",
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
        SortBy: str = "CreationTime",
        SortOrder: str = "Descending",
        MaxResults: int = 10,
        NextToken: str = "",
    ) -> dict[str, Any]:
        records = self.store.list("pipeline", PipelineNamePrefix)
        if SortBy == "Name":
            records.sort(key=lambda record: record.name)
        elif SortOrder == "Ascending":
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

    def list_pipeline_versions(
        self, *, PipelineName: str, SortOrder: str = "Descending", MaxResults: int = 10, NextToken: str = ""
    ) -> dict[str, Any]:
        record = self._pipeline(PipelineName, "ListPipelineVersions")
        known = self.store.list("pipeline-version", f"{record.name}/")
        versions = [version for version in known if version.body["PipelineVersionId"] >= record.body.get("first", 1)]
        versions.sort(key=lambda version: version.body["PipelineVersionId"], reverse=SortOrder == "Descending")
        summaries = [
            {
                "PipelineArn": record.arn,
                "PipelineVersionId": version.body["PipelineVersionId"],
                "PipelineVersionDisplayName": f"version {version.body['PipelineVersionId']}",
                "CreationTime": moment(version.created),
            }
            for version in versions
        ]
        return page("PipelineVersionSummaries", summaries, MaxResults, NextToken)

    def delete_pipeline(self, *, PipelineName: str, ClientRequestToken: str = "") -> dict[str, Any]:
        """Executions, with the definitions that they ran, jobs and packages stay, as on AWS."""
        with self.store.transaction():
            record = self._pipeline(PipelineName, "DeletePipeline")
            self.store.remove("pipeline", record.name)
            remove_tags(self.store, record.arn)
        return {"PipelineArn": record.arn}

    def _pipeline(self, name_or_arn: str, operation: str) -> Record:
        found = self.store.find("pipeline", name_or_arn.rpartition("/")[2])
        if not found:
            message = f"Pipeline '{names.arn('pipeline', name_or_arn)}' does not exist."
            raise ServiceError(
                "ResourceNotFound", message, operation, "darkroom run, or darkroom start definition.json"
            )
        return found[0]

    def _version(self, pipeline: str, version: int) -> Record:
        found = self.store.find("pipeline-version", f"{pipeline}/{version}")
        if not found:
            raise ServiceError("ResourceNotFound", f"pipeline {pipeline!r} has no version {version}")
        return found[0]

    def _add_version(self, pipeline: str, version: int, text: str) -> None:
        body = {"PipelineVersionId": version, "PipelineDefinition": text}
        self.store.add("pipeline-version", f"{pipeline}/{version}", body)

    def _definition(self, text: str, location: dict[str, str] | None) -> str:
        if location:
            text = self.storage.get_bytes(f"s3://{location['Bucket']}/{location['ObjectKey']}").decode()
        try:
            Definition.parse(text)
        except DefinitionError as exc:
            raise ServiceError("ValidationException", f"Unable to parse pipeline definition. {exc.message}") from exc
        return text
