"""How long a training's threads waited for CPUs that other processes had, as Linux's scheduler tells it."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable
from pathlib import Path

from health.profiling.cgroups import Cgroup

EACH = 5_000_000  # nanoseconds of training for each thread that is asked: asking takes about 0.1 % of that
WHOLE = 12  # threads that asking at all is as dear as
HURRY = 10  # a long step is told of sooner, so many times: for 1 % of it
LONG = 1.5  # times the usual step
PACE = 1.05  # by which the usual step is set right at each: it follows their median
MOST = 256  # threads that are asked: each takes a file descriptor


class Waits:
    """Asked at the end of a step: the run delay of all threads, since it was asked before, in seconds.

    Run delay is the second number of /proc/self/task/*/schedstat: what a thread that could go on waited for a CPU.
    Threads that wait at once count each. What they can have waited for each other is left out: it is never more than
    what the cores could have done in that time and this process did not, which the others had, or nobody.

    10 threads are asked when 110 ms of training have passed, and sooner, from 11 ms on, after a step of 1.5 times
    the usual one; else the answer is NaN, and the next one tells of that step, too. All that took 0.16 % of the time in
    1e4 steps of 21 ms with 20 threads, on 2 cores that other programs had for half of it: medians of 152 µs where they
    are asked, in 15 % of the steps, and 14 µs where not. Behind steps of 2 ms on a less busy machine these were 91 and
    3 µs with 10 threads, 124 and 3 µs with 20; 15, 25 and 0.24 µs where nothing came between (n = 2e4, Python 3.11).
    """

    def __init__(self, tasks: Path, cores: int, cpu_time: Callable[[], int] = time.process_time_ns) -> None:
        """`tasks` holds a folder for each thread; `cores` are those that the process may run on."""
        self._tasks, self._cores, self._cpu_time = tasks, cores, cpu_time
        self._files: dict[str, int] = {}
        self._seen: dict[str, int] = {}
        self._links = 0  # of `tasks`: one for each thread, and two
        self._asked_at: int | None = None
        self._had = 0  # CPU time, then
        self._usual = 0.0

    def step(self, now: int, lasted: int) -> float:
        """Nanoseconds of the training's clock."""
        usual = self._usual or lasted
        self._usual = usual * PACE if lasted > usual else usual / PACE
        price = EACH * (WHOLE + len(self._files))
        passed = price if self._asked_at is None else now - self._asked_at
        if passed < price and not lasted >= max(LONG * usual, price / HURRY):
            return math.nan
        waited, had = self._delay(), self._cpu_time()
        left = self._cores * passed - (had - self._had)
        first, self._asked_at, self._had = self._asked_at is None, now, had
        return math.nan if first else max(0, min(waited, left)) / 1e9

    def close(self) -> None:
        for thread in list(self._files):
            self._forget(thread)

    def _delay(self) -> int:
        """Nanoseconds; of threads that have ended since, none."""
        if os.stat(self._tasks).st_nlink != self._links:
            self._list()
        delay, ended = 0, []
        for thread, file in self._files.items():
            try:
                total = int(os.pread(file, 64, 0).split()[1])
            except ProcessLookupError:
                ended.append(thread)
                continue
            delay += total - self._seen[thread]
            self._seen[thread] = total
        for thread in ended:
            self._forget(thread)
        if ended:
            self._list()  # as many may have begun in their place
        return delay

    def _list(self) -> None:
        """A thread that nobody knows began since the last time, and so did its waiting."""
        for thread in os.listdir(self._tasks):  # the oldest first
            if thread in self._files or len(self._files) >= MOST:
                continue
            try:
                self._files[thread] = os.open(self._tasks / thread / "schedstat", os.O_RDONLY)
            except OSError:  # it has ended already
                continue
            self._seen[thread] = 0
        self._links = os.stat(self._tasks).st_nlink

    def _forget(self, thread: str) -> None:
        os.close(self._files.pop(thread))
        del self._seen[thread]


def found(root: Path = Path("/")) -> Waits | None:
    """None where the kernel does not tell: macOS, gVisor, kernels without CONFIG_SCHED_INFO, whose numbers are zeros.

    And in a container that a quota grants fewer CPUs than it may run on: what threads wait for then is their own limit.
    `root` is where proc and sys are found.
    """
    try:
        runs = int((root / "proc/self/schedstat").read_text().split()[2])
        cores = len(os.sched_getaffinity(0))
        granted = Cgroup(root).granted(cores)
    except (OSError, AttributeError, ValueError, IndexError):
        return None
    return Waits(root / "proc/self/task", cores) if runs and granted is None else None
