"""benchmarks/soaking.py as people run it, with few requests, and what it takes for wrong."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.servers.judging import Expected, is_right, private_mib, tracebacks

PROGRAM = Path(__file__).parent.parent / "benchmarks/soaking.py"
GOOD = Expected(200, {"cat": 0.7, "dog": 0.25, "eel": 0.05})


def answer(*told: tuple[str, float]) -> bytes:
    top = [{"class": name, "probability": probability} for name, probability in told]
    return json.dumps({"predictions": [{**top[0], "unsure": False, "top": top}]}).encode()


RIGHT = answer(("cat", 0.7), ("dog", 0.25))


def test_an_answer_is_right_with_the_class_and_the_probabilities_that_it_has_to_have() -> None:
    assert is_right(RIGHT, 200, GOOD)
    assert is_right(answer(("cat", 0.7004), ("dog", 0.2496)), 200, GOOD)
    assert is_right(b'{"error": "the body is empty"}', 400, Expected(400))


@pytest.mark.parametrize(
    ("body", "status", "expected"),
    [
        (answer(("cat", 0.72), ("dog", 0.25)), 200, GOOD),  # another picture's probability
        (answer(("cat", 0.7), ("dog", 0.27)), 200, GOOD),
        (answer(("dog", 0.25), ("cat", 0.7)), 200, GOOD),
        (answer(("fox", 0.7), ("cat", 0.7)), 200, GOOD),
        (RIGHT[:-1], 200, GOOD),
        (b"{}", 200, GOOD),
        (RIGHT, 500, GOOD),
        (RIGHT, 400, Expected(400)),
        (b'{"error": "Traceback (most recent call last)"}', 400, Expected(400)),
    ],
)
def test_any_other_answer_is_wrong(body: bytes, status: int, expected: Expected) -> None:
    assert not is_right(body, status, expected)


def test_memory_is_what_the_process_shares_with_nobody() -> None:
    rollup = (
        "Rss: 9000 kB\nPss: 8000 kB\nShared_Clean: 7000 kB\nPrivate_Clean: 1024 kB\nPrivate_Dirty: 2048 kB\n"
        "Anonymous: 2048 kB\nAnonHugePages: 2048 kB\nShared_Hugetlb: 0 kB\nPrivate_Hugetlb: 0 kB\n"
    )
    assert private_mib(rollup) == 3


def test_tracebacks_of_the_log_count() -> None:
    line = json.dumps({"level": "error", "traceback": "Traceback (most recent call last):\n  File …"})
    assert tracebacks(f"{line}\n{line}\n") == 2
    assert tracebacks('{"message": "ready"}') == 0


@pytest.mark.slow
def test_no_answer_is_lost_or_wrong_under_good_bad_and_mutated_requests() -> None:
    command = [sys.executable, str(PROGRAM), "--soak", "1000", "--fuzz", "300"]
    ran = subprocess.run(command, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "1,000 answers at concurrency 32" in ran.stdout and "wrong: none, log: 0 tracebacks" in ran.stdout
    assert "300 mutated bodies" in ran.stdout and "5xx or tracebacks: none" in ran.stdout
