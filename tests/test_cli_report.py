"""`darkroom report`: the same page of an execution on this machine and, over HTTP, in an account."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from aws_account import AWS, Account, account, command
from registered import COMMIT, Registered, evaluated
from reported import words

from pipeline.client import aws_client
from pipeline.local.server import LoopbackServer
from pipeline.plan.prices import Money
from pipeline.studio.asked import Asked
from pipeline.studio.execution import report

Capture = pytest.CaptureFixture[str]
ROOT = Path(__file__).parent.parent
STEPS = ("Prepare", "Train", "Evaluate", "Register")
MATRIX = {"cat": {"cat": 114, "dog": 6, "owl": 0}, "dog": {"cat": 3, "dog": 108, "owl": 9}, "owl": {"owl": 120}}


@pytest.fixture(scope="module")
def aws(server: LoopbackServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    """With one execution, which registered a model."""
    with account(server, tmp_path_factory.mktemp("account")) as made:
        report = evaluated(0.95)
        report["multiclass_classification_metrics"]["confusion_matrix"] = MATRIX
        Registered(Path(server.home)).add(report)
        yield made


def page(aws: Account, capsys: Capture, *more: str) -> str:
    code, out, err = command(capsys, "report", *more)
    assert code == 0, err
    assert "bytes, self-contained" in err
    return Path(out.strip()).read_text(encoding="utf-8")


def section(html: str, name: str) -> str:
    return html.partition(f'<section id="{name}"')[2].partition("</section>")[0]


@pytest.fixture
def pages(aws: Account, monkeypatch: pytest.MonkeyPatch, capsys: Capture, tmp_path: Path) -> dict[str, str]:
    out = str(tmp_path / "over there.html")
    there = page(aws, capsys, "last", "--pipeline", "digits", "-o", out, *AWS)
    assert Path(out).is_file()
    monkeypatch.setenv("DARKROOM_HOME", aws.clients.home)
    return {"here": page(aws, capsys), "aws": there}


def test_here_and_in_an_account_it_shows_the_same_but_what_is_of_the_place(pages: dict[str, str]) -> None:
    for name in ("accuracy", "classes", "confusion", "lineage"):
        assert section(pages["here"], name)
        assert section(pages["here"], name) == section(pages["aws"], name)
    there = section(pages["aws"], "verdict")
    assert section(pages["here"], "verdict") == there.replace(" --target aws", "")
    assert there.count(" --target aws</pre>") == 3


def test_show_draws_the_same_graph_and_curves_here_and_out_of_an_account(
    aws: Account, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, there, err = command(capsys, "show", "--pipeline", "digits", *AWS)
    assert code == 0, err
    monkeypatch.setenv("DARKROOM_HOME", aws.clients.home)
    here = command(capsys, "show")[1]
    graph, curves, facts = there.split("\n\n")
    assert here.endswith(f"\n\n{curves}\n\n{facts}")
    for text in (graph, here.partition("\n\n")[0]):  # why a step missed the cache only this machine tells
        assert [line.split()[:3] for line in text.splitlines()[1:]] == [["✓", name, "Succeeded"] for name in STEPS]
    assert curves.startswith("Train: best validation_accuracy 0.9 in epoch 3 of 3, validation_loss 0.7333 in 3\n")
    assert facts.endswith("status     Succeeded\nmodel      version 1, PendingManualApproval\n")


def test_the_notebook_cell_of_the_docs_shows_a_run(aws: Account, tmp_path: Path) -> None:
    """IPython gives what stands behind the ! to a shell in a terminal of 80 columns, and Jupyter shows its colours."""
    (cell,) = re.findall(r"^!(.*)$", (ROOT / "docs" / "report.md").read_text(encoding="utf-8"), re.MULTILINE)
    program = tmp_path / "darkroom"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m pipeline "$@"\n')
    program.chmod(0o755)
    path = f"{tmp_path}:{os.environ['PATH']}"
    given = {
        "PATH": path,
        "PYTHONPATH": str(ROOT),
        "DARKROOM_HOME": aws.clients.home,
        "TERM": "xterm",
        "LANG": "C.UTF-8",
    }
    text = typed(cell, 80, given)
    assert "\x1b[32m✓\x1b[0m" in text
    assert "━ validation" in text
    assert all(len(re.sub(r"\x1b\[[0-9;]*m", "", line)) <= 80 for line in text.splitlines())
    assert text.endswith("model      version 1, PendingManualApproval\n")


def typed(command: str, columns: int, environment: dict[str, str]) -> str:
    """What a terminal of so many columns shows of it."""
    screen, keyboard = pty.openpty()
    fcntl.ioctl(keyboard, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    process = subprocess.Popen(["sh", "-c", command], stdin=keyboard, stdout=keyboard, env=environment)
    os.close(keyboard)
    shown = b""
    with open(screen, "rb", buffering=0) as file, suppress(OSError):  # EIO: nobody writes any more
        while some := file.read(65536):
            shown += some
    assert process.wait() == 0
    return shown.decode().replace("\r\n", "\n")


def test_an_account_bills_and_this_machine_does_not(pages: dict[str, str]) -> None:
    assert "which nobody bills" in words(section(pages["here"], "steps"))
    steps = words(section(pages["aws"], "steps"))
    assert "USD 1 × ml.m5.xlarge" in steps
    assert "0.23 USD an hour in us-east-1" in steps


def test_your_own_prices_go_before_those_that_darkroom_knows(
    aws: Account, capsys: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pipeline.yaml").write_text("prices: {ml.m5.xlarge: 0.5}\n")
    (tmp_path / "own.json").write_text('{"ml.m5.xlarge": 0.75}')
    of_config = words(section(page(aws, capsys, "--pipeline", "digits", *AWS), "steps"))
    assert "0.5 USD an hour in us-east-1" in of_config and ": pipeline.yaml" in of_config
    of_file = words(section(page(aws, capsys, "--pipeline", "digits", "--prices", "own.json", *AWS), "steps"))
    assert "0.75 USD an hour" in of_file and ": own.json" in of_file


def test_the_studios_report_counts_with_ones_own_prices_too(aws: Account, tmp_path: Path) -> None:
    clients = aws_client(str(tmp_path), "us-east-1")
    identifier = aws.executions("digits")[0]["PipelineExecutionArn"].rpartition("/")[2]
    asked = Asked({"pipeline": "digits", "execution": identifier})
    made = report(lambda: Money({"ml.m5.xlarge": 0.5}, "pipeline.yaml"), clients, asked)
    assert "0.5 USD an hour in us-east-1" in words(section(made.html.decode(), "steps"))


def test_a_configuration_that_nobody_named_keeps_no_report_back(
    aws: Account, capsys: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pipeline.yaml").write_text("prices: high\n")
    code, out, err = command(capsys, "report", "last", "--pipeline", "digits", "-o", "a.html", *AWS)
    assert (code, out) == (0, "a.html\n"), err
    assert "without the prices of pipeline.yaml: " in err
    (tmp_path / "own.yaml").write_text("prices: high\n")
    assert command(capsys, "report", "last", "--pipeline", "digits", "-c", "own.yaml", *AWS)[0] == 1


def test_lineage_has_commit_version_code_and_images(pages: dict[str, str]) -> None:
    told = words(section(pages["aws"], "lineage"))
    for part in (
        f"git commit {COMMIT}",
        "version of the pipeline 1",
        "train-0123456789abcdef",
        "model-package/digits/1",
    ):
        assert part in told


@pytest.mark.parametrize("folder", ["there", "new/"])
def test_a_folder_takes_the_page_under_its_own_name(
    aws: Account, capsys: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: str
) -> None:
    monkeypatch.setenv("DARKROOM_HOME", aws.clients.home)
    (tmp_path / "there").mkdir()
    page(aws, capsys, "-o", f"{tmp_path}/{folder}")
    assert [path.name for path in (tmp_path / folder).iterdir()] == ["report.html"]
    assert not [path for path in tmp_path.iterdir() if path.is_file()]


def test_an_execution_that_is_not_there_is_told(aws: Account, capsys: Capture) -> None:
    code, _, err = command(capsys, "report", "zzz", *AWS)
    assert code == 1
    assert "there is no execution 'zzz'" in err


def test_a_file_that_cannot_be_written_is_told(aws: Account, capsys: Capture, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("DARKROOM_HOME", aws.clients.home)
    (tmp_path / "file").touch()
    code, _, err = command(capsys, "report", "-o", str(tmp_path / "file" / "report.html"))
    assert code == 1
    assert "cannot write" in err
