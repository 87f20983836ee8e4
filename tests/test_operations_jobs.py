"""Jobs: describe, list, trials of a tuning, answers to callbacks."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import ServiceError
from pipeline.local import names
from pipeline.local.service import LocalSageMaker, connect

TUNING = "hyper-parameter-tuning-job"


@pytest.fixture
def sagemaker(tmp_path: Path) -> LocalSageMaker:
    return connect(str(tmp_path))


def add(service: LocalSageMaker, kind: str, name: str, status: str = "Completed", **body: Any) -> str:
    arn = names.arn(kind, name)
    service.store.add(kind, name, body, status, arn)
    return arn


def add_trial(service: LocalSageMaker, number: int, value: float | None, status: str = "Completed") -> None:
    metric = {} if value is None else {"MetricName": "accuracy", "Value": value}
    body: dict[str, Any] = {"FinalHyperParameterTuningJobObjectiveMetric": metric} if metric else {}
    body |= {"TuningJobArn": names.arn(TUNING, "tune"), "TunedHyperParameters": {"lr": str(number)}}
    add(service, "training-job", f"tune-{number:03d}", status, **body)


def refused(code: str, match: str = ".") -> Any:
    return pytest.raises(ServiceError, match=match, check=lambda exc: exc.code == code)


def test_a_description_has_times_as_datetime_and_nothing_private(sagemaker: LocalSageMaker) -> None:
    moment = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    transitions = [{"Status": "Training", "StartTime": moment.timestamp()}]
    body = {"TrainingStartTime": moment.timestamp(), "SecondaryStatusTransitions": transitions, "pid": 7}
    add(sagemaker, "training-job", "job", **body, HyperParameters={"StartTime": "5"})
    answer = sagemaker.describe_training_job(TrainingJobName="job")
    assert answer["TrainingStartTime"] == answer["SecondaryStatusTransitions"][0]["StartTime"] == moment
    assert answer["HyperParameters"] == {"StartTime": "5"}
    assert answer["TrainingJobArn"] == names.arn("training-job", "job")
    assert answer["TrainingJobStatus"] == "Completed"
    assert "pid" not in answer


@pytest.mark.parametrize(
    ("kind", "code", "match"),
    [
        ("training_job", "ValidationException", "Requested resource not found"),
        ("processing_job", "ValidationException", "Could not find requested job with name: nobody"),
        ("transform_job", "ValidationException", "Could not find requested job with name: nobody"),
        ("hyper_parameter_tuning_job", "ResourceNotFound", "nobody"),
    ],
)
def test_a_job_that_is_not_there_is_refused_as_the_service_does(
    sagemaker: LocalSageMaker, kind: str, code: str, match: str
) -> None:
    member = "".join(word.capitalize() for word in kind.split("_")) + "Name"
    with refused(code, match):
        getattr(sagemaker, f"describe_{kind}")(**{member: "nobody"})


def test_jobs_are_listed_by_status_name_and_time(sagemaker: LocalSageMaker) -> None:
    add(sagemaker, "processing-job", "a-1", "Completed", ExitMessage="fine")
    time.sleep(0.002)  # times are told and compared to the millisecond
    middle = datetime.now(UTC)
    time.sleep(0.002)
    add(sagemaker, "processing-job", "a-2", "Failed", FailureReason="broken")
    add(sagemaker, "processing-job", "b-3", "Completed")

    def listed(**request: Any) -> list[str]:
        answer = sagemaker.list_processing_jobs(**request)
        return [each["ProcessingJobName"] for each in answer["ProcessingJobSummaries"]]

    assert listed() == ["a-1", "a-2", "b-3"]
    assert listed(SortBy="Name", SortOrder="Descending") == ["b-3", "a-2", "a-1"]
    assert listed(StatusEquals="Failed") == ["a-2"]
    assert listed(NameContains="a-") == ["a-1", "a-2"]
    assert listed(CreationTimeAfter=middle) == ["a-2", "b-3"]
    assert listed(CreationTimeBefore=middle.timestamp()) == ["a-1"]


def test_a_page_has_ten_jobs_unless_more_are_asked_for(sagemaker: LocalSageMaker) -> None:
    for number in range(12):
        add(sagemaker, "training-job", f"job-{number:02d}", SecondaryStatus="Completed")
    first = sagemaker.list_training_jobs()
    second = sagemaker.list_training_jobs(NextToken=first["NextToken"])
    assert [len(page["TrainingJobSummaries"]) for page in (first, second)] == [10, 2]
    assert "NextToken" not in second
    assert len(sagemaker.list_training_jobs(MaxResults=100)["TrainingJobSummaries"]) == 12


@pytest.mark.parametrize("size", [0, 101, "5"])
def test_a_page_size_out_of_range_is_refused(sagemaker: LocalSageMaker, size: Any) -> None:
    with refused("ValidationException", "MaxResults"):
        sagemaker.list_training_jobs(MaxResults=size)


def test_an_unknown_sort_key_is_refused(sagemaker: LocalSageMaker) -> None:
    with refused("ValidationException", "enum value set"):
        sagemaker.list_transform_jobs(SortBy="Beauty")


def test_tunings_are_listed_with_strategy_and_counters(sagemaker: LocalSageMaker) -> None:
    config = {"Strategy": "Bayesian", "ResourceLimits": {"MaxParallelTrainingJobs": 2}}
    add(sagemaker, TUNING, "tune", HyperParameterTuningJobConfig=config, TrainingJobStatusCounters={"Completed": 1})
    [tuning] = sagemaker.list_hyper_parameter_tuning_jobs()["HyperParameterTuningJobSummaries"]
    assert (tuning["Strategy"], tuning["ResourceLimits"]) == ("Bayesian", {"MaxParallelTrainingJobs": 2})
    assert tuning["TrainingJobStatusCounters"] == {"Completed": 1}


def test_trials_are_those_of_their_tuning_best_first(sagemaker: LocalSageMaker) -> None:
    add(sagemaker, TUNING, "tune")
    add(sagemaker, "training-job", "other", "Completed")
    for number, (value, status) in enumerate([(0.7, "Completed"), (0.9, "Stopped"), (None, "Failed")], start=1):
        add_trial(sagemaker, number, value, status)

    def listed(**request: Any) -> list[str]:
        request["HyperParameterTuningJobName"] = "tune"
        answer = sagemaker.list_training_jobs_for_hyper_parameter_tuning_job(**request)
        return [each["TrainingJobName"] for each in answer["TrainingJobSummaries"]]

    assert listed() == ["tune-001", "tune-002", "tune-003"]
    assert listed(SortBy="FinalObjectiveMetricValue", SortOrder="Descending") == ["tune-002", "tune-001"]
    assert listed(StatusEquals="Failed") == ["tune-003"]


def test_a_trial_shows_its_values_and_its_metric(sagemaker: LocalSageMaker) -> None:
    add(sagemaker, TUNING, "tune")
    add_trial(sagemaker, 1, 0.7)
    answer = sagemaker.list_training_jobs_for_hyper_parameter_tuning_job(HyperParameterTuningJobName="tune")
    [trial] = answer["TrainingJobSummaries"]
    assert trial["TunedHyperParameters"] == {"lr": "1"}
    assert trial["FinalHyperParameterTuningJobObjectiveMetric"]["Value"] == 0.7
    assert trial["TuningJobName"] == "tune"


def test_trials_of_no_tuning_are_refused(sagemaker: LocalSageMaker) -> None:
    with refused("ResourceNotFound"):
        sagemaker.list_training_jobs_for_hyper_parameter_tuning_job(HyperParameterTuningJobName="nobody")


def test_a_callback_is_answered_once(sagemaker: LocalSageMaker) -> None:
    sagemaker.store.add("callback", "token", {"pipelineExecutionArn": "arn:e"}, "InProgress")
    outputs = [{"Name": "a", "Value": "1"}]
    answer = sagemaker.send_pipeline_execution_step_success(CallbackToken="token", OutputParameters=outputs)
    assert answer == {"PipelineExecutionArn": "arn:e"}
    assert sagemaker.store.get("callback", "token").body["outputs"] == {"a": "1"}
    with refused("ConflictException", "already ended: Succeeded"):
        sagemaker.send_pipeline_execution_step_failure(CallbackToken="token", FailureReason="late")
    assert sagemaker.store.get("callback", "token").status == "Succeeded"


def test_an_unknown_token_is_refused(sagemaker: LocalSageMaker) -> None:
    with refused("ResourceNotFound", "'nobody'"):
        sagemaker.send_pipeline_execution_step_success(CallbackToken="nobody")
