"""`darkroom watch`: an hour of faults in no time, hostile logs, and the command itself on this machine."""

from __future__ import annotations

import io
import os
import pty
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from aws_account import definition
from troubled_account import ARN, HOUR, KINDS, READS, Account, any_fault

from pipeline.__main__ import main
from pipeline.aws.logs import CloudWatch
from pipeline.cli.follow import Manner, to_its_end
from pipeline.cli.plain import PlainView
from pipeline.cli.text import tame
from pipeline.client import Clients, local_client
from pipeline.control import executions
from pipeline.control.tails import LONGEST_LINE, MOST_STREAMS, Excerpt, Tails
from pipeline.errors import ServiceError, Unavailable
from pipeline.local import logs as files
from pipeline.local.images import register_image

ROOT = Path(__file__).parent.parent
Capture = pytest.CaptureFixture[str]


def watched(account: Account, lines: int = 20) -> tuple[int, list[str]]:
    """Exit code, and what was printed."""
    out = io.StringIO()
    view = PlainView(account.clients, Tails(account.clients, lines, account.clock), out, account.clock)
    code = to_its_end(account.clients, ARN, ["watch", "abc123"], Manner(view, lambda *_: None, account.clock))
    return code, out.getvalue().splitlines()


# an hour of faults


@pytest.mark.parametrize(("status", "code"), [("Succeeded", 0), ("Failed", 1), ("Stopped", 1)])
def test_after_an_hour_of_faults_the_end_is_told_right(status: str, code: int, capsys: Capture) -> None:
    account = Account(any_fault(0.4, outage=(2000, 2600)), status)
    assert watched(account)[0] == code
    assert HOUR <= account.now < HOUR + 60
    met = {(operation, fault) for operation, _, fault, _ in account.calls if fault}
    assert met >= {(operation, kind) for operation in READS for kind in KINDS}
    assert "the execution goes on, and so does this" in capsys.readouterr().err


def test_in_spite_of_faults_all_steps_are_told_and_no_line_of_a_log_twice() -> None:
    _, lines = watched(Account(any_fault(0.4, outage=(2000, 2600))))
    told = [line for line in lines if " | " not in line]
    for name in ("Prepare", "Tune", "Train", "Evaluate"):
        assert [line for line in told if line.startswith(f"{name}: started")] == [f"{name}: started"]
        assert [line for line in told if line.startswith(f"{name}: succeeded after ")] != []
    assert "Tune: 2/4 trials" in told
    assert "Train: accuracy 0.5" in told
    sources = {line.partition(" | ")[0] for line in lines if " | " in line}
    assert sources == {"Prepare", "Tune/1", "Tune/2", "Tune/3", "Tune/4", "Train/1", "Train/2", "Evaluate"} | (
        sources & {"Tune", "Train"}  # while there is one log
    )
    for step, numbers in numbers_of(lines).items():
        assert numbers == sorted(set(numbers)), step


def numbers_of(lines: list[str]) -> dict[str, list[int]]:
    """Host or trial → the numbers of its lines, as they were printed."""
    found: dict[str, list[int]] = {}
    for line in lines:
        source, bar, text = line.partition(" | ")
        if bar and text.startswith("line "):
            found.setdefault({"Tune": "Tune/1", "Train": "Train/1"}.get(source, source), []).append(int(text[5:]))
    return found


def test_without_faults_every_line_is_shown_once_it_is_there() -> None:
    numbers = numbers_of(watched(Account(lambda operation, now: ""))[1])
    for source, count in (("Prepare", 70), ("Train/1", 204), ("Train/2", 146)):
        assert numbers[source] == list(range(numbers[source][-1] + 1))
        assert count <= len(numbers[source]) <= count + 3


def test_an_account_is_asked_seldom_and_logs_only_of_jobs_that_run() -> None:
    account = Account(lambda operation, now: "")
    watched(account)
    assert len(account.calls) < HOUR  # less than one a second; an account may ask 25 times
    ends = {"prepare": 600, "tune": 1800, "train": 3300, "evaluate": HOUR}
    for operation, now, _, request in account.calls:
        if operation == "GetLogEvents":
            step = request["logStreamName"].partition("/")[0].partition("-")[0]
            assert now <= ends[step] + 15
    streams = [now for operation, now, _, _ in account.calls if operation == "DescribeLogStreams"]
    assert len([now for now in streams if 2300 < now < 3200]) <= 90  # every ten seconds at most


def test_credentials_that_expire_end_it_with_a_clear_error() -> None:
    account = Account(lambda operation, now: "expired" if now > 1000 else "")
    with pytest.raises(ServiceError) as caught:
        watched(account)
    assert "AWS's credentials have expired" in caught.value.message
    assert caught.value.message.endswith("\n  execution abc123 goes on")
    assert "sign in again" in caught.value.hint
    assert account.now < 1060


def test_a_service_that_never_answers_again_is_given_up_after_two_hours() -> None:
    account = Account(lambda operation, now: "unreached" if now > 100 else "")
    with pytest.raises(Unavailable):
        watched(account)
    assert 2 * HOUR < account.now < 2 * HOUR + 600


def test_who_may_not_read_logs_watches_without_them() -> None:
    account = Account(lambda operation, now: "denied" if "Log" in operation else "")
    code, lines = watched(account)
    said = [line for line in lines if "the log cannot be read" in line]
    assert (code, len(said)) == (0, 1)
    assert "not allowed to logs:DescribeLogStreams" in said[0]
    assert sum("Log" in operation for operation, *_ in account.calls) == 1


def test_without_lines_no_log_is_asked_for() -> None:
    account = Account(lambda operation, now: "")
    assert watched(account, lines=0)[0] == 0
    assert not any("Log" in operation for operation, *_ in account.calls)


# tails


def clients_of(logs: Any) -> Clients:
    return Clients(None, None, None, "", lambda _: None, logs)


def running(path: Path, status: str = "Executing", arn: str = "a", name: str = "S") -> dict[str, Any]:
    own = {"LogPath": str(path)}
    return {"StepName": name, "StepType": "Training", "StepStatus": status, "Metadata": {"J": arn}, "Darkroom": own}


def looks(tails: Tails, *steps: dict[str, Any]) -> list[Excerpt]:
    return list(tails.look(list(steps)))


def test_a_log_that_grows_fast_is_shown_by_its_end(tmp_path: Path) -> None:
    log = tmp_path / "S.log"
    log.write_text("".join(f"{number}\n" for number in range(100)))
    tails = Tails(clients_of(files), 3)
    assert looks(tails, running(log)) == [Excerpt("S", "S", ["97", "98", "99"], True)]
    log.write_text(log.read_text() + "new\nhal")
    assert looks(tails, running(log)) == [Excerpt("S", "S", ["new"], False)]
    with log.open("a") as file:
        file.write("f\n" + "x" * 70 * 1024 + "\nend\n")
    assert looks(tails, running(log)) == [Excerpt("S", "S", ["end"], True)]
    assert looks(tails, running(log)) == []


def test_one_line_without_end_takes_little_room(tmp_path: Path) -> None:
    log = tmp_path / "S.log"
    log.write_bytes(b"x" * (10 << 20))
    [excerpt] = looks(Tails(clients_of(files), 3), running(log))
    assert [len(line) for line in excerpt.lines] == [LONGEST_LINE]


def test_a_step_that_has_ended_is_read_once_more_and_then_no_more(tmp_path: Path) -> None:
    log = tmp_path / "S.log"
    log.write_text("a\n")
    tails = Tails(clients_of(files), 3)
    looks(tails, running(log))
    log.write_text("a\nlast\n")
    assert [excerpt.lines for excerpt in looks(tails, running(log, "Succeeded"))] == [["last"]]
    log.write_text("a\nlast\nof another one\n")
    assert looks(tails, running(log, "Succeeded")) == []


def test_what_had_ended_before_is_not_read_at_all(tmp_path: Path) -> None:
    log = tmp_path / "S.log"
    log.write_text("a\n")
    assert looks(Tails(clients_of(files), 3), running(log, "Succeeded"), running(log, "Failed", name="T")) == []


def test_a_step_that_is_resumed_goes_on_in_its_file_without_repeating_it(tmp_path: Path) -> None:
    log = tmp_path / "S.log"
    log.write_text("first\n")
    tails = Tails(clients_of(files), 3)
    looks(tails, running(log))
    log.write_text("first\nsecond\n")
    assert [excerpt.lines for excerpt in looks(tails, running(log, arn="b"))] == [["second"]]


def test_of_many_hosts_each_has_its_turn(tmp_path: Path) -> None:
    log = tmp_path / "S.log"
    for host in range(1, 21):
        (tmp_path / f"S-{host}.log").write_text(f"{host}\n")
    log.write_text("main\n")
    tails = Tails(clients_of(files), 3)
    seen = [looks(tails, running(log)) for _ in range(3)]
    assert [len(excerpts) for excerpts in seen] == [MOST_STREAMS, MOST_STREAMS, 21 - 2 * MOST_STREAMS]
    assert {excerpt.source for excerpts in seen for excerpt in excerpts} == {f"S/{host}" for host in range(1, 21)}


def test_a_stream_that_is_cut_into_small_pages_is_read_to_its_end() -> None:
    """And one that has more than is shown is asked for its end, in few calls."""
    lines = [f"{number}" for number in range(1000)]
    asked = []

    def events(startFromHead: bool, limit: int, nextToken: str = "", **_: Any) -> dict[str, Any]:
        asked.append(nextToken)
        way, _, place = (nextToken or ("f/0" if startFromHead else f"b/{len(lines)}")).partition("/")
        at = int(place)
        first, last = (at, min(at + limit, len(lines))) if way == "f" else (max(0, at - limit), at)
        shown = [{"message": line} for line in lines[first:last]]
        return {"events": shown, "nextForwardToken": f"f/{last}", "nextBackwardToken": f"b/{first}"}

    logs = CloudWatch(SimpleNamespace(ask=lambda name, **request: events(**request)))
    path = "cloudwatch:/aws/sagemaker/TrainingJobs/job/algo-1-17"
    shown, position, left_out = logs.fresh(path, None, 5)
    assert (shown, left_out) == (lines[-5:], True)
    lines += ["a", "b"]
    shown, position, left_out = logs.fresh(path, position, 5)
    assert (shown, left_out) == (["a", "b"], False)
    lines += [f"new {number}" for number in range(500)]
    asked.clear()
    shown, position, left_out = logs.fresh(path, position, 5)
    assert (shown, left_out) == (lines[-5:], True)
    assert len(asked) <= 3
    assert logs.fresh(path, position, 5)[0] == []


# hostile lines


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07text", "text"),
        ("\x1b]8;;http://evil\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1b]52;c;aGVsbG8=", ""),
        ("\x9b2Jclear", "clear"),
        ("\x1bcreset\x1b(B", "reset"),
        ("a\rb\x08c\x00", "a�b�c�"),
        ("\u202egnp.exe", "�gnp.exe"),
        ("tab\tbed", "tab bed"),
        ("x" * 50, "x" * 19 + "…"),
        ("\x1b" * 30, "�" * 19 + "…"),
        ("", ""),
    ],
)
def test_no_line_drives_a_terminal(text: str, shown: str) -> None:
    assert tame(text, 20) == shown


def test_no_line_of_a_log_is_a_command_to_a_ci_system(tmp_path: Path) -> None:
    log = tmp_path / "S.log"
    log.write_text("::set-output name=a::b\n##vso[task]\nS: succeeded after 1 s\n")
    out = io.StringIO()
    step = {**running(log), "StepType": "Processing"}
    PlainView(clients_of(files), Tails(clients_of(files), 9), out)({}, [step])
    assert out.getvalue().splitlines() == [
        "S: started",
        "S | ::set-output name=a::b",
        "S | ##vso[task]",
        "S | S: succeeded after 1 s",
    ]


# the command


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Clients:
    monkeypatch.setenv("DARKROOM_HOME", str(tmp_path / "home"))
    clients = local_client(str(tmp_path / "home"))
    register_image(clients.sagemaker.store, "img*", [sys.executable])
    return clients


def started(clients: Clients, path: Path, program: str) -> str:
    text = Path(definition(path, program)).read_text()
    role = "arn:aws:iam::111122223333:role/darkroom"
    clients.sagemaker.create_pipeline(PipelineName=path.stem, PipelineDefinition=text, RoleArn=role)
    return str(clients.sagemaker.start_pipeline_execution(PipelineName=path.stem)["PipelineExecutionArn"])


def test_a_running_execution_is_watched_to_its_end(home: Clients, tmp_path: Path, capsys: Capture) -> None:
    mark = tmp_path / "mark"
    arn = started(home, tmp_path / "watched.json", waiting("'\\x1b[2J' + 'y' * 3000", mark) + "\nprint('the end')")
    with watching(tmp_path, arn) as process:
        assert process.stdout is not None and process.stderr is not None
        lines = [process.stdout.readline() for _ in range(2)]
        mark.touch()
        lines += process.stdout.readlines()
        err = process.stderr.read()
    assert process.returncode == 0
    assert lines[:2] == ["Work: started\n", "Work | " + "y" * 1992 + "…\n"]
    assert lines[2] == "Work | the end\n"
    assert lines[3].startswith("Work: succeeded after ")
    assert err == f"{executions.identifier(arn)} is Succeeded\n"
    assert main(["watch", arn]) == 0  # it has ended by now
    assert capsys.readouterr().out.splitlines(keepends=True) == lines[3:]


def waiting(said: str, mark: Path) -> str:
    """A program that says something, and goes on when there is this file."""
    return f"import os, time\nprint({said}, flush=True)\nwhile not os.path.exists({str(mark)!r}): time.sleep(0.05)"


def watching(folder: Path, arn: str, **more: Any) -> subprocess.Popen[str]:
    argv = [sys.executable, "-m", "pipeline", "watch", arn]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8", "TERM": "xterm"}
    pipes: dict[str, Any] = dict(more or {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE})
    # a shell starts what it puts into the background with SIGINT ignored, and tests may run there
    pipes["preexec_fn"] = lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)
    return subprocess.Popen(argv, env=environment, cwd=folder, text=True, encoding="utf-8", **pipes)


def test_a_failed_one_is_explained_and_watched_again_when_it_is_resumed(
    home: Clients, tmp_path: Path, capsys: Capture
) -> None:
    mark = tmp_path / "mark"
    program = f"import os, sys\nprint('said')\nsys.exit(0 if os.path.exists({str(mark)!r}) else 3)"
    arn = started(home, tmp_path / "resumed.json", program)
    identifier = executions.identifier(arn)
    for _ in range(2):
        assert main(["watch", identifier]) == 1
        said = capsys.readouterr()
        assert "exit code  3" in said.err
        assert f"resume {identifier}" in said.err
        assert "with what you changed" not in said.err
    mark.touch()
    assert main(["resume", identifier, "--no-wait"]) == 0
    assert main(["watch", identifier]) == 0


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signals_end_the_watching_and_not_the_execution(home: Clients, tmp_path: Path, number: int, code: int) -> None:
    arn = started(home, tmp_path / "left.json", waiting("'up'", tmp_path / "never"))
    with watching(tmp_path, arn) as process:
        assert process.stdout is not None and process.stderr is not None
        while "Work | up" not in process.stdout.readline():
            pass
        process.send_signal(number)
        err = process.stderr.read()
    identifier = executions.identifier(arn)
    assert process.returncode == code
    assert f"{identifier} goes on; stop it with: " in err
    assert executions.describe(home, arn)["PipelineExecutionStatus"] == "Executing"
    executions.stop(home, arn)
    executions.wait(home, arn, lambda *_: None)


def test_a_terminal_gets_a_table_with_the_logs_below(home: Clients, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    arn = started(home, tmp_path / "shown.json", waiting("'\\x1b]0;title\\x07the line'", mark))
    ours, theirs = pty.openpty()
    shown = ""
    with watching(tmp_path, arn, stdin=theirs, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        while block := read(ours):
            shown += block
            if "the line" in shown:
                mark.touch()
    os.close(ours)
    assert process.returncode == 0
    assert "Work │ " in shown
    assert "\x1b]0;" not in shown
    assert "✓ Work" in shown


def read(terminal: int) -> str:
    """What is written to it; nothing when nobody is left who could write."""
    try:
        return os.read(terminal, 65536).decode("utf-8", "replace")
    except OSError:  # Linux says so in place of an end
        return ""


def test_what_was_never_started_cannot_be_watched(home: Clients, capsys: Capture) -> None:
    assert main(["watch"]) == 1
    assert "nothing has been executed yet" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["watch", "last", "-n", "1001"])
    assert "is no whole number from 0 to 1000" in capsys.readouterr().err
