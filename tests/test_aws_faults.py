"""Every call of every command fails once: the command says what was done and what was not, and can be repeated."""

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


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("throttled", ("executions", "--pipeline", "done", "--json")),
        (UNHEARD, ("show", "last", "--pipeline", "done")),
        ("broken", ("logs", "last", "Work", "--pipeline", "done")),
        (LOST, ("models", "--group", "reading")),
        (UNHEARD, ("versions", "--pipeline", "done")),
    ],
)
def test_who_only_reads_may_read_again(
    aws: Account, done: str, fault: str, words: tuple[str, ...], capsys: Capture
) -> None:
    aws.register("reading")
    said = each_call_fails(aws, capsys, fault, lambda number: words)
    assert len(said) >= 1
    assert all("this call changes nothing" in each or "wait a minute" in each for each in said)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_start_that_fails_anywhere_says_what_was_not_done(
    aws: Account, tmp_path: Path, fault: str, capsys: Capture
) -> None:
    """A new pipeline each time: three calls, and each of them fails once."""

    def words(number: int) -> tuple[str, ...]:
        token = f"token-of-{fault}-{number}".ljust(40, "0")
        return ("start", definition(tmp_path / f"{fault}-{number}.json"), "--role", ROLE, "--token", token)

    said = each_call_fails(aws, capsys, fault, words)
    assert len(said) == 3  # DescribePipeline, CreatePipeline, StartPipelineExecution
    assert "nothing was started" in said[0]
    assert "nothing was started" in said[1]
    uncertain = fault in ("broken", LOST, UNHEARD)
    assert ("whether an execution was started is not known" in said[2]) == uncertain
    assert [len(aws.executions(f"{fault}-{number}")) for number in (1, 2, 3, 4)] == [1] * 4


def test_a_plan_an_upsert_and_a_promotion_that_fail_anywhere_can_be_repeated(
    aws: Account, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    """Of a new pipeline each time; each call is done, and its answer lost."""
    monkeypatch.chdir(tmp_path)  # no pipeline.yaml: the code is in these definitions
    role = ROLE.replace("111122223333", "123456789012")  # with --target aws the placeholder account is refused
    names = [f"sent-{number}" for number in range(MOST_CALLS)]
    paths = [definition(tmp_path / f"{name}.json") for name in names]
    plans = [str(tmp_path / f"{name}.plan") for name in names]

    planned = each_call_fails(aws, capsys, LOST, lambda number: ("plan", paths[number], "-o", plans[number]))
    for number in range(1, 22):  # an upsert makes fewer calls
        Path(paths[number]).write_text(Path(paths[number]).read_text().replace(ROLE, role))
        assert command(capsys, "plan", paths[number], "-o", plans[number], *AWS)[0] == 0
    sent = each_call_fails(aws, capsys, LOST, lambda number: ("upsert", plans[number], "--role", role))
    promoted = each_call_fails(aws, capsys, LOST, lambda number: ("promote", "production", "--pipeline", names[number]))

    assert planned and len(sent) > 5 and len(promoted) > 1
    for number in range(1, len(promoted) + 1):
        rows = aws.clients.sagemaker.list_pipeline_versions(PipelineName=names[number])["PipelineVersionSummaries"]
        assert [sorted(row["PipelineVersionAliases"]) for row in rows] == [["current", "production"]]


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


@pytest.mark.parametrize("fault", ["throttled", UNHEARD])
def test_a_watch_outlasts_a_fault_at_each_single_call(aws: Account, done: str, fault: str, capsys: Capture) -> None:
    assert each_call_fails(aws, capsys, fault, lambda number: ("watch", done)) == []


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


@pytest.mark.parametrize(
    ("fault", "verb", "status"),
    [
        ("throttled", "approve", "Approved"),
        (UNHEARD, "approve", "Approved"),
        ("broken", "reject", "Rejected"),
        (LOST, "reject", "Rejected"),
    ],
)
def test_a_decision_that_fails_says_how_the_model_stands(
    aws: Account, fault: str, verb: str, status: str, capsys: Capture
) -> None:
    """A version that waits each time: what is decided already is not sent again."""
    group = f"{verb}-{fault}"

    def words(number: int) -> tuple[str, ...]:
        while aws.register(group) < number:
            pass
        return (verb, str(number), "--group", group, "--reason", "r")

    said = each_call_fails(aws, capsys, fault, words)
    assert len(said) == 3  # ListModelPackages, DescribeModelPackage, UpdateModelPackage
    assert ("as before" in said[-1]) == (fault == "throttled")
    assert (f"is {status} now is not known" in said[-1]) == (fault != "throttled")
    found = [aws.clients.sagemaker.describe_model_package(ModelPackageName=f"{group}/{n}") for n in (1, 2, 3, 4)]
    assert [each["ModelApprovalStatus"] for each in found] == [status] * 4


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
        ("show", identifier, "--pipeline", "retried", "--report"),
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
