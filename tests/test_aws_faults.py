"""Faults over real sockets, and of what runs on: waits, stops, resumptions. test_aws_each_call.py has all else."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from aws_account import AWS, ROLE, Account, account, command, definition
from aws_front import LOST, UNHEARD

from pipeline.control import executions, pipelines
from pipeline.local.server import LoopbackServer

Capture = pytest.CaptureFixture[str]
MOST_CALLS = 30


@pytest.fixture(scope="module")
def aws(server: LoopbackServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    with account(server, tmp_path_factory.mktemp("account")) as made:
        yield made


@pytest.fixture(scope="module")
def done(aws: Account, tmp_path_factory: pytest.TempPathFactory) -> str:
    return ended(aws, Path(definition(tmp_path_factory.mktemp("done") / "done.json")))


def ended(aws: Account, path: Path) -> str:
    """The ARN of an execution of this definition that has ended, in its own pipeline."""
    text = path.read_text()
    pipelines.upsert(aws.clients, path.stem, text)
    arn = pipelines.start(aws.clients, path.stem, text, {})
    executions.wait(aws.clients, arn, lambda execution, steps: None)
    return arn


def each_call_fails(aws: Account, capsys: Capture, fault: str, words: Callable[[int], tuple[str, ...]]) -> list[str]:
    """Runs the command with its first call at fault, its second one, …, each then again without; what each one said.

    `words(n)` is the command of the n-th round. Ends with a round in which no call was left to fail.
    """
    said = []
    for number in range(1, MOST_CALLS):
        aws.front.begin(lambda operation, count, number=number: fault if count == number else "")  # type: ignore[misc]
        code, _, err = command(capsys, *words(number), *AWS)
        failed = len(aws.front.calls) >= number
        aws.front.begin()
        if not failed:
            assert code == 0, err
            return said
        assert "Traceback" not in err
        if code:
            assert (code, "error: " in err, "\nhint:  " in err) == (1, True, True), err
            said.append(err)
            code, _, err = command(capsys, *words(number), *AWS)
            assert code == 0, err
    raise AssertionError(f"more than {MOST_CALLS} calls")


FAULTS = ("throttled", "broken", LOST, UNHEARD)


def test_a_start_without_a_token_says_with_which_it_is_harmless_to_repeat(
    aws: Account, tmp_path: Path, capsys: Capture
) -> None:
    path = definition(tmp_path / "untold.json")
    aws.front.begin(lambda operation, number: UNHEARD if operation == "StartPipelineExecution" else "")
    code, _, err = command(capsys, "start", path, "--role", ROLE, *AWS)
    aws.front.begin()
    again = next(line for line in err.splitlines() if "--token" in line).split()
    assert code == 1
    code, out, err = command(capsys, *again[again.index("start") :])
    assert (code, [row["PipelineExecutionArn"] for row in aws.executions("untold")]) == (0, out.split())


def test_the_watcher_of_an_execution_outlasts_each_fault(aws: Account, tmp_path: Path, capsys: Capture) -> None:
    """Once it is started, every third call is at fault, in turn in each way."""
    ways = [*FAULTS, "throttled"]

    def faults(operation: str, number: int) -> str:
        return ways[number // 3 % len(ways)] if number > 3 and number % 3 == 0 else ""

    path = definition(tmp_path / "watched.json", "import time\ntime.sleep(1)")
    aws.front.begin(faults)
    code, _, err = command(capsys, "start", path, "--wait", "--role", ROLE, *AWS)
    aws.front.begin()
    assert code == 0, err
    assert "the execution goes on, and so does this\n" in err
    assert "SageMaker answers again\n" in err
    assert "Work: succeeded after" in err


def test_a_watch_of_what_runs_outlasts_faults_of_its_logs_too(aws: Account, tmp_path: Path, capsys: Capture) -> None:
    program = "import time\nfor second in range(3): print('second', second, flush=True) or time.sleep(1)"
    code, out, _ = command(capsys, "start", definition(tmp_path / "logged.json", program), "--role", ROLE, *AWS)
    ways = [*FAULTS, "throttled"]
    aws.front.begin(lambda operation, number: ways[number // 4 % len(ways)] if number % 4 == 0 else "")
    code, told, err = command(capsys, "watch", out.strip(), *AWS)
    asked = set(aws.front.calls)
    aws.front.begin()
    assert (code, "Work: succeeded after" in told) == (0, True), err
    assert {"DescribeLogStreams", "GetLogEvents"} <= asked


def test_credentials_that_expire_while_it_runs_leave_it_running(aws: Account, tmp_path: Path, capsys: Capture) -> None:
    aws.front.begin(lambda operation, number: "expired" if number > 5 else "")
    path = definition(tmp_path / "expiring.json", "import time\ntime.sleep(1)")
    code, out, err = command(capsys, "start", path, "--wait", "--role", ROLE, *AWS)
    aws.front.begin()
    assert code == 1
    assert f"  execution {out.strip().rpartition('/')[2]} goes on\nhint:  sign in again" in err


@pytest.mark.parametrize("fault", ["throttled", UNHEARD])
def test_a_stop_that_fails_says_whether_it_was_asked(aws: Account, tmp_path: Path, fault: str, capsys: Capture) -> None:
    path = Path(definition(tmp_path / f"stopping-{fault}.json", "import time\ntime.sleep(60)"))
    pipelines.upsert(aws.clients, path.stem, path.read_text())
    arn = pipelines.start(aws.clients, path.stem, path.read_text(), {})
    aws.front.begin(lambda operation, number: fault if operation == "StopPipelineExecution" else "")
    code, _, err = command(capsys, "stop", arn, *AWS)
    aws.front.begin()
    uncertain = fault == UNHEARD
    assert code == 1
    assert ("was asked to stop is not known; to ask again does no harm" in err) == uncertain
    assert ("was not asked to stop" in err) == (not uncertain)
    assert command(capsys, "stop", arn, *AWS)[0] == 0
    assert executions.describe(aws.clients, arn)["PipelineExecutionStatus"] == "Stopped"


@pytest.mark.parametrize("fault", FAULTS)
def test_a_resume_that_fails_can_be_repeated(aws: Account, tmp_path: Path, fault: str, capsys: Capture) -> None:
    mark = tmp_path / "mark"
    program = f"import os, sys\nsys.exit(0 if os.path.exists({str(mark)!r}) else 3)"
    path = Path(definition(tmp_path / f"resuming-{fault}.json", program))
    arns = [ended(aws, path) for _ in range(2)]
    mark.write_text("")
    said = each_call_fails(aws, capsys, fault, lambda number: ("resume", arns[min(number, 2) - 1], "--no-wait"))
    assert len(said) == 1
    assert ("was resumed is not known" in said[0]) == (fault != "throttled")
    for arn in arns:
        execution = executions.wait(aws.clients, arn, lambda execution, steps: None)
        assert execution["PipelineExecutionStatus"] == "Succeeded"


def test_with_retries_a_fault_at_every_single_call_is_never_seen(
    aws: Account, tmp_path: Path, monkeypatch: Any, capsys: Capture
) -> None:
    """Each call is answered at its second attempt only; its first one ends in one of three ways."""
    ways = ("broken", LOST, UNHEARD)
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "3")
    aws.front.begin(lambda operation, number: ways[number // 2 % 3] if number % 2 else "")
    code, out, err = command(capsys, "start", definition(tmp_path / "retried.json"), "--wait", "--role", ROLE, *AWS)
    assert (code, "error" in err) == (0, False), err
    identifier = out.strip().rpartition("/")[2]
    version = aws.register("retried")
    for words in (
        ("executions", "--pipeline", "retried"),
        ("report", identifier, "--pipeline", "retried"),
        ("logs", identifier, "Work", "--pipeline", "retried"),
        ("approve", str(version), "--group", "retried"),
        ("models", "--group", "retried"),
    ):
        assert command(capsys, *words, *AWS)[0] == 0, words
    aws.front.begin()
    assert len(aws.executions("retried")) == 1


def test_throttling_at_the_start_is_waited_out(aws: Account, tmp_path: Path, monkeypatch: Any, capsys: Capture) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "4")
    aws.front.begin(lambda operation, number: "throttled" if number % 2 and number < 6 else "")
    code, _, err = command(capsys, "start", definition(tmp_path / "throttled.json"), "--role", ROLE, *AWS)
    aws.front.begin()
    assert (code, len(aws.executions("throttled"))) == (0, 1), err


def test_a_failed_step_is_told_though_its_log_cannot_be_read(aws: Account, tmp_path: Path, capsys: Capture) -> None:
    aws.front.begin(lambda operation, number: "denied" if operation == "DescribeLogStreams" else "")
    path = definition(tmp_path / "unread.json", "raise SystemExit(3)")
    code, _, err = command(capsys, "start", path, "--wait", "--role", ROLE, *AWS)
    aws.front.begin()
    assert code == 1
    assert "exit code  3\n  log        cannot be read: not allowed to sagemaker:DescribeLogStreams" in err
    assert "resume" in err


def test_what_is_shown_in_json_is_json_in_spite_of_faults(
    aws: Account, done: str, monkeypatch: Any, capsys: Capture
) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "2")
    aws.front.begin(lambda operation, number: LOST if number % 2 else "")
    code, out, _ = command(capsys, "show", done, "--json", *AWS)
    aws.front.begin()
    assert (code, json.loads(out)["PipelineExecutionStatus"]) == (0, "Succeeded")
