"""Work spread over processes, each of which reports on a pipe of its own: one that dies is noticed and named."""

from __future__ import annotations

import contextlib
import ctypes
import multiprocessing
import os
import signal
import sys
import warnings
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, NamedTuple, TypeVar

from refusal import Refusal
from threadpoolctl import threadpool_limits

Result = TypeVar("Result")
Note = Callable[[int], None]
Work = Callable[[int, Note], Result]  # a start, and a function that takes the index that is worked on
# A forked child has all that is imported; a spawned one, away from Linux, imports again and needs `work` pickled.
METHOD = "fork" if sys.platform == "linux" else "spawn"
NOWHERE = -1
PARENT_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of prctl(2)
JOIN_SECONDS = 10


class Lost(Exception):
    """A process ended before its work did: `at` is the index that it worked on, `end` how it ended."""

    def __init__(self, at: int, end: str) -> None:
        super().__init__(f"the process that worked on {at} {end}")
        self.at, self.end = at, end


class Worker(NamedTuple):
    """A process, the end of its pipe, and shared memory in which it writes what it works on."""

    process: BaseProcess
    reports: Connection
    at: Any


def spread(work: Work[Result], starts: range, processes: int = 0, method: str = METHOD) -> Iterator[Result]:
    """work(start) for every start, in any order. Raises Lost, and what `work` raised if it is a Refusal or OSError."""
    context = multiprocessing.get_context(method)
    number = max(1, min(processes or cores(), len(starts)))
    workers: dict[Connection, Worker] = {}
    try:
        for part in range(number):
            worker = _started(context, work, starts[part::number])
            workers[worker.reports] = worker
        yield from _results(workers)
    finally:
        for worker in workers.values():
            _stop(worker)


def cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _started(context: Any, work: Work[Any], starts: range) -> Worker:
    at = context.RawValue(ctypes.c_longlong, NOWHERE)
    mine, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_run, args=(work, starts, at, theirs, os.getpid()), daemon=True)
    with warnings.catch_warnings():
        # Python 3.12 warns of forks beside threads: those are BLAS's, idle, and it knows of forks
        warnings.filterwarnings("ignore", message=".*fork.*", category=DeprecationWarning)
        process.start()
    theirs.close()  # or its end would never be seen
    return Worker(process, mine, at)


def _results(workers: dict[Connection, Worker]) -> Iterator[Any]:
    running = set(workers)
    while running:
        for reports in wait(list(running)):
            assert isinstance(reports, Connection)
            try:
                report = reports.recv()
            except (EOFError, OSError):  # the pipe ended, or ended amid a report
                raise _lost(workers[reports]) from None
            if isinstance(report, Exception):
                raise report
            if report is None:
                running.discard(reports)
            else:
                yield report


def _run(work: Work[Any], starts: range, at: Any, reports: Connection, parent: int) -> None:
    _die_with(parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent gets it too, and ends this process
    # One thread each: BLAS's threads wait by spinning. The fingerprints alone made 600 pictures of 300 to 500 px take
    # 1.6 s of CPU time instead of 0.7 s (OpenBLAS 0.3.29, 2 cores, 2 processes).
    threadpool_limits(1)
    os.environ["OMP_NUM_THREADS"] = "1"  # for a torch that is imported here
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)

    def note(index: int) -> None:
        at.value = index

    with contextlib.suppress(BrokenPipeError):  # the parent has gone
        try:
            for start in starts:
                reports.send(work(start, note))
        except (Refusal, OSError) as error:
            reports.send(error)
        else:
            reports.send(None)


def _die_with(parent: int) -> None:
    """Its pipe does not tell: the children hold each other's ends. Without this they go on after a parent's SIGKILL."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PARENT_DEATH_SIGNAL, signal.SIGKILL)
        if os.getppid() != parent:  # it died before
            os._exit(1)


def _lost(worker: Worker) -> Lost:
    worker.process.join(JOIN_SECONDS)
    code = worker.process.exitcode
    end = f"was killed by {signal.Signals(-code).name}" if code and code < 0 else f"ended with {code}"
    return Lost(worker.at.value, end)


def _stop(worker: Worker) -> None:
    if worker.process.is_alive():
        worker.process.kill()
    worker.process.join()
    worker.process.close()
    worker.reports.close()
