"""A single-threaded event loop for child processes, timers and coroutines.

asyncio would do, but costs 25–60 ms to import, a third of what the runner may spend on a whole pipeline. One thread
matters for another reason: PR_SET_PDEATHSIG fires when the *thread* that forked ends, and forking a threaded process is
a trap.
"""

from __future__ import annotations

import heapq
import os
import select
import signal
import time
from collections import deque

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Generator, Iterable
    from typing import Any


_IDLE_S = 0.004  # a chain of short jobs is not held up by clearing away: that is done while the next one runs
_MOST_CHORES = 50


class Cancelled(BaseException):  # noqa: N818 - it is not an error: nothing below the runner may swallow it
    """Thrown into a coroutine at the place where it waits, when its task is cancelled."""


class _Wait:
    """What a coroutine yields: it goes on when `deadline` passes, `pid` exits or any of `tasks` is done."""

    __slots__ = ("deadline", "pid", "tasks")

    def __init__(self, deadline: float | None = None, pid: int = 0, tasks: tuple[Task, ...] = ()) -> None:
        self.deadline = deadline
        self.pid = pid
        self.tasks = tasks

    def __await__(self) -> Generator[_Wait, Any, Any]:
        return (yield self)


class Task:
    """A running coroutine. `result()` returns its value or raises what it raised."""

    __slots__ = ("_coroutine", "_error", "_generation", "_loop", "_value", "_waiters", "done")

    def __init__(self, loop: Loop, coroutine: Coroutine[Any, Any, Any]) -> None:
        self._loop = loop
        self._coroutine = coroutine
        self._error: BaseException | None = None
        self._generation = 0  # a wake-up for an older wait is stale
        self._value: Any = None
        self._waiters: list[tuple[Task, int]] = []
        self.done = False

    def result(self) -> Any:
        if self._error is not None:
            raise self._error
        return self._value

    def cancel(self) -> None:
        """Throw Cancelled at the place where the coroutine waits; it may still wait while it cleans up."""
        if not self.done:
            self._generation += 1
            self._loop._ready.append((self, self._generation, Cancelled(), None))


class Loop:
    """`Loop().run(coroutine)` runs it and every task that it spawns, on this thread."""

    def __init__(self) -> None:
        self._ready: deque[tuple[Task, int, BaseException | None, Any]] = deque()
        self._timers: list[tuple[float, int, Task, int]] = []
        self._children: dict[int, tuple[Task, int]] = {}
        self._exits: dict[int, int] = {}
        self._sequence = 0
        self._later: deque[Callable[[], None]] = deque()

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """Returns what the coroutine returns, or raises what it raises."""
        read, write = os.pipe()
        os.set_blocking(read, False)
        os.set_blocking(write, False)
        previous = signal.signal(signal.SIGCHLD, lambda *_: None)
        wakeup = signal.set_wakeup_fd(write, warn_on_full_buffer=False)
        try:
            main = self.spawn(coroutine)
            while not main.done:
                self._turn(read, main)
            return main.result()
        finally:
            signal.set_wakeup_fd(wakeup)
            signal.signal(signal.SIGCHLD, previous)
            os.close(read)
            os.close(write)

    def spawn(self, coroutine: Coroutine[Any, Any, Any]) -> Task:
        """Starts a task at the next turn."""
        task = Task(self, coroutine)
        self._ready.append((task, 0, None, None))
        return task

    def later(self, chore: Callable[[], None]) -> None:
        """Something short that nobody waits for: done once nothing has happened for a moment, or by `tidy`."""
        self._later.append(chore)

    def tidy(self) -> None:
        """Does now what was left for later."""
        while self._later:
            self._later.popleft()()

    async def sleep(self, seconds: float) -> None:
        await _Wait(deadline=time.monotonic() + seconds)

    async def exit_of(self, pid: int, timeout: float | None = None) -> int | None:
        """Waits for a child: its exit code, or minus the signal that killed it; None after `timeout` seconds."""
        if pid in self._exits:
            return self._exits.pop(pid)
        code = _reap(pid)
        if code is not None:
            return code
        deadline = None if timeout is None else time.monotonic() + timeout
        await _Wait(deadline=deadline, pid=pid)
        return self._exits.pop(pid, None)

    async def first(self, tasks: Iterable[Task], timeout: float | None = None) -> list[Task]:
        """Waits until at least one task is done, or `timeout` seconds passed; returns those that are done."""
        waiting = tuple(tasks)
        if waiting and not any(task.done for task in waiting):
            deadline = None if timeout is None else time.monotonic() + timeout
            await _Wait(deadline=deadline, tasks=waiting)
        return [task for task in waiting if task.done]

    async def join(self, task: Task) -> Any:
        """Waits for one task; returns its value or raises its error."""
        await self.first([task])
        return task.result()

    def _turn(self, wakeup: int, main: Task) -> None:
        while self._ready:
            self._step(*self._ready.popleft())
        if main.done:
            return  # nothing left to wait for
        timeout = max(0.0, self._timers[0][0] - time.monotonic()) if self._timers else None
        if self._later:
            timeout = _IDLE_S if timeout is None else min(timeout, _IDLE_S)
        # a child may have ended between the last waitpid and this select: the wake-up pipe remembers it
        if select.select([wakeup], [], [], timeout)[0]:
            while True:
                try:
                    if len(os.read(wakeup, 4096)) < 4096:
                        break
                except BlockingIOError:
                    break
        elif self._later and timeout == _IDLE_S:
            self._later.popleft()()
        if len(self._later) > _MOST_CHORES:
            self._later.popleft()()
        self._collect()

    def _collect(self) -> None:
        for pid, (task, generation) in list(self._children.items()):
            if task._generation != generation:
                del self._children[pid]  # timed out or cancelled: whoever asks again finds it by waitpid
                continue
            code = _reap(pid)
            if code is not None:
                del self._children[pid]
                self._exits[pid] = code
                self._ready.append((task, generation, None, None))
        now = time.monotonic()
        while self._timers and self._timers[0][0] <= now:
            _, _, task, generation = heapq.heappop(self._timers)
            self._ready.append((task, generation, None, None))

    def _step(self, task: Task, generation: int, error: BaseException | None, value: Any) -> None:
        if task.done or generation != task._generation:
            return
        task._generation += 1
        try:
            wait = task._coroutine.throw(error) if error is not None else task._coroutine.send(value)
        except StopIteration as exc:
            self._finish(task, exc.value, None)
        except (Exception, Cancelled) as exc:  # not swallowed: result() raises it in whoever waits for this task
            self._finish(task, None, exc)
        else:
            self._register(task, wait)

    def _register(self, task: Task, wait: _Wait) -> None:
        generation = task._generation
        if wait.deadline is not None:
            self._sequence += 1
            heapq.heappush(self._timers, (wait.deadline, self._sequence, task, generation))
        if wait.pid:
            self._children[wait.pid] = (task, generation)
        for other in wait.tasks:
            other._waiters = [w for w in other._waiters if w[0]._generation == w[1]]
            other._waiters.append((task, generation))
        if any(other.done for other in wait.tasks):
            self._ready.append((task, generation, None, None))

    def _finish(self, task: Task, value: Any, error: BaseException | None) -> None:
        task.done = True
        task._value = value
        task._error = error
        for waiter, generation in task._waiters:
            self._ready.append((waiter, generation, None, None))
        task._waiters.clear()


def _reap(pid: int) -> int | None:
    done, status = os.waitpid(pid, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if done else None
