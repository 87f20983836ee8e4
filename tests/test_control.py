"""What people do with pipelines and executions, over a client."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.client import Clients, local_client, pages
from pipeline.control import executions, logs, outcome, parameters, pipelines, times
from pipeline.control.remembering import remembering
from pipeline.errors import ConfigError, DarkroomError, ServiceError, StorageError, Unavailable
from pipeline.local import logs as local_logs

DECLARED = {
    "Threshold": {"Name": "Threshold", "Type": "Float", "DefaultValue": 0.9},
    "Epochs": {"Name": "Epochs", "Type": "Integer", "DefaultValue": 2},
    "Machine": {"Name": "Machine", "Type": "String", "EnumValues": ["ml.m5.xlarge", "ml.m5.2xlarge"]},
    "Fast": {"Name": "Fast", "Type": "Boolean", "DefaultValue": True},
}
NOTHING = json.dumps({"Version": "2020-12-01", "Metadata": {}, "Parameters": [], "Steps": []})


@pytest.fixture
def clients(tmp_path: Path) -> Clients:
    return local_client(str(tmp_path / "home"))


# steps


def test_steps_that_start_in_one_millisecond_keep_their_order() -> None:
    """The service lists the newest first."""
    at = datetime(2026, 1, 1, tzinfo=UTC)
    rows = [{"StepName": name, "StartTime": at} for name in ("c", "b", "a")]
    service = SimpleNamespace(list_pipeline_execution_steps=lambda **_: {"PipelineExecutionSteps": rows})
    assert [step["StepName"] for step in executions.steps(Clients(service, None, None, ""), "arn")] == ["a", "b", "c"]


# parameters


def test_assignments_are_read_up_to_the_first_equals_sign() -> None:
    assert parameters.parse(["Uri=s3://bucket/a=b/", "Empty="]) == {"Uri": "s3://bucket/a=b/", "Empty": ""}


def test_all_assignments_that_cannot_be_read_are_told_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        parameters.parse(["Threshold", "=3", "Epochs=1", "Epochs=2"])
    assert caught.value.problems == (
        "'Threshold' is not of the form Parameter=value",
        "'=3' is not of the form Parameter=value",
        "Epochs is given twice: '1' and '2'",
    )


def test_values_go_to_the_service_as_text() -> None:
    checked = parameters.check(DECLARED, {"Threshold": "0.5", "Epochs": "-3", "Fast": "False"})
    assert checked == [
        {"Name": "Threshold", "Value": "0.5"},
        {"Name": "Epochs", "Value": "-3"},
        {"Name": "Fast", "Value": "False"},
    ]


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("Treshold", "1", "there is no parameter 'Treshold'; did you mean 'Threshold'?"),
        ("threshold", "1", "did you mean 'Threshold'?"),
        ("Epochs", "2.5", "Epochs is of type Integer: '2.5' is not"),
        ("Epochs", "", "Epochs is of type Integer"),
        ("Epochs", "2147483648", "Epochs is of type Integer"),
        ("Epochs", "9" * 5000, "Epochs has 5000 characters; SageMaker takes 1024"),
        ("Epochs", "²", "Epochs is of type Integer"),
        ("Threshold", "high", "Threshold is of type Float: 'high' is not (write 0.9)"),
        ("Threshold", "nan", "Threshold is of type Float"),
        ("Threshold", "inf", "Threshold is of type Float"),
        ("Threshold", "1_0", "Threshold is of type Float"),
        ("Threshold", " 0.5", "Threshold is of type Float"),
        ("Fast", "yes", "Fast is of type Boolean"),
        ("Machine", "ml.m5.xlarg", "did you mean 'ml.m5.xlarge'?; allowed: ml.m5.xlarge, ml.m5.2xlarge"),
    ],
)
def test_a_value_that_does_not_fit_is_refused_with_what_would(name: str, value: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parameters.check(DECLARED, {name: value})
    assert said in caught.value.message
    assert "Threshold (Float)" in caught.value.hint


def test_all_values_that_do_not_fit_are_told_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        parameters.check(DECLARED, {"Epochs": "x", "Other": "1", "Fast": "true"})
    assert len(caught.value.problems) == 2


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_every_finite_number_is_a_float(number: float) -> None:
    assert parameters.check(DECLARED, {"Threshold": repr(number)})


def test_a_boolean_is_told_in_one_spelling_whoever_wrote_it() -> None:
    declared = {"On": {"Type": "Boolean", "DefaultValue": True}, "Off": {"Type": "Boolean", "DefaultValue": False}}
    assert parameters.told(declared, {}) == [("On", "true", ""), ("Off", "false", "")]
    assert parameters.told(declared, {"On": "True", "Off": "True"}) == [("On", "true", ""), ("Off", "true", "false")]
    words = {"Word": {"Type": "String", "DefaultValue": "True"}, "None": {"Type": "String"}}
    assert parameters.told(words, {}) == [("Word", "True", ""), ("None", "", "")]


# pipelines


def test_an_upsert_of_the_same_definition_makes_no_new_version(clients: Clients) -> None:
    for _ in range(3):
        pipelines.upsert(clients, "p", NOTHING)
    assert len(clients.sagemaker.list_pipeline_versions(PipelineName="p")["PipelineVersionSummaries"]) == 1


def test_an_upsert_of_another_definition_updates(clients: Clients) -> None:
    changed = NOTHING.replace('"Metadata": {}', '"Metadata": {"a": "b"}')
    first = pipelines.upsert(clients, "p", NOTHING, description="one")
    assert pipelines.upsert(clients, "p", changed, description="two") == first
    described = clients.sagemaker.describe_pipeline(PipelineName="p")
    assert (described["PipelineDefinition"], described["PipelineDescription"]) == (changed, "two")


def test_tags_that_changed_in_pipeline_yaml_reach_a_pipeline_that_exists(clients: Clients) -> None:
    pipelines.upsert(clients, "p", NOTHING, tags=[{"Key": "team", "Value": "vision"}])
    arn = pipelines.upsert(
        clients, "p", NOTHING, tags=[{"Key": "team", "Value": "audio"}, {"Key": "cost", "Value": "1"}]
    )
    pipelines.upsert(clients, "p", NOTHING)
    tags = {tag["Key"]: tag["Value"] for tag in clients.sagemaker.list_tags(ResourceArn=arn)["Tags"]}
    assert tags == {"team": "audio", "cost": "1"}


def test_nothing_starts_with_a_parameter_that_does_not_exist(clients: Clients) -> None:
    pipelines.upsert(clients, "p", NOTHING)
    with pytest.raises(ConfigError):
        pipelines.start(clients, "p", NOTHING, {"X": "1"})
    assert executions.newest_first(clients) == []


# executions


def arn(name: str, identifier: str) -> str:
    return f"arn:aws:sagemaker:us-east-1:111122223333:pipeline/{name}/execution/{identifier}"


def at(seconds: float) -> datetime:
    return datetime.fromtimestamp(1_700_000_000 + seconds, UTC)


class FakeSageMaker:
    """Answers from lists; `looks` are what describe_pipeline_execution says one after the other."""

    def __init__(self, known: dict[str, list[tuple[str, float]]] | None = None, looks: list[str] | None = None) -> None:
        self.known = known or {}
        self.looks = list(looks or [])
        self.asked: list[str] = []

    def list_pipelines(self, MaxResults: int) -> dict[str, Any]:
        return {"PipelineSummaries": [{"PipelineName": name} for name in self.known]}

    def list_pipeline_executions(self, PipelineName: str, MaxResults: int) -> dict[str, Any]:
        rows = [
            {"PipelineExecutionArn": arn(PipelineName, identifier), "StartTime": at(when)}
            for identifier, when in self.known[PipelineName]
        ]
        return {"PipelineExecutionSummaries": rows}

    def describe_pipeline_execution(self, PipelineExecutionArn: str) -> dict[str, Any]:
        self.asked.append("execution")
        return {"PipelineExecutionArn": PipelineExecutionArn, "PipelineExecutionStatus": self.looks.pop(0)}

    def list_pipeline_execution_steps(self, PipelineExecutionArn: str, MaxResults: int) -> dict[str, Any]:
        self.asked.append("steps")
        rows = [{"StepName": "Second", "StartTime": at(2)}, {"StepName": "First", "StartTime": at(1)}]
        return {"PipelineExecutionSteps": rows}


def fake(sagemaker: Any, home: str = "/nowhere") -> Clients:
    return Clients(sagemaker, sagemaker, None, home)


KNOWN = {"a": [("abc123", 1), ("abd456", 5)], "b": [("xyz789", 9), ("abc", 3)]}


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ("", arn("b", "xyz789")),
        ("last", arn("b", "xyz789")),
        ("abd456", arn("a", "abd456")),
        ("x", arn("b", "xyz789")),
        ("abc", arn("b", "abc")),
        (arn("a", "abc123"), arn("a", "abc123")),
    ],
)
def test_an_execution_is_found_by_id_beginning_arn_or_as_the_newest(wanted: str, found: str) -> None:
    assert executions.find(fake(FakeSageMaker(KNOWN)), wanted) == found


@pytest.mark.parametrize(
    ("wanted", "said"), [("ab", "several executions: abd456, abc, abc123"), ("q", "no execution 'q'")]
)
def test_an_execution_that_is_not_clear_is_refused(wanted: str, said: str) -> None:
    with pytest.raises(DarkroomError, match=said):
        executions.find(fake(FakeSageMaker(KNOWN)), wanted)


def test_without_any_execution_the_hint_is_to_run() -> None:
    with pytest.raises(DarkroomError) as caught:
        executions.find(fake(FakeSageMaker({})), "last")
    assert caught.value.hint == "darkroom run"


def test_waiting_shows_the_steps_of_the_very_last_look() -> None:
    service = FakeSageMaker(looks=["Executing", "Executing", "Failed"])
    seen: list[tuple[str, list[str]]] = []
    ended = executions.wait(
        fake(service),
        arn("a", "x"),
        lambda execution, steps: seen.append((execution["PipelineExecutionStatus"], [s["StepName"] for s in steps])),
    )
    assert ended["PipelineExecutionStatus"] == "Failed"
    assert seen == [("Executing", ["First", "Second"])] * 2 + [("Failed", ["First", "Second"])]
    assert service.asked == ["execution", "steps"] * 3


class Clock:
    """Time that passes while somebody pauses; the service does not answer between `since` and `until`."""

    def __init__(self, since: float, until: float, ends: float) -> None:
        self.now, self.since, self.until, self.ends = 0.0, since, until, ends
        self.looks = 0

    def __call__(self) -> float:
        return self.now

    def pause(self, seconds: float) -> None:
        self.now += 100 * seconds

    def describe_pipeline_execution(self, PipelineExecutionArn: str) -> dict[str, Any]:
        self.looks += 1
        if self.since <= self.now < self.until:
            raise Unavailable("NoAnswer", "no answer")
        return {"PipelineExecutionStatus": "Succeeded" if self.now >= self.ends else "Executing"}

    def list_pipeline_execution_steps(self, **_: Any) -> dict[str, Any]:
        return {"PipelineExecutionSteps": []}


def waited(clock: Clock, said: list[Unavailable | None]) -> dict[str, Any]:
    clients = fake(clock)._replace(pause=clock.pause)
    return executions.wait(clients, arn("a", "x"), lambda execution, steps: None, said.append, clock)


def test_an_hour_without_answers_is_waited_out_and_told_twice() -> None:
    said: list[Unavailable | None] = []
    clock = Clock(since=60, until=3660, ends=4000)
    assert waited(clock, said)["PipelineExecutionStatus"] == "Succeeded"
    assert [str(each) for each in said] == ["no answer", "None"]
    assert clock.looks > 100


def test_a_service_that_never_comes_back_ends_the_waiting() -> None:
    clock = Clock(since=60, until=1e9, ends=1e9)
    with pytest.raises(Unavailable):
        waited(clock, [])
    assert clock.now > executions.PATIENCE_S


def test_a_refusal_ends_the_waiting_at_once() -> None:
    service = SimpleNamespace(describe_pipeline_execution=refuse)
    with pytest.raises(ServiceError, match="expired"):
        executions.wait(fake(service), arn("a", "x"), lambda execution, steps: None)


def refuse(**_: Any) -> None:
    raise ServiceError("ExpiredToken", "expired")


@pytest.mark.parametrize(
    ("metadata", "kind"),
    [
        ({"TuningJob": {"Arn": "a"}}, "Tuning"),
        ({"RegisterModel": {"Arn": "a"}}, "RegisterModel"),
        ({"Condition": {"Outcome": "True"}}, "Condition"),
        ({"Fail": {"ErrorMessage": "too low"}}, "Fail"),
        ({}, ""),
    ],
)
def test_a_steps_type_is_read_off_its_metadata_where_alone_aws_tells_it(metadata: dict[str, Any], kind: str) -> None:
    service = FakeSageMaker()
    service.list_pipeline_execution_steps = lambda **_: {  # type: ignore[method-assign]
        "PipelineExecutionSteps": [{"StepName": "S", "Metadata": metadata}]
    }
    assert [row["StepType"] for row in executions.steps(fake(service), arn("a", "x"))] == [kind]


@pytest.mark.parametrize(
    ("elapsed", "cost", "pause"), [(0.0, 0.0, 0.02), (1.0, 0.0, 0.04), (1000.0, 0.0, 0.25), (1.0, 0.5, 2.0)]
)
def test_the_pause_grows_with_the_wait_and_with_what_a_look_costs(elapsed: float, cost: float, pause: float) -> None:
    assert executions.pause(elapsed, cost) == pytest.approx(pause)


def test_pages_follow_the_token_to_the_end() -> None:
    cut = {None: {"Rows": [1, 2], "NextToken": "t"}, "t": {"Rows": [], "NextToken": "u"}, "u": {"Rows": [3]}}
    operation: Callable[..., dict[str, Any]] = lambda MaxResults, Kind, NextToken=None: cut[NextToken]  # noqa: E731
    assert list(pages(operation, "Rows", Kind="k")) == [1, 2, 3]


# outcome


@pytest.mark.parametrize(
    ("job", "phrase"),
    [
        ({"HyperParameterTuningJobConfig": {"ResourceLimits": {"MaxNumberOfTrainingJobs": 8}}}, "0/8 trials"),
        (
            {
                "HyperParameterTuningJobConfig": {"ResourceLimits": {"MaxNumberOfTrainingJobs": 8}},
                "TrainingJobStatusCounters": {"Completed": 2, "InProgress": 1, "NonRetryableError": 1},
                "BestTrainingJob": {
                    "FinalHyperParameterTuningJobObjectiveMetric": {"MetricName": "accuracy", "Value": 0.97123}
                },
            },
            "3/8 trials, best accuracy 0.9712",
        ),
    ],
)
def test_a_tuning_step_says_trials_done_and_the_best_so_far(job: dict[str, Any], phrase: str) -> None:
    service = SimpleNamespace(describe_hyper_parameter_tuning_job=lambda HyperParameterTuningJobName: job)
    tuning_arn = "arn:aws:sagemaker:us-east-1:111122223333:hyper-parameter-tuning-job/t"
    step = {"StepName": "T", "StepType": "Tuning", "Metadata": {"TuningJob": {"Arn": tuning_arn}}}
    assert outcome.now(fake(service), step) == phrase


def test_of_many_metrics_the_accuracy_is_said_first() -> None:
    phrase = outcome.metrics_phrase({"train_loss": 0.5, "validation_accuracy": 0.98765, "validation_loss": 0.1})
    assert phrase == "validation_accuracy 0.9877  train_loss 0.5"


def test_a_cache_miss_names_what_differed() -> None:
    step = {"Darkroom": {"CacheMiss": ["HyperParameters.lr", "InputDataConfig"]}}
    assert outcome.cache_phrase(step) == "miss: HyperParameters.lr, InputDataConfig"


@pytest.mark.parametrize(
    "report", [{}, {"multiclass_classification_metrics": {"accuracy": {"value": "NaN"}}}, {"a": 1}]
)
def test_a_report_without_a_number_has_no_accuracy(report: dict[str, Any]) -> None:
    assert outcome.accuracy(report) is None


@pytest.mark.parametrize(
    ("about", "names", "found"),
    [
        ("A pipeline. Parameters: One: first; only so; Two: 2: second.", "One Two", ["first; only so", "2: second"]),
        ("Parameters: Two: of Two; One: of One.", "Two One Three", ["of Two", "of One"]),
        ("Parameters: LikeOne: other; Two: b", "One Two", ["b"]),
        ("Somebody's own.", "One", []),
        ("Parameters: One: a.", "", []),
    ],
)
def test_what_parameters_mean_is_read_out_of_a_pipelines_description(about: str, names: str, found: list[str]) -> None:
    assert list(parameters.meanings(about, names.split()).values()) == found


# logs and times


def test_the_logs_of_a_step_with_several_processes_come_in_order(tmp_path: Path) -> None:
    for name in ("T.log", "T-2.log", "T-10.log", "Tx.log"):
        (tmp_path / name).write_text("")
    found = local_logs.paths({"Darkroom": {"LogPath": str(tmp_path / "T.log")}})
    assert [os.path.basename(path) for path in found] == ["T.log", "T-2.log", "T-10.log"]


def test_the_tail_of_a_log_is_its_last_lines(tmp_path: Path) -> None:
    path = tmp_path / "s.log"
    path.write_bytes(b"".join(b"line %d\n" % number for number in range(20_000)) + b"\xff end")
    assert local_logs.read(str(path), 2)[0] == ["line 19999", "\ufffd end"]


@pytest.mark.parametrize("count", [0, 3, 3000, 20_000, 30_000])
def test_as_many_lines_of_a_logs_end_are_read_as_were_asked_for(tmp_path: Path, count: int) -> None:
    lines = [f"{number} {'x' * 50}" for number in range(20_000)]
    path = tmp_path / "s.log"
    path.write_text("\n".join(lines) + "\n")
    assert local_logs.read(str(path), count)[0] == lines[len(lines) - min(count, len(lines)) :]


def test_of_a_huge_log_the_end_is_read_and_what_is_left_out_is_told(tmp_path: Path) -> None:
    path = str(tmp_path / "s.log")
    Path(path).write_text("line\n" * 9)
    assert local_logs.end(path, 9) == (["line"] * 9, False)
    assert local_logs.end(path, 8) == (["line"] * 8, True)
    with open(path, "r+b") as file:
        file.truncate(2 * local_logs.MOST_BYTES)  # a line of nothing, as long as that
        file.seek(0, os.SEEK_END)
        file.write(b"\nlast\n")
    assert local_logs.end(path, 9) == (["last"], True)


def test_whoever_remembers_archives_refuses_those_that_are_too_large_all_the_same() -> None:
    asked: list[int] = []

    class Storage:
        def get_bytes(self, uri: str, most: int = 0) -> bytes:
            asked.append(most)
            if 0 < most < 5:
                raise StorageError(f"{uri} has more than {most} bytes")
            return b"12345"

    found = remembering(Clients(None, None, Storage(), "")).storage
    for _ in range(2):
        with pytest.raises(StorageError, match="more than 4 bytes"):
            found.get_bytes("s3://b/output.tar.gz", 4)
    assert [found.get_bytes("s3://b/output.tar.gz", most) for most in (5, 0, 9)] == [b"12345"] * 3
    with pytest.raises(StorageError, match="more than 4 bytes"):
        found.get_bytes("s3://b/output.tar.gz", 4)
    assert asked == [4, 5]


def test_a_step_is_found_however_it_is_capitalised_unless_another_one_is_called_so() -> None:
    steps = [{"StepName": "train"}, {"StepName": "Train"}]
    assert logs.step_named(steps, "Train")["StepName"] == "Train"
    assert logs.step_named(steps[:1], "TRAIN")["StepName"] == "train"


def test_an_unknown_step_is_answered_with_the_known_ones() -> None:
    with pytest.raises(DarkroomError) as caught:
        logs.step_named([{"StepName": "TrainModel"}], "TrainModle")
    assert "did you mean 'TrainModel'?" in caught.value.message


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.04, "40 ms"), (59.94, "59.9 s"), (75, "1 m 15 s"), (3600, "1 h 00 m"), (7385, "2 h 03 m")]
)
def test_durations_read_well(seconds: float, words: str) -> None:
    assert times.duration(seconds) == words
