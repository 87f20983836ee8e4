"""The one line with which a program ends: readable anywhere, with its mend, and written where it can be."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import refusal
from refusal import REASON_LENGTH, Refusal, exit_code


def ended(note: Path, reason: str) -> int:
    def work() -> None:
        raise Refusal(reason)

    return exit_code(work, note)


def test_a_long_reason_keeps_its_subject_and_its_mend(tmp_path: Path) -> None:
    assert ended(tmp_path / "note", f"photo.jpg: bad ({'x' * 5000}): copy it again") == 1
    told = (tmp_path / "note").read_text()
    assert len(told) == REASON_LENGTH
    assert told.startswith("photo.jpg: bad")
    assert told.endswith("x): copy it again")


def test_names_cannot_steer_a_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ended(tmp_path / "note", "a\x1b[31m\u202egpj.\udcff\nb: bad")
    assert (tmp_path / "note").read_text() == "a\ufffd[31m\ufffdgpj.\ufffd b: bad"
    assert capsys.readouterr().err == "error: a\ufffd[31m\ufffdgpj.\ufffd b: bad\n"


def test_a_note_that_cannot_be_written_does_not_hide_the_reason(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "note").mkdir()
    assert ended(tmp_path / "note", "photo.jpg: bad") == 1
    assert capsys.readouterr().err == "error: photo.jpg: bad\n"


@pytest.mark.parametrize("code", [0, 1])
def test_a_program_that_leaves_has_its_exit_code_and_all_its_output(code: int) -> None:
    program = f"import refusal; print('x' * 9000); refusal.leave({code})"
    ended = subprocess.run([sys.executable, "-c", program], cwd=Path(refusal.__file__).parent, capture_output=True)
    assert (ended.returncode, len(ended.stdout)) == (code, 9001)
