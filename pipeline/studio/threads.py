"""Threads that only look: what they wait for, such as an account out of reach, keeps nobody from ending the studio.

AnyIO's own threads would: Python waits for them when it ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

from pipeline.errors import Unavailable

MOST = 40  # at once, as many as AnyIO has

Found = TypeVar("Found")


class Ended(Unavailable):
    """The server ends, and waits for no look."""

    def __init__(self) -> None:
        super().__init__("Ended", "the studio was ended before it had looked at this", hint="darkroom studio")


class Threads:
    """Those of one server. What is asked while MOST are at work waits for one of them."""

    def __init__(self, most: int = MOST) -> None:
        self._free = asyncio.Semaphore(most)
        self._closing = asyncio.Event()

    def close(self) -> None:
        """Whoever waits for a look hears that there will be none."""
        self._closing.set()

    async def run(self, look: Callable[[], Found]) -> Found:
        """What it finds, or raises; Ended. Nothing of it may have to be finished: the process ends in the midst."""
        found = asyncio.ensure_future(self._looked(look))
        closing = asyncio.ensure_future(self._closing.wait())
        try:
            await asyncio.wait((found, closing), return_when=asyncio.FIRST_COMPLETED)
            if not found.done():
                raise Ended
            return found.result()
        finally:
            found.cancel()
            closing.cancel()

    async def _looked(self, look: Callable[[], Found]) -> Found:
        await self._free.acquire()
        loop = asyncio.get_running_loop()
        done: Future[Found] = Future()

        def work() -> None:
            try:
                done.set_result(look())
            except BaseException as exc:  # whatever it is, whoever waits hears of it
                done.set_exception(exc)
            finally:
                with contextlib.suppress(RuntimeError):  # the server has ended meanwhile
                    loop.call_soon_threadsafe(self._free.release)

        done.set_running_or_notify_cancel()  # whoever goes away leaves the thread at work, and its place taken
        threading.Thread(target=work, name="studio-look", daemon=True).start()
        return await asyncio.wrap_future(done)
