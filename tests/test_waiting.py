"""What threads waited for CPUs that other processes had: whose waiting it is, and when they are asked."""

from __future__ import annotations

import math
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from health.profiling import waiting
from health.profiling.timers import Clock
from health.profiling.waiting import Waits

MS = 1_000_000
needs_linux = pytest.mark.skipif(waiting.found() is None, reason="nothing tells here what threads wait for CPUs")


class Process:
    """Threads that have waited, and the CPU time of all of them, as somebody made them up."""

    def __init__(self, tasks: Path, threads: int = 2) -> None:
        self.tasks, self.threads, self.had = tasks, threads, 0
        for thread in range(threads):
            (tasks / str(thread)).mkdir()
        self.waited([0] * threads)

    def waited(self, milliseconds: list[int]) -> None:
        for thread, delay in enumerate(milliseconds):
            (self.tasks / str(thread) / "schedstat").write_text(f"123 {delay * MS} 7\n")

    def waits(self, cores: int = 2) -> Waits:
        return Waits(self.tasks, cores, lambda: self.had * MS)


def test_all_threads_count_from_one_time_that_they_are_asked_to_the_next(tmp_path: Path) -> None:
    process = Process(tmp_path)
    waits = process.waits()
    process.waited([500, 0])  # while the job started
    assert math.isnan(waits.step(0, 100 * MS))
    process.waited([530, 20])
    assert waits.step(100 * MS, 100 * MS) == pytest.approx(0.05)
    assert waits.step(200 * MS, 100 * MS) == 0.0
    waits.close()


def test_what_threads_wait_for_each_other_is_nobody_else_s(tmp_path: Path) -> None:
    """Two threads of one core each wait for half of the time; so they do beside another program that has a third."""
    process = Process(tmp_path)
    waits = process.waits(cores=1)
    waits.step(0, 90 * MS)
    process.waited([45, 45])
    process.had = 90
    assert waits.step(90 * MS, 90 * MS) == 0.0
    process.waited([105, 105])
    process.had = 150
    assert waits.step(180 * MS, 90 * MS) == pytest.approx(0.03)
    waits.close()


def test_short_steps_are_asked_for_together_and_a_long_one_at_once(tmp_path: Path) -> None:
    process = Process(tmp_path)
    waits, now, known = process.waits(), 0, []
    for step in range(20):
        lasted = 18 if step == 14 else 9
        now += lasted * MS
        process.waited([step, 0])
        if not math.isnan(waited := waits.step(now, lasted * MS)):
            known.append((step, round(waited * 1000)))
    assert known == [(8, 8), (14, 6)]  # 70 ms for two threads
    waits.close()


def test_a_long_step_is_not_asked_for_where_asking_is_dear(tmp_path: Path) -> None:
    process = Process(tmp_path, threads=100)
    waits = process.waits()
    waits.step(0, MS)
    assert math.isnan(waits.step(55 * MS, 55 * MS))  # 56 ms are a tenth of the usual price
    assert waits.step(112 * MS, 57 * MS) == 0.0
    waits.close()


@needs_linux
def test_threads_that_begin_and_end_are_found_and_no_file_stays_open() -> None:
    before = len(os.listdir("/proc/self/fd"))
    waits = waiting.found()
    assert waits is not None
    waits.step(0, 1)
    for number in range(1, 4):
        goes_on = threading.Event()
        thread = threading.Thread(target=goes_on.wait, daemon=True)
        thread.start()
        assert waits.step(number * 10**10, 1) >= 0
        assert str(thread.native_id) in waits._files
        goes_on.set()
        thread.join()
    waits.close()
    assert len(os.listdir("/proc/self/fd")) == before


@needs_linux
def test_a_process_on_the_same_core_is_felt_and_an_idle_one_is_not() -> None:
    """In a thread of its own, which alone is bound to a core."""
    felt: list[float] = []
    work = "import time; print(flush=True); ends = time.time() + 60\nwhile time.time() < ends: pass"
    program = [sys.executable, "-ISc", work]

    def compute() -> None:
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
        waits = waiting.found()
        assert waits is not None
        clock = Clock(waits=waits)
        clock.step()
        with subprocess.Popen(program, stdout=subprocess.PIPE) as other:
            assert other.stdout is not None and other.stdout.readline()
            ends = time.thread_time() + 0.1
            while time.thread_time() < ends:
                pass
            timing = clock.step()
            other.kill()
        felt.extend([timing.waited, timing.seconds])
        clock.close()

    thread = threading.Thread(target=compute)
    thread.start()
    thread.join()
    waited, seconds = felt
    assert 0.3 * (seconds - 0.1) < waited < seconds


def test_a_clock_that_knows_of_no_waits_says_so() -> None:
    clock = Clock()
    assert math.isnan(clock.step().waited)
    clock.close()


def schedstat(root: Path, text: str, quota: str = "max 100000") -> Path:
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/schedstat").write_text(text)
    (root / "proc/self/cgroup").write_text("0::/\n")
    (root / "sys/fs/cgroup").mkdir(parents=True)
    (root / "sys/fs/cgroup/cpu.max").write_text(quota)
    return root


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="no cores of its own to count")
def test_nothing_is_measured_where_the_kernel_does_not_tell_or_the_container_is_what_limits(tmp_path: Path) -> None:
    assert waiting.found(schedstat(tmp_path / "linux", "5 6 7\n")) is not None
    assert waiting.found(tmp_path / "no linux") is None
    assert waiting.found(schedstat(tmp_path / "gVisor", "")) is None
    assert waiting.found(schedstat(tmp_path / "without CONFIG_SCHED_INFO", "0 0 0\n")) is None
    assert waiting.found(schedstat(tmp_path / "half a core", "5 6 7\n", "50000 100000")) is None
