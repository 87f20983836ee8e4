"""The clock of a training loop: nothing is lost, nothing is counted twice."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from health import view
from health.profiling import timers
from health.profiling.timers import JOB, STEP, Clock
from hypothesis import given
from hypothesis import strategies as st


def ticking(*nanoseconds: int) -> Callable[[], int]:
    """A clock that goes on by these, look after look."""
    passed = iter(nanoseconds)
    now = 0

    def look() -> int:
        nonlocal now
        now += next(passed)
        return now

    return look


@pytest.fixture(autouse=True)
def collector_off() -> Iterator[None]:
    """A collection looks at the clock as well."""
    gc.disable()
    yield
    gc.enable()


def test_a_lap_is_given_what_passed_since_the_one_before() -> None:
    clock = Clock(now=ticking(0, 5_000_000_000, 2_000_000_000, 1_000_000_000, 0))
    clock.lap("start_up")
    clock.lap("data_wait")
    timing = clock.step()
    assert (timing.seconds, timing.data_wait, timing.other, timing.forward) == (3.0, 2.0, 1.0, 0.0)
    job = clock.close()
    assert job["parts_ns"]["start_up"] == 5_000_000_000
    assert job["wall_ns"] == 8_000_000_000


@given(st.lists(st.tuples(st.sampled_from([*STEP, *JOB, "step", "validation"]), st.integers(0, 10**12)), max_size=60))
def test_the_parts_sum_to_the_wall_time_to_the_nanosecond(laps: list[tuple[str, int]]) -> None:
    clock = Clock(now=ticking(7, *(passed for _, passed in laps), 3))
    for name, _ in laps:
        if name in ("step", "validation"):
            clock.step("train" if name == "step" else name)
        else:
            clock.lap(name)
    job = clock.close()
    assert sum(job["parts_ns"].values()) == job["wall_ns"] == sum(passed for _, passed in laps) + 3
    assert sum(job["modes_ns"].values()) == sum(job["parts_ns"][part] for part in STEP)


def test_a_real_loop_sums_exactly_as_well() -> None:
    clock = Clock(timers.process_age())
    clock.lap("start_up")
    for _ in range(50):
        for part in STEP:
            clock.lap(part)
        timing = clock.step()
        assert timing.seconds == pytest.approx(sum(getattr(timing, part) for part in STEP), abs=1e-12)
    job = clock.close()
    assert sum(job["parts_ns"].values()) == job["wall_ns"]


def test_a_timing_is_a_row_of_the_table_of_steps() -> None:
    clock = Clock()
    timing = clock.step("validation")._asdict()
    clock.close()
    assert set(timing) < set(view.STEPS)
    assert set(STEP) < set(timing)
    assert {"ended", "seconds", "collected", "profiled"} < set(timing)


def test_an_unknown_part_is_an_error() -> None:
    clock = Clock()
    with pytest.raises(KeyError, match="foward"):
        clock.lap("foward")
    clock.close()


def test_pauses_of_the_collector_are_no_part_of_the_lap_in_which_they_fall() -> None:
    second = 1_000_000_000
    clock = Clock(now=ticking(0, second, 3 * second, second, 0, 0, 0))
    gc.collect()  # looks at the clock when it begins and when it ends: 1 s, 3 s
    clock.lap("forward")  # 1 s later
    timing = clock.step()
    assert (timing.forward, timing.other, timing.seconds, timing.collected) == (2.0, 3.0, 5.0, True)
    assert clock.step().collected is False
    assert clock.close()["collector_ns"] == 3 * second


def test_a_closed_clock_listens_to_the_collector_no_more() -> None:
    before = list(gc.callbacks)
    clock = Clock()
    assert len(gc.callbacks) == len(before) + 1
    clock.close()
    assert gc.callbacks == before


def test_a_clock_that_nobody_closed_goes_and_its_listener_too() -> None:
    before = list(gc.callbacks)
    clock = Clock()
    del clock
    gc.collect()
    assert gc.callbacks == before


def test_start_up_begins_with_the_process() -> None:
    code = "import sys, time; sys.path.insert(0, 'entrypoints'); time.sleep(0.3)\n"
    code += "from health.profiling.timers import *; print(process_age())"
    began = time.monotonic()
    root = Path(__file__).parent.parent
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert 0.28 <= float(done.stdout) <= time.monotonic() - began + 0.02  # the kernel counts in 10 ms


def test_without_proc_start_up_begins_with_the_clock(tmp_path: Path) -> None:
    assert timers.process_age(tmp_path) == 0.0


def test_the_download_ends_where_the_program_starts(tmp_path: Path) -> None:
    written = tmp_path / "inputdataconfig.json"
    written.write_text("{}")
    os.utime(written, (time.time() - 100, time.time() - 100))
    seconds = timers.download_seconds({"SM_INPUT_CONFIG_DIR": str(tmp_path)}, age=40)
    assert seconds == pytest.approx(60, abs=5)


def test_no_download_is_told_where_no_service_wrote_a_configuration_for_this_job(tmp_path: Path) -> None:
    assert timers.download_seconds({}, 1) is None
    assert timers.download_seconds({"SM_INPUT_CONFIG_DIR": str(tmp_path)}, 1) is None
    written = tmp_path / "inputdataconfig.json"
    written.write_text("{}")
    assert timers.download_seconds({"SM_INPUT_CONFIG_DIR": str(tmp_path)}, age=60) is None  # written since
    os.utime(written, (1, 1))
    assert timers.download_seconds({"SM_INPUT_CONFIG_DIR": str(tmp_path)}, age=60) is None  # of another day
