"""benchmarks/soaking.py as people run it, with a hundredth of the requests."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).parent.parent / "benchmarks/soaking.py"


@pytest.mark.slow
def test_no_answer_is_lost_or_wrong_under_good_bad_and_mutated_requests() -> None:
    command = [sys.executable, str(PROGRAM), "--soak", "2000", "--fuzz", "500"]
    ran = subprocess.run(command, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "2,000 answers at concurrency 32" in ran.stdout and "wrong: none" in ran.stdout
    assert "500 mutated bodies" in ran.stdout and "5xx or tracebacks: none" in ran.stdout
