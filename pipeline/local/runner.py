"""The process that walks one execution: detached, in a session of its own, gone when the execution has ended."""

from __future__ import annotations

import os
import select
import signal
import sys
import time

from pipeline.errors import DarkroomError
from pipeline.local.process_id import identity
from pipeline.local.records import Execution
from pipeline.local.storage import Storage
from pipeline.local.store import Store, connections

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType


TIDY_AFTER_S = 0.05
_TELL = 3  # the runner's descriptor that is closed when the execution has ended


class Ending:
    """Sleeping until the next look at an execution, but no longer than its runner runs."""

    __slots__ = ("_pipe",)

    def __init__(self) -> None:
        self._pipe: int | None = None

    def follow(self, pipe: int | None) -> None:
        """`pipe` as `start` gives it; another one that was followed is forgotten."""
        if self._pipe is not None:
            os.close(self._pipe)
        self._pipe = pipe

    def pause(self, seconds: float) -> None:
        if self._pipe is None:
            time.sleep(seconds)
        elif select.select([self._pipe], [], [], seconds)[0]:
            self.follow(None)


def start(home: str, execution_id: str) -> int:
    """Starts the runner of an execution and returns at once: the reading end of a pipe that ends with the execution.

    A fork takes 1 ms where a fresh interpreter takes 40; but a process with threads, or with an open store, must not
    fork and go on.
    """
    end, tell = os.pipe()
    threading = sys.modules.get("threading")
    if connections() or (threading is not None and threading.active_count() > 1):
        import subprocess

        command = [sys.executable, "-m", "pipeline.local.runner", home, execution_id, str(tell)]
        subprocess.run(command, check=True, pass_fds=(tell,))
    else:
        _detach(home, execution_id, tell)
    os.close(tell)
    return end


def _detach(home: str, execution_id: str, tell: int) -> None:
    pid = os.fork()
    if pid:
        os.waitpid(pid, 0)
        return
    status = 1
    try:
        os.setsid()
        if os.fork():  # the middle process ends, so that init adopts the runner and nobody has to wait for it
            os._exit(0)
        _redirect(home, execution_id, tell)
        status = run(home, execution_id, tell=lambda: os.close(_TELL))
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        os._exit(status)  # never back into the caller's code


def _redirect(home: str, execution_id: str, tell: int) -> None:
    """Standard streams go to the runner's own log; what else was inherited (pipes of whoever called) is closed."""
    folder = os.path.join(home, "logs", execution_id)
    os.makedirs(folder, exist_ok=True)
    null = os.open(os.devnull, os.O_RDONLY)
    log = os.open(os.path.join(folder, "runner.log"), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(null, 0)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.dup2(tell, _TELL)
    os.set_inheritable(_TELL, False)
    os.closerange(_TELL + 1, 4096)


def run(
    home: str,
    execution_id: str,
    open_store: Callable[[str], Store] = Store,
    tell: Callable[[], None] = lambda: None,
) -> int:
    """Walks the execution in this process. Returns 0 when it succeeded, 1 otherwise; the store says the rest.

    `tell` is called once it says so.
    """
    store = open_store(home)
    execution = Execution.get(store, execution_id)
    if not execution.claim(store, identity()):
        return 1
    _stop_when_told(execution)
    # in a pid namespace no thread can start, and OpenBLAS (numpy, scipy: loaded by tuning) answers that with a SIGINT
    os.environ.update(dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1"))
    status, failure = "Failed", "the local runner ended without a word: its log is runner.log beside the steps' logs"
    try:
        status, failure = _walk(store, home, execution)
    except DarkroomError as exc:
        status, failure = "Failed", exc.message + (f" ({exc.hint})" if exc.hint else "")
    except BaseException as exc:
        status, failure = "Failed", f"the local runner broke: {exc!r}; see {home}/logs/{execution_id}/runner.log"
        raise
    finally:
        execution.end(store, status, failure)
        tell()
        time.sleep(TIDY_AFTER_S)  # whoever waits for the end has the machine to itself first
        execution.remove_work(home)
    return 0 if status == "Succeeded" else 1


def _walk(store: Store, home: str, execution: Execution) -> tuple[str, str]:
    """The status that it ended with, and why it failed."""
    from pipeline.local.isolation import Isolation

    execution.load_definition(store)
    isolation = Isolation.enter(home, execution.arn)
    try:
        from pipeline.local.executor import Executor  # 4 ms, while the namespace is made
        from pipeline.local.loop import Loop

        loop = Loop()
        executor = Executor(store, Storage(home), loop, isolation, execution)
        return loop.run(executor.run()), executor.failure_reason
    finally:
        isolation.close()


def _stop_when_told(execution: Execution) -> None:
    """SIGTERM and SIGINT stop the execution as StopPipelineExecution does."""

    def handle(_signal: int, _frame: FrameType | None) -> None:
        execution.stopping = True

    signal.signal(signal.SIGTERM, handle)
    signal.signal(signal.SIGINT, handle)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)


if __name__ == "__main__":
    _detach(sys.argv[1], sys.argv[2], int(sys.argv[3]))
