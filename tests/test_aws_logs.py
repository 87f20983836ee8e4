"""Logs of jobs out of CloudWatch Logs: which streams are a step's, and their lines over many pages."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from aws_account import Account, account

from pipeline.aws.logs import MOST_PAGES, CloudWatch
from pipeline.client import Clients, aws_client
from pipeline.control import logs
from pipeline.local.server import LoopbackServer

ARN = "arn:aws:sagemaker:us-east-1:111122223333"
LINES = [f"line {number}" for number in range(8)]  # of the front's pages of 3
TRAINING = "training-job"


@pytest.fixture
def aws(server: LoopbackServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    with account(server, tmp_path_factory.mktemp("account")) as made:
        yield made


@pytest.fixture
def clients(aws: Account) -> Clients:
    return aws_client("nowhere")


def step(kind: str, arn: str) -> dict[str, Any]:
    return {"StepName": "S", "Metadata": {kind: {"Arn": f"{ARN}:{arn}"}}}


def text(lines: list[str]) -> str:
    return "".join(f"{line}\n" for line in lines)


def test_a_step_has_a_log_for_each_host_in_order(aws: Account, clients: Clients) -> None:
    aws.log(TRAINING, "hosts", *["line\n"] * 12)
    aws.log(TRAINING, "hosts-2", "line\n")
    found = logs.paths(clients, step("TrainingJob", "training-job/hosts"))
    assert [path.rpartition("-")[0] for path in found] == [
        f"cloudwatch:/aws/sagemaker/TrainingJobs/hosts/algo-{host}" for host in range(1, 13)
    ]


def test_a_tuning_step_has_the_logs_of_its_trials_alone(aws: Account, clients: Clients) -> None:
    for job in ("tune-002-0a1b2c3d", "tune-001-0a1b2c3d", "tune-other"):
        aws.log(TRAINING, job, "line\n")
    found = logs.paths(clients, step("TuningJob", "hyper-parameter-tuning-job/tune"))
    assert [path.split("/")[-2] for path in found] == ["tune-001-0a1b2c3d", "tune-002-0a1b2c3d"]


@pytest.mark.parametrize("metadata", [{}, {"Condition": {"Outcome": "True"}}, {"ProcessingJob": {}}])
def test_a_step_without_a_job_has_no_log(clients: Clients, metadata: dict[str, Any]) -> None:
    assert logs.paths(clients, {"StepName": "S", "Metadata": metadata}) == []


def test_a_group_that_nothing_was_written_to_is_no_error(clients: Clients) -> None:
    assert logs.paths(clients, step("TransformJob", "transform-job/job")) == []


@pytest.mark.parametrize("last", [None, 0, 1, 2, 3, 4, 7, 8, 100])
def test_the_last_lines_are_those_of_the_whole(aws: Account, clients: Clients, last: int | None) -> None:
    job = f"last-{last}"
    aws.log(TRAINING, job, text(LINES))
    [path] = logs.paths(clients, step("TrainingJob", f"training-job/{job}"))
    lines, position = logs.read(clients, path, last)
    assert lines == (LINES if last is None else LINES[len(LINES) - min(last, len(LINES)) :])
    aws.log(TRAINING, job, text(["new", "newer", "3", "4"]))
    fresh, position = logs.after(clients, path, position)
    assert fresh == ["new", "newer", "3", "4"]
    assert logs.after(clients, path, position)[0] == []


@pytest.mark.parametrize(("most", "left_out"), [(3, True), (7, True), (8, False), (9, False)])
def test_the_end_says_whether_there_is_more_before_it(
    aws: Account, clients: Clients, most: int, left_out: bool
) -> None:
    aws.log(TRAINING, f"ending-{most}", text(LINES))
    [path] = logs.paths(clients, step("TrainingJob", f"training-job/ending-{most}"))
    assert logs.end(clients, path, most) == (LINES[-most:], left_out)


def test_of_a_log_without_end_no_more_is_asked_than_can_be_shown() -> None:
    calls: list[str] = []

    class Endless:
        def ask(self, operation: str, **_: Any) -> dict[str, Any]:
            calls.append(operation)
            turn = str(len(calls))
            return {"events": [{"message": turn}], "nextForwardToken": "end", "nextBackwardToken": turn}

    service: Any = Endless()
    lines, left_out = CloudWatch(service).end("cloudwatch:/aws/sagemaker/TrainingJobs/job/algo-1-17", 1000)
    assert (lines, left_out) == ([str(number) for number in range(MOST_PAGES, 0, -1)], True)
    assert len(calls) == MOST_PAGES


def test_an_event_of_several_lines_is_several_lines(aws: Account, clients: Clients) -> None:
    aws.log(TRAINING, "lines", "a\n\nc\rd\n")
    [path] = logs.paths(clients, step("TrainingJob", "training-job/lines"))
    assert logs.read(clients, path)[0] == ["a", "", "c", "d"]
    assert logs.read(clients, path, 2)[0] == ["c", "d"]
