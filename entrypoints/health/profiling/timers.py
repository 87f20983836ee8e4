"""Where a job's time goes: one clock, read at every seam of the training loop, whose parts sum to the wall time."""

from __future__ import annotations

import gc
import math
import os
import threading
import time
import weakref
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from health.profiling.waiting import Waits

# Parts of a step: columns of steps.arrow. "other" is what no lap names, the garbage collector's pauses among it.
STEP = ("data_wait", "transfer", "forward", "backward", "optimizer", "checkpoint", "logging", "evaluation", "other")
# Parts of the job that belong to no step.
JOB = ("start_up", "profiling", "export")
SEEN = 0.001  # seconds of the collector in a step, from which on the step's row says that it ran
LONGEST_DOWNLOAD = 6 * 3600.0  # an older file was not written for this job


class Timing(NamedTuple):
    """The timing columns of one row of steps.arrow, in seconds; `ended` is time.time()."""

    ended: float
    seconds: float
    data_wait: float
    transfer: float
    forward: float
    backward: float
    optimizer: float
    checkpoint: float
    logging: float
    evaluation: float
    other: float
    waited: float
    collected: bool
    profiled: bool


class Clock:
    """`lap(part)` gives all that passed since the lap before it to `part`; `step()` ends a row.

        clock = Clock()
        clock.lap("start_up")
        for pictures, labels in batches:
            clock.lap("data_wait")
            loss = criterion(network(pictures), labels)
            clock.lap("forward")
            …
            recorder.step(loss, clock.step())

    Nothing is counted twice and nothing is lost: whole nanoseconds, and what no lap names is "other". On a GPU a lap
    measures the host: what it asks for is done later, and shows in the lap that waits for it. The device's own times
    stand in operators.json. A lap costs 0.4 µs, a step 6 µs (a busy machine of 2 cores, Python 3.11, n = 1e6).
    """

    def __init__(
        self,
        age: float = 0.0,
        download: float | None = None,
        now: Callable[[], int] = time.perf_counter_ns,
        waits: Waits | None = None,
    ) -> None:
        """`age`: seconds since the process started, `process_age()` in a program of its own; they are start-up.

        `download`: seconds of the job before the program, where `download_seconds` knows them. `waits`: who knows what
        threads waited for CPUs, `waiting.found()`.
        """
        self._now = now
        self._began = self._last = now() - round(age * 1e9)
        self._started = time.time() - age
        self._download = download
        self._waits = waits
        self._laps = dict.fromkeys(STEP + JOB, 0)
        self._total = dict.fromkeys(STEP + JOB, 0)
        self._kinds = {"train": 0, "validation": 0}
        self._paused = self._counted = self._pause_began = self._pauses = 0
        self._thread = threading.get_ident()
        self._collecting = _listener(weakref.ref(self))
        gc.callbacks.append(self._collecting)

    def lap(self, part: str) -> None:
        now, paused = self._now(), self._paused
        laps = self._laps
        passed = now - self._last
        self._last = now
        if paused != self._counted:  # the collector's pauses belong to no part of the loop
            laps["other"] += paused - self._counted
            passed -= paused - self._counted
            self._counted = paused
        laps[part] += passed

    def step(self, mode: str = "train", profiled: bool = False) -> Timing:
        """Ends a row: an optimiser step, or with mode "validation" what an epoch ends with.

        `profiled`: `operators.Window.at` said so of this step.
        """
        self.lap("other")
        laps, total = self._laps, self._total
        parts = [laps[part] for part in STEP]
        for part in total:
            total[part] += laps[part]
            laps[part] = 0
        whole = sum(parts)
        self._kinds[mode] += whole
        waited = self._waits.step(self._last, whole) if self._waits else math.nan
        pauses, self._pauses = self._pauses, 0
        seconds = {part: nanoseconds / 1e9 for part, nanoseconds in zip(STEP, parts, strict=True)}
        ran = pauses >= SEEN * 1e9
        return Timing(time.time(), whole / 1e9, **seconds, waited=waited, collected=ran, profiled=profiled)

    def close(self) -> dict[str, Any]:
        """The parts of the whole job, for profile.json: nanoseconds that sum to `wall_ns`; the clock stops."""
        self.step()
        gc.callbacks.remove(self._collecting)
        if self._waits:
            self._waits.close()
        return {
            "started": self._started,
            "ended": time.time(),
            "wall_ns": self._last - self._began,
            "parts_ns": dict(self._total),
            "modes_ns": dict(self._kinds),
            "collector_ns": self._counted,  # within "other"
            "download_seconds": self._download,
        }

    def collected(self, phase: str) -> None:
        """Pauses of this thread alone: another thread's are already what this one waits for."""
        if threading.get_ident() != self._thread:
            return
        if phase == "start":
            self._pause_began = self._now()
        elif self._pause_began:
            pause = self._now() - self._pause_began
            self._paused += pause
            self._pauses += pause
            self._pause_began = 0


def _listener(clock: weakref.ref[Clock]) -> Callable[[str, dict[str, int]], None]:
    """A clock that nobody closed (its training failed) is not kept, and its listener goes with it."""

    def collecting(phase: str, _: dict[str, int]) -> None:
        here = clock()
        if here is None:
            gc.callbacks.remove(collecting)
        else:
            here.collected(phase)

    return collecting


def process_age(proc: Path = Path("/proc")) -> float:
    """Seconds since this process started; 0 where there is no /proc to tell, and start-up begins with the clock."""
    try:
        fields = (proc / "self" / "stat").read_text().rpartition(")")[2].split()
        booted = time.clock_gettime(time.CLOCK_BOOTTIME)
    except (OSError, AttributeError):
        return 0.0
    return max(0.0, booted - int(fields[19]) / os.sysconf("SC_CLK_TCK"))


def download_seconds(env: Mapping[str, str], age: float) -> float | None:
    """From the service's writing of inputdataconfig.json to the start of the program; None where there is no such file.

    On SageMaker the channels are filled in that time (File mode) and the image is fetched; that the file is written
    first is what this machine's service does, and unproven there.
    """
    try:
        written = (Path(env["SM_INPUT_CONFIG_DIR"]) / "inputdataconfig.json").stat().st_mtime
    except (KeyError, OSError):
        return None
    passed = time.time() - age - written
    return passed if 0 <= passed <= LONGEST_DOWNLOAD else None
