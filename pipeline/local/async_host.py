"""The process that asks an asynchronous endpoint what waits for it: python -m pipeline.local.async_host HOME NAME.

It ends when nothing waits any more; whoever brings a request then starts another one.
"""

from __future__ import annotations

import fcntl
import os
import sys
from collections import deque

from pipeline.errors import BrokenOff
from pipeline.local import async_requests, detached
from pipeline.local.async_requests import KIND, QUEUED, RUNNING
from pipeline.local.endpoint_files import Files, is_supervised, take
from pipeline.local.store import Store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future
    from typing import Any

    from pipeline.local.store import Record

_LOOK_S = 0.05
_MOST_AT_ONCE = 1000  # threads, of all instances together


def wake(store: Store, name: str) -> None:
    """Somebody has to ask from now on."""
    own = files(store.home, name)
    if not is_supervised(own):
        detached.launch(own, "async_host", os.path.abspath(store.home), name)


def look_after(store: Store, name: str) -> None:
    """Wakes where something is left and nobody is there to ask: a crash broke it off."""
    if not is_supervised(files(store.home, name)) and async_requests.is_any_left(store, name):
        wake(store, name)


def abandon(store: Store, name: str) -> None:
    """Of an endpoint that is being removed: what a crash left has failed. A process that lives finds out by itself."""
    if not is_supervised(files(store.home, name)):
        async_requests.refuse(store, name)


def files(home: str, name: str) -> Files:
    """No endpoint has such a name."""
    return Files(home, f"async_{name}")


def host(home: str, name: str, answer: Callable[[str, dict[str, Any]], str] = async_requests.answer) -> None:
    """Until nothing waits: the oldest first, as many at once as the endpoint's instances take."""
    from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait

    store = Store(home)
    async_requests.resume(store, name)
    waiting: deque[Record] = deque()
    running: dict[Future[str], str] = {}
    with ThreadPoolExecutor(_MOST_AT_ONCE) as pool:
        while True:
            waiting = waiting or deque(async_requests.queued(store, name))
            room = min(async_requests.at_once(store, name), _MOST_AT_ONCE) - len(running)
            for _ in range(min(room, len(waiting))):
                record = waiting.popleft()
                taken = store.change(KIND, record.name, {"tries": record.body.get("tries", 0) + 1}, status=RUNNING)
                running[pool.submit(answer, home, taken.body)] = record.name
            if not running:
                break
            for done in wait(running, _LOOK_S, FIRST_COMPLETED).done:
                _settle(store, running.pop(done), done)
    store.close()


def _settle(store: Store, name: str, done: Future[str]) -> None:
    """Asked again where it was broken off; forgotten in every other case, so that no request holds up the others."""
    error = done.exception()
    failure = f"{type(error).__name__}: {error}" if error else done.result()
    if failure:
        print(f"{name}: {failure}", flush=True)
    if isinstance(error, BrokenOff):
        store.change(KIND, name, {}, status=QUEUED)
    else:
        store.remove(KIND, name)


def main(home: str, name: str) -> int:
    """Whoever started us waits until the lock is taken, here or by an earlier one."""
    lock = os.open(files(home, name).lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    if not take(lock):
        return 0
    if os.fork():  # the lock goes on with the child
        os._exit(0)
    while True:
        host(home, name)
        fcntl.flock(lock, fcntl.LOCK_UN)
        # what came after the last look, while nobody else could take the lock, is still to be asked
        if not _is_anything_waiting(home, name) or not take(lock):
            return 0


def _is_anything_waiting(home: str, name: str) -> bool:
    store = Store(home)
    try:
        return bool(async_requests.queued(store, name))
    finally:
        store.close()


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
