"""Work on threads that is answered for when the studio ends: an account out of reach may keep a thread for minutes.

Left to itself a server would wait for it in vain, and then cancel the request with a traceback.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

from anyio.to_thread import run_sync

from pipeline.errors import Unavailable

Found = TypeVar("Found")


class Ended(Unavailable):
    """The server ends, and waits for no thread."""

    def __init__(self) -> None:
        told = "the studio was ended before this was answered; what it was to change may have been changed"
        super().__init__("Ended", told, hint="darkroom studio, and look at it again")


class Threads:
    """Those of one server."""

    def __init__(self) -> None:
        self._closing = asyncio.Event()

    def close(self) -> None:
        """Whoever waits for work hears that there will be no answer."""
        self._closing.set()

    async def run(self, work: Callable[[], Found]) -> Found:
        """What it gives, or raises; Ended. Whoever goes away leaves the thread at work."""
        found = asyncio.ensure_future(run_sync(work, abandon_on_cancel=True))
        closing = asyncio.ensure_future(self._closing.wait())
        try:
            await asyncio.wait((found, closing), return_when=asyncio.FIRST_COMPLETED)
            if not found.done():
                raise Ended
            return found.result()
        finally:
            found.cancel()
            closing.cancel()
