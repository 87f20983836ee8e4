"""SIGTERM ends a training behind a step: with its checkpoint, its tables and what the rules say of them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pictures
import pytest
import train
from health.recording import reading, records
from test_distributed import log, two
from test_resuming import arguments, weights
from training import interruption

PROGRAM = train.__file__
RULES = ("--health_rules", "AllZero", "--health_every", "2")
LONG = ("--epochs", "400")
ENDS = ((0, "1"), (1, "2"))


@pytest.fixture(scope="module")
def colours(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pictures.colours(tmp_path_factory.mktemp("colours"), {"train": 14, "validation": 3})


def interrupted(command: list[str], root: Path, epochs: int = 1) -> int | str | None:
    """Its exit code, of two signals behind so many epochs: a second one makes it no less patient."""

    def send() -> None:
        wait_for_epochs(root, epochs)
        for _ in range(2):
            if callable(signal.getsignal(signal.SIGTERM)):  # else this very process would end
                os.kill(os.getpid(), signal.SIGTERM)

    (root / "output").mkdir(parents=True, exist_ok=True)
    sender = threading.Thread(target=send)
    sender.start()
    with pytest.raises(SystemExit) as ended:
        train.main(command, {"TRAINING_JOB_NAME": "job"})
    sender.join()
    return ended.value.code


def wait_for_epochs(root: Path, epochs: int) -> None:
    lines, deadline = root / "output/data/metrics.jsonl", time.monotonic() + 300
    while not (lines.is_file() and lines.read_text().count("\n") >= epochs) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert lines.is_file(), "it never began"


def judged(folder: Path) -> Any:
    return pictures.json_of(folder / "health/health.json")


def test_an_interrupted_training_goes_on_as_if_it_had_never_been(
    colours: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """In the midst of an epoch, without checkpoints by the clock."""
    more = [*RULES, "--checkpoint_minutes", "0", "--epochs", "8"]
    assert train.main(arguments(colours, tmp_path / "plain", *more), {}) == 0
    again = arguments(colours, tmp_path, *more)
    assert interrupted(again, tmp_path) == 143
    assert "interrupted by SIGTERM: the checkpoint is of epoch" in capsys.readouterr().err
    assert not (tmp_path / "output/failure").exists() and not (tmp_path / "model").exists()
    kept, steps = judged(tmp_path / "kept"), len(records.read(tmp_path / "output/data/health").losses()[0])
    assert kept == judged(tmp_path / "output/data")
    assert (kept["job"], kept["steps"], kept["stopped_by"]) == ("job", steps, None)
    assert kept["rules"][0]["status"] == "NoIssuesFound"
    assert train.main(again, {}) == 0
    assert weights(tmp_path) == weights(tmp_path / "plain")
    assert list((tmp_path / "kept").iterdir()) == []


def test_without_a_checkpoint_it_ends_at_once_and_leaves_tables_and_verdicts(colours: Path, tmp_path: Path) -> None:
    command = [*arguments(colours, tmp_path, *RULES, *LONG), "--checkpoint-dir", ""]
    assert interrupted(command, tmp_path) == 143
    assert judged(tmp_path / "output/data")["steps"] >= 2 and not (tmp_path / "kept").exists()


def test_a_signal_before_the_first_step_ends_it_there(tmp_path: Path) -> None:
    code = "import os, signal; from training import interruption\n"
    code += "with interruption.noticed(): os.kill(os.getpid(), signal.SIGTERM)\nprint('never')"
    ran = subprocess.run([sys.executable, "-c", code], cwd=Path(PROGRAM).parent, capture_output=True, check=False)
    assert (ran.returncode, ran.stdout) == (143, b"")


def test_the_handler_of_before_is_back_and_other_threads_need_none() -> None:
    before = signal.getsignal(signal.SIGTERM)
    seen = []

    def work() -> None:
        with interruption.noticed() as other:
            seen.append(other.came)

    with interruption.noticed():
        assert signal.getsignal(signal.SIGTERM) != before
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    assert signal.getsignal(signal.SIGTERM) == before and seen == [False]


def test_two_processes_end_behind_the_same_step(colours: Path, tmp_path: Path) -> None:
    """Below torchrun, which passes the signal on."""
    more = ["--model", "shufflenet_v2_x0_5", "--batch_size", "8", *RULES, "--checkpoint-dir", str(tmp_path / "kept")]
    with two(colours, tmp_path, *more, *LONG, launched=True) as running:
        wait_for_epochs(tmp_path / "1", 1)
        for process in running:
            process.send_signal(signal.SIGTERM)
        codes = [process.wait(timeout=300) for process in running]
    assert codes == [-signal.SIGTERM] * 2, log(tmp_path, 1) + log(tmp_path, 2)
    assert (tmp_path / "kept/checkpoint.pt").is_file() and "interrupted by SIGTERM" in log(tmp_path, 1)
    assert judged(tmp_path / "kept") == judged(tmp_path / "1/output/data")
    tables = [reading.Rows(records.path(tmp_path / host / "output/data/health", "steps", rank), records.STEPS)
              for rank, host in ENDS]  # fmt: skip
    assert tables[0].look()["step"][-1] == tables[1].look()["step"][-1]
