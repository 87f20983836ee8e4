import os
import signal
import time

import pytest

from pipeline.local.loop import Cancelled, Loop


def child(code: int = 0, seconds: float = 0.0) -> int:
    pid = os.fork()
    if pid == 0:
        time.sleep(seconds)
        os._exit(code)
    return pid


def test_exit_codes_and_signals_of_children_arrive():
    loop = Loop()

    async def main():
        killed = child(seconds=60)
        os.kill(killed, signal.SIGKILL)
        return await loop.exit_of(child(7)), await loop.exit_of(killed)

    assert loop.run(main()) == (7, -signal.SIGKILL)


def test_many_children_at_once_are_all_collected():
    loop = Loop()

    async def main():
        tasks = [loop.spawn(loop.exit_of(child(n % 5))) for n in range(40)]
        return [await loop.join(task) for task in tasks]

    assert loop.run(main()) == [n % 5 for n in range(40)]


def test_a_timeout_returns_none_and_the_child_can_still_be_waited_for():
    loop = Loop()

    async def main():
        pid = child(3, seconds=0.15)
        return await loop.exit_of(pid, timeout=0.01), await loop.exit_of(pid)

    assert loop.run(main()) == (None, 3)


def test_first_returns_as_soon_as_one_task_is_done():
    loop = Loop()

    async def main():
        slow, fast = loop.spawn(loop.sleep(60)), loop.spawn(loop.sleep(0.001))
        done = await loop.first([slow, fast])
        slow.cancel()
        return done == [fast]

    assert loop.run(main())


def test_an_error_in_a_task_reaches_whoever_joins_it():
    loop = Loop()

    async def broken():
        raise ValueError("no")

    async def main():
        await loop.join(loop.spawn(broken()))

    with pytest.raises(ValueError, match="no"):
        loop.run(main())


def test_a_cancelled_task_may_wait_while_it_cleans_up():
    loop = Loop()
    seen = []

    async def work():
        try:
            await loop.sleep(60)
        except Cancelled:
            seen.append(await loop.exit_of(child(4)))
            raise

    async def main():
        task = loop.spawn(work())
        await loop.sleep(0.001)
        task.cancel()
        await loop.first([task])
        with pytest.raises(Cancelled):
            task.result()

    loop.run(main())
    assert seen == [4]


def test_a_chore_waits_until_nothing_happens_for_a_moment():
    loop = Loop()
    seen = []

    async def main():
        loop.later(lambda: seen.append("chore"))
        for _ in range(5):
            await loop.sleep(0.001)
        seen.append("busy")
        await loop.sleep(0.3)
        seen.append("idle")

    loop.run(main())
    assert seen == ["busy", "chore", "idle"]


def test_chores_that_are_left_are_done_by_tidy():
    loop = Loop()
    seen = []

    async def main():
        loop.later(lambda: seen.append("chore"))

    loop.run(main())
    assert seen == []
    loop.tidy()
    assert seen == ["chore"]


def test_the_loop_gives_signal_handling_back():
    before = signal.getsignal(signal.SIGCHLD)
    loop = Loop()
    loop.run(loop.sleep(0))
    assert signal.getsignal(signal.SIGCHLD) == before
