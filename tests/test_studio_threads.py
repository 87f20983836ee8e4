"""Work on threads, and that nobody waits for it when the studio ends."""

from __future__ import annotations

import asyncio
import threading

import pytest

from pipeline.studio.threads import Ended, Threads


def test_what_is_found_and_what_is_raised_comes_back() -> None:
    async def both() -> int:
        threads = Threads()
        with pytest.raises(ZeroDivisionError):
            await threads.run(lambda: 1 // 0)
        return await threads.run(lambda: 7)

    assert asyncio.run(both()) == 7


def test_when_the_studio_ends_nobody_waits_for_a_thread() -> None:
    gate = threading.Event()

    async def ended() -> None:
        threads = Threads()
        tasks = [asyncio.ensure_future(threads.run(lambda: gate.wait(60))) for _ in range(2)]
        await asyncio.sleep(0.05)
        threads.close()
        for task in tasks:
            with pytest.raises(Ended):
                await task

    asyncio.run(ended())
    assert not gate.is_set()
    gate.set()
