"""Executions of pipelines: start, describe, list, stop, retry."""

from __future__ import annotations

import time

from pipeline.definition import Definition
from pipeline.errors import ServiceError
from pipeline.local import recovery, runner
from pipeline.local.operations import parameters
from pipeline.local.operations.paging import MILLISECONDS, check_size, from_token, milliseconds, moment, page, to_token
from pipeline.local.operations.pipelines import Pipelines, check_token
from pipeline.local.operations.tokens import once
from pipeline.local.operations.versions import aliases_of
from pipeline.local.records import ENDED, RUNNING, Execution, StepRow

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_SOURCES = ("Succeeded", "Failed")  # the executions that a selective one may take outputs from


class Executions(Pipelines):
    """Mixed into LocalSageMaker."""

    start_runner: Callable[[str, str], int | None]
    ending: runner.Ending  # of the execution that this client started last
    display_names: dict[str, dict[str, tuple[str, str]]]  # of the execution that was asked for last

    def start_pipeline_execution(
        self,
        *,
        PipelineName: str,
        PipelineExecutionDisplayName: str = "",
        PipelineParameters: list[dict[str, str]] | None = None,
        PipelineExecutionDescription: str = "",
        ClientRequestToken: str = "",
        ParallelismConfiguration: dict[str, int] | None = None,
        SelectiveExecutionConfig: dict[str, Any] | None = None,
        PipelineVersionId: int | None = None,
        PipelineVersionAlias: str | None = None,
    ) -> dict[str, Any]:
        """The same ClientRequestToken again answers with the execution that the first call started."""
        operation = "StartPipelineExecution"
        check_token(operation, ClientRequestToken)
        with self.store.transaction():
            pipeline = self._pipeline(PipelineName, operation)
            token = f"{pipeline.name}/{ClientRequestToken}"
            if ClientRequestToken and (known := self.store.find("execution-token", token)):
                return {"PipelineExecutionArn": known[0].arn}
            version = self._meant(pipeline, PipelineVersionId, PipelineVersionAlias, operation)
            definition = Definition.parse(version.body["PipelineDefinition"])
            parallelism = ParallelismConfiguration or pipeline.body["ParallelismConfiguration"]
            body = {
                "PipelineExecutionDisplayName": PipelineExecutionDisplayName or f"execution-{int(time.time() * 1000)}",
                "PipelineExecutionDescription": PipelineExecutionDescription,
                "Parameters": parameters.typed(definition, PipelineParameters or []),
                "MaxParallelExecutionSteps": parallelism.get("MaxParallelExecutionSteps", 0),
                **self._selection(pipeline.name, definition, SelectiveExecutionConfig or {}),
            }
            execution = Execution.add(self.store, pipeline.name, version.body["PipelineVersionId"], body)
            if ClientRequestToken:
                self.store.add("execution-token", token, {}, arn=execution.arn)
        self._start_runner(execution.id)
        return {"PipelineExecutionArn": execution.arn}

    def _selection(self, pipeline: str, definition: Definition, config: dict[str, Any]) -> dict[str, Any]:
        """Selective execution: what the steps that do not run produced comes from the source execution."""
        selected = [step["StepName"] for step in config.get("SelectedSteps", ())]
        if not selected:
            return {}
        if unknown := sorted(set(selected) - set(definition.steps)):
            raise ServiceError("ValidationException", f"SelectedSteps: there is no step {unknown[0]!r}")
        body: dict[str, Any] = {"SelectedSteps": selected, "SelectiveExecutionConfig": config}
        if arn := config.get("SourcePipelineExecutionArn"):
            source = self._execution(arn)
            if source.pipeline != pipeline or source.status not in _SOURCES:
                message = f"SourcePipelineExecutionArn: {arn} is {source.status}, of pipeline {source.pipeline!r}"
                hint = f"name one of pipeline {pipeline!r} that is {' or '.join(_SOURCES)}"
                raise ServiceError("ValidationException", message, "StartPipelineExecution", hint)
            rows = StepRow.of_execution(self.store, source.id)
            body["SourceProperties"] = {
                name: row.body["Properties"]
                for name, row in rows.items()
                if row.status == "Succeeded" and name not in selected
            }
        return body

    def describe_pipeline_execution(self, *, PipelineExecutionArn: str) -> dict[str, Any]:
        execution = self._execution(PipelineExecutionArn)
        answer = {
            "PipelineArn": execution.arn.partition("/execution/")[0],
            **_summary(execution),
            "CreationTime": moment(execution.created),
            "LastModifiedTime": moment(execution.modified),
            "CreatedBy": {},
            "LastModifiedBy": {},
            "PipelineVersionId": execution.version,
            "Darkroom": {"Parity": execution.body.get("Parity", []), "Ended": execution.ended},
        }
        del answer["StartTime"]  # a member of the list's summaries alone
        if execution.failure:
            answer["FailureReason"] = answer.pop("PipelineExecutionFailureReason")
        for pipeline in self.store.find("pipeline", execution.pipeline):
            answer.update(aliases_of(pipeline, execution.version))
        if "SelectiveExecutionConfig" in execution.body:
            answer["SelectiveExecutionConfig"] = execution.body["SelectiveExecutionConfig"]
        return answer

    def list_pipeline_executions(
        self,
        *,
        PipelineName: str,
        CreatedAfter: Any = None,
        CreatedBefore: Any = None,
        SortBy: str = "CreationTime",
        SortOrder: str = "Descending",
        MaxResults: int = 10,
        NextToken: str = "",
        PipelineVersionAlias: str | None = None,
    ) -> dict[str, Any]:
        pipeline = self._pipeline(PipelineName, "ListPipelineExecutions")
        where: list[str] = ["pipeline=?"]
        values: list[Any] = [pipeline.name]
        for limit, sign in ((CreatedAfter, ">"), (CreatedBefore, "<")):  # paging.between, in SQL
            if limit is not None:
                where, values = [*where, f"{MILLISECONDS} {sign} ?"], [*values, milliseconds(limit)]
        if PipelineVersionAlias is not None:
            version = self._meant(pipeline, None, PipelineVersionAlias, "ListPipelineExecutions")
            where, values = [*where, "version=?"], [*values, version.body["PipelineVersionId"]]
        scope = {"where": where, "values": values, "by": SortBy, "order": SortOrder}
        descending, by = SortOrder == "Descending", "arn" if SortBy == "PipelineExecutionArn" else "created"
        check_size(MaxResults)
        if NextToken:  # a place in the order, not a count: executions start while somebody turns pages
            where, values = (
                [*where, f"({by}, id) {'<' if descending else '>'} (?, ?)"],
                [*values, *from_token(scope, NextToken)],
            )
        order = "DESC" if descending else "ASC"
        sql = f"SELECT * FROM executions WHERE {' AND '.join(where)} ORDER BY {by} {order}, id {order} LIMIT ?"
        rows = self.store.query(sql, *values, MaxResults + 1)
        found = [self._execution(row["id"]) for row in rows[:MaxResults]]
        summaries = [{**_summary(each), **aliases_of(pipeline, each.version)} for each in found]
        last = rows[MaxResults - 1] if len(rows) > MaxResults else None
        more = {"NextToken": to_token(scope, [last[by], last["id"]])} if last else {}
        return {"PipelineExecutionSummaries": summaries, **more}

    def list_pipeline_execution_steps(
        self, *, PipelineExecutionArn: str, SortOrder: str = "Descending", MaxResults: int = 20, NextToken: str = ""
    ) -> dict[str, Any]:
        execution = self._execution(PipelineExecutionArn)
        scope = {"steps of": execution.arn, "order": SortOrder}
        check_size(MaxResults)
        count = self.store.query("SELECT count(*) FROM steps WHERE execution=?", execution.id)[0][0]
        start, before = from_token(scope, NextToken) if NextToken else (0, count)
        if SortOrder == "Descending":
            start += count - before  # steps that started meanwhile stand before the first page
        order = "DESC" if SortOrder == "Descending" else "ASC"
        rows = StepRow.page(self.store, execution.id, order, MaxResults + 1, start)  # one more: is there a next page?
        shown = self._display_names(execution) if rows else {}
        answer: dict[str, Any] = {"PipelineExecutionSteps": [_step(row, shown) for row in rows[:MaxResults]]}
        if len(rows) > MaxResults:
            answer["NextToken"] = to_token(scope, [start + MaxResults, count])
        return answer

    def list_pipeline_parameters_for_execution(
        self, *, PipelineExecutionArn: str, MaxResults: int = 50, NextToken: str = ""
    ) -> dict[str, Any]:
        given = self._execution(PipelineExecutionArn).body["Parameters"]
        items = [{"Name": name, "Value": parameters.text(value)} for name, value in given.items()]
        return page("PipelineParameters", items, MaxResults, NextToken)

    def describe_pipeline_definition_for_execution(self, *, PipelineExecutionArn: str) -> dict[str, Any]:
        execution = self._execution(PipelineExecutionArn)
        execution.load_definition(self.store)
        return {"PipelineDefinition": execution.definition, "CreationTime": moment(execution.created)}

    def stop_pipeline_execution(self, *, PipelineExecutionArn: str, ClientRequestToken: str = "") -> dict[str, Any]:
        operation = "StopPipelineExecution"
        check_token(operation, ClientRequestToken)
        execution = self._execution(PipelineExecutionArn)

        def stop() -> dict[str, Any]:
            changed = self.store.execute(
                "UPDATE executions SET stop_requested=1, status='Stopping', modified=? WHERE id=? AND status IN (?,?)",
                *(time.time(), execution.id, *RUNNING),
            )
            if not changed:
                message = f"Pipeline execution with ARN {execution.arn} has already ended: {execution.status}"
                raise ServiceError("ConflictException", message, operation, "darkroom executions")
            return {"PipelineExecutionArn": execution.arn}

        return once(self.store, operation, ClientRequestToken, {"execution": execution.arn}, stop)[0]

    def retry_pipeline_execution(
        self,
        *,
        PipelineExecutionArn: str,
        ClientRequestToken: str = "",
        ParallelismConfiguration: dict[str, int] | None = None,
    ) -> dict[str, Any]:
        """Goes on where a failed or stopped execution ended, with its own definition; succeeded steps stay."""
        operation = "RetryPipelineExecution"
        check_token(operation, ClientRequestToken)
        execution = self._execution(PipelineExecutionArn)

        def retry() -> dict[str, Any]:
            changed = self.store.execute(
                "UPDATE executions SET status='Executing', stop_requested=0, failure='', ended=NULL, runner='{}',"
                " heartbeat=?, modified=? WHERE id=? AND status IN ('Failed','Stopped')",
                *(time.time(), time.time(), execution.id),
            )
            if not changed:
                message = f"Only a Failed or Stopped execution can be retried; {execution.arn} is {execution.status}"
                raise ServiceError("ConflictException", message, operation, "darkroom executions")
            if ParallelismConfiguration:
                execution.save_body(self.store, **ParallelismConfiguration)
            return {"PipelineExecutionArn": execution.arn}

        request = {"execution": execution.arn, "parallelism": ParallelismConfiguration}
        answer, done_now = once(self.store, operation, ClientRequestToken, request, retry)
        if done_now:
            self._start_runner(execution.id)
        return answer

    def _start_runner(self, execution_id: str) -> None:
        self.store.close()  # it must not be open where the runner forks off
        self.ending.follow(self.start_runner(self.home, execution_id))

    def _execution(self, arn_or_id: str) -> Execution:
        """The execution as it is; one whose runner was killed is found out here."""
        execution = Execution.get(self.store, arn_or_id)
        if execution.status in ENDED or recovery.runner_is_alive(execution):
            return execution
        recovery.mark_interrupted(self.store, execution)
        return Execution.get(self.store, execution.id)

    def _display_names(self, execution: Execution) -> dict[str, tuple[str, str]]:
        """Parsed once an execution: whoever follows one asks for its steps many times a second."""
        if execution.id not in self.display_names:
            execution.load_definition(self.store)
            steps = Definition.parse(execution.definition).steps.values()
            shown = {s.name: (s.body.get("DisplayName", ""), s.body.get("Description", "")) for s in steps}
            self.display_names = {execution.id: shown}
        return self.display_names[execution.id]


def _summary(execution: Execution) -> dict[str, Any]:
    summary = {
        "PipelineExecutionArn": execution.arn,
        "StartTime": moment(execution.created),
        "PipelineExecutionStatus": execution.status,
        "PipelineExecutionDisplayName": execution.body["PipelineExecutionDisplayName"],
        "PipelineExecutionDescription": execution.body["PipelineExecutionDescription"],
    }
    if execution.failure:
        summary["PipelineExecutionFailureReason"] = execution.failure
    return summary


def _step(row: StepRow, shown: dict[str, tuple[str, str]]) -> dict[str, Any]:
    display_name, description = shown.get(row.name, ("", ""))
    step: dict[str, Any] = {
        "StepName": row.name,
        "StepDisplayName": display_name or row.name,
        "StepDescription": description,
        "StepStatus": row.status,
        "StartTime": moment(row.started or 0.0),
        "AttemptCount": row.attempt,
        "Metadata": row.body.get("Metadata", {}),  # its one key tells the step's type: no other member does
        "Darkroom": {key: row.body[key] for key in ("CacheMiss", "LogPath") if key in row.body},
    }
    if row.ended is not None:
        step["EndTime"] = moment(row.ended)
    if row.failure:
        step["FailureReason"] = row.failure
    if "CacheHit" in row.body:
        step["CacheHitResult"] = {"SourcePipelineExecutionArn": row.body["CacheHit"]}
    return step
