"""Jobs: describe and list them; answers for Callback steps."""

from __future__ import annotations

from functools import partial

from pipeline.errors import ServiceError
from pipeline.local.operations.answers import Operations, answer, matching, page, pick
from pipeline.local.operations.requests import check
from pipeline.local.operations.tokens import once

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from pipeline.local.store import Record

# CamelCase of a kind; the store's word for it is in kebab case
_KINDS = {
    "ProcessingJob": "processing-job",
    "TrainingJob": "training-job",
    "HyperParameterTuningJob": "hyper-parameter-tuning-job",
    "TransformJob": "transform-job",
}
_ABSENT = {  # the service's own codes and words; of these only the tuning job's error is the one its model declares
    "ProcessingJob": ("ValidationException", "Could not find requested job with name: {name}"),
    "TrainingJob": ("ValidationException", "Requested resource not found."),
    "HyperParameterTuningJob": ("ResourceNotFound", "Amazon SageMaker can't find a tuning job with the name {name}."),
    "TransformJob": ("ValidationException", "Could not find requested job with name: {name}"),
}
_SUMMARIES = {
    "ProcessingJob": ("ProcessingEndTime", "FailureReason", "ExitMessage"),
    "TrainingJob": ("TrainingEndTime", "SecondaryStatus"),
    "HyperParameterTuningJob": ("HyperParameterTuningEndTime", "TrainingJobStatusCounters", "ObjectiveStatusCounters"),
    "TransformJob": ("TransformEndTime", "FailureReason"),
}
_OF_NO_JOB_HERE = ("WarmPoolStatusEquals", "TrainingPlanArnEquals")
# what a record holds and Describe does not show: a trial's side of its tuning, and the time of the last write
_HIDDEN = {
    "TrainingJob": (
        *("TunedHyperParameters", "FinalHyperParameterTuningJobObjectiveMetric", "ObjectiveStatus"),
        "TrainingJobDefinitionName",
    ),
    "TransformJob": ("LastModifiedTime",),
}
_TRIAL = (
    *("TrainingJobDefinitionName", "TrainingJobName", "TrainingJobArn", "CreationTime", "TrainingStartTime"),
    *("TrainingEndTime", "TrainingJobStatus", "TunedHyperParameters", "FailureReason"),
    *("FinalHyperParameterTuningJobObjectiveMetric", "ObjectiveStatus"),
)


class Jobs(Operations):
    def describe_processing_job(self, **request: Any) -> dict[str, Any]:
        return self._describe_job("ProcessingJob", request)

    def describe_training_job(self, **request: Any) -> dict[str, Any]:
        return self._describe_job("TrainingJob", request)

    def describe_hyper_parameter_tuning_job(self, **request: Any) -> dict[str, Any]:
        return self._describe_job("HyperParameterTuningJob", request)

    def list_processing_jobs(self, **request: Any) -> dict[str, Any]:
        return self._list_jobs("ProcessingJob", request)

    def list_training_jobs(self, **request: Any) -> dict[str, Any]:
        return self._list_jobs("TrainingJob", request)

    def list_hyper_parameter_tuning_jobs(self, **request: Any) -> dict[str, Any]:
        return self._list_jobs("HyperParameterTuningJob", request, by="Name")

    def list_training_jobs_for_hyper_parameter_tuning_job(self, **request: Any) -> dict[str, Any]:
        """Sorted by FinalObjectiveMetricValue only trials with a value are listed, as the service does."""
        operation = "ListTrainingJobsForHyperParameterTuningJob"
        check(operation, request)
        tuning = self._job("HyperParameterTuningJob", request["HyperParameterTuningJobName"], operation)
        records = self.store.list_where("training-job", "TuningJobArn", tuning.arn, _TRIAL)
        keys = {"Status": lambda r: r.status, "FinalObjectiveMetricValue": _objective}
        shown, more = page(operation, matching(records, request), request, by="Name", keys=keys)
        return {"TrainingJobSummaries": [_trial(record, tuning.name) for record in shown], **more}

    def send_pipeline_execution_step_success(self, **request: Any) -> dict[str, Any]:
        outputs = {entry["Name"]: entry["Value"] for entry in request.get("OutputParameters", ())}
        return self._answer_callback("SendPipelineExecutionStepSuccess", request, "Succeeded", {"outputs": outputs})

    def send_pipeline_execution_step_failure(self, **request: Any) -> dict[str, Any]:
        failure = {"failure": request.get("FailureReason", "")}
        return self._answer_callback("SendPipelineExecutionStepFailure", request, "Failed", failure)

    def _describe_job(self, kind: str, request: Mapping[str, Any]) -> dict[str, Any]:
        operation = f"Describe{kind}"
        check(operation, request)
        body = _described(kind, self._job(kind, request[f"{kind}Name"], operation))
        return answer({key: value for key, value in body.items() if key not in _HIDDEN.get(kind, ())})

    def _job(self, kind: str, name: str, operation: str) -> Record:
        found = self.store.find(_KINDS[kind], name)
        if not found:
            code, message = _ABSENT[kind]
            raise ServiceError(code, message.format(name=name), operation)
        return found[0]

    def _list_jobs(
        self, kind: str, request: Mapping[str, Any], order: str = "Ascending", by: str = "CreationTime"
    ) -> dict[str, Any]:
        operation = f"List{kind}s"
        check(operation, request)
        records = matching(self.store.list(_KINDS[kind]), request)
        if any(member in request for member in _OF_NO_JOB_HERE):
            records = []
        shown, more = page(operation, records, request, order=order, by=by, keys={"Status": lambda r: r.status})
        return {f"{kind}Summaries": [answer(_summary(kind, record)) for record in shown], **more}

    def _answer_callback(
        self, operation: str, request: Mapping[str, Any], status: str, changes: dict[str, Any]
    ) -> dict[str, Any]:
        check(operation, request)
        repeated = {key: value for key, value in request.items() if key != "ClientRequestToken"}
        done = partial(self._end_callback, operation, request["CallbackToken"], status, changes)
        return once(self.store, operation, request.get("ClientRequestToken", ""), repeated, done)[0]

    def _end_callback(self, operation: str, token: str, status: str, changes: dict[str, Any]) -> dict[str, Any]:
        found = self.store.find("callback", token)
        if not found:
            raise ServiceError(
                "ResourceNotFound", f"there is no pending step with the callback token {token!r}", operation
            )
        try:
            record = self.store.change("callback", token, changes, status=status, expect=["InProgress"])
        except ServiceError as exc:
            if exc.code != "ConflictException":
                raise
            message = f"the step of the callback token {token!r} has already ended: {found[0].status}"
            raise ServiceError(exc.code, message, operation) from exc
        return {"PipelineExecutionArn": record.body["pipelineExecutionArn"]}


def _described(kind: str, record: Record) -> dict[str, Any]:
    """The stored body, with what every job has even before its driver wrote it."""
    return {
        "CreationTime": record.created,
        "LastModifiedTime": record.modified,
        f"{kind}Name": record.name,
        f"{kind}Arn": record.arn,
        **record.body,
        f"{kind}Status": record.status,
    }


def _summary(kind: str, record: Record) -> dict[str, Any]:
    body = _described(kind, record)
    common = (f"{kind}Name", f"{kind}Arn", f"{kind}Status", "CreationTime", "LastModifiedTime")
    summary = pick(body, *common, *_SUMMARIES[kind])
    if kind == "HyperParameterTuningJob":
        config = body.get("HyperParameterTuningJobConfig", {})
        summary |= pick(config, "Strategy", "ResourceLimits")
    return summary


def _trial(record: Record, tuning: str) -> dict[str, Any]:
    return answer(
        {"TunedHyperParameters": {}, **pick(_described("TrainingJob", record), *_TRIAL), "TuningJobName": tuning}
    )


def _objective(record: Record) -> float | None:
    value: float | None = record.body.get("FinalHyperParameterTuningJobObjectiveMetric", {}).get("Value")
    return value
