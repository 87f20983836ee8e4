"""Threads that only look: how many there are, and that nobody waits for them when the studio ends."""

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


def test_a_look_that_is_given_up_keeps_its_place_until_it_is_over() -> None:
    gate, begun, seen = threading.Event(), threading.Event(), []

    def first() -> None:
        begun.set()
        gate.wait(60)
        seen.append("first")

    async def given_up() -> None:
        threads = Threads(most=1)
        task = asyncio.ensure_future(threads.run(first))
        await asyncio.to_thread(begun.wait, 60)
        task.cancel()
        following = asyncio.ensure_future(threads.run(lambda: seen.append("second")))
        await asyncio.sleep(0.05)
        gate.set()
        await following

    asyncio.run(given_up())
    assert seen == ["first", "second"]


def test_when_the_studio_ends_nobody_waits_for_a_look() -> None:
    gate = threading.Event()

    async def ended() -> None:
        threads = Threads(most=1)
        tasks = [asyncio.ensure_future(threads.run(lambda: gate.wait(60))) for _ in range(2)]
        await asyncio.sleep(0)
        threads.close()
        for task in tasks:
            with pytest.raises(Ended):
                await task

    asyncio.run(ended())
    assert not gate.is_set()
    gate.set()
