"""The server's queue: a worker waits for pictures that are known to come, a little while, and for no others."""

from __future__ import annotations

import contextlib
import time
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import pytest
from serving.queueing import Limits, Queue, Taken, Work

SLOW = 60.0  # seconds a picture: a worker would wait for company until the test ends


def work(pictures: int = 1) -> Work:
    return Work(np.zeros((pictures, 2, 2, 3), np.uint8), 0.0, Future())


def queue(workers: int = 1, seconds: float = SLOW) -> Queue:
    made = Queue(Limits(8, 1000, workers))
    made.took(seconds, 1)
    return made


def started(pool: ThreadPoolExecutor, made: Queue, *workers: int) -> list[Future[Taken]]:
    """Workers that have nothing to do yet."""
    taken = [pool.submit(made.take, number) for number in workers]
    while made.idle < len(workers):
        time.sleep(0.001)
    return taken


def sizes(taken: list[Future[Taken]]) -> list[int]:
    return [each.result(60).pictures for each in taken]


def test_what_is_being_decoded_is_waited_for() -> None:
    made = queue()
    with ThreadPoolExecutor() as pool, made.expecting() as first, made.expecting() as second:
        taken = started(pool, made, 0)
        made.put(work(), first)
        time.sleep(0.05)  # a worker that did not wait would have begun
        made.put(work(), second)
        assert sizes(taken) == [2]


def test_what_turns_out_to_be_no_picture_is_waited_for_no_longer() -> None:
    made = queue()
    with ThreadPoolExecutor() as pool, made.expecting() as first:
        with pytest.raises(ValueError), made.expecting():
            taken = started(pool, made, 0)
            made.put(work(), first)
            raise ValueError("no picture")
        assert sizes(taken) == [1]


def test_nobody_waits_longer_than_a_part_of_what_the_batch_takes() -> None:
    made = queue(seconds=1e-6)
    with made.expecting() as first, made.expecting():
        made.put(work(), first)
        assert made.take(0).pictures == 1


def test_a_worker_that_knows_nothing_of_the_models_speed_waits_for_nobody() -> None:
    made = Queue(Limits(8, 1000))
    with made.expecting() as first, made.expecting():
        made.put(work(), first)
        assert made.take(0).pictures == 1


def test_two_workers_wait_for_their_halves_alone() -> None:
    """Of four, the first begins with two while two more are still being decoded; each has its part of processors."""
    made = queue(workers=2)
    with ThreadPoolExecutor() as pool, contextlib.ExitStack() as stack:
        a, b, c, d = (stack.enter_context(made.expecting()) for _ in range(4))
        taken = started(pool, made, 0, 1)
        for first, second, worker in ((a, b, taken[0]), (c, d, taken[1])):
            made.put(work(), first)
            made.put(work(), second)
            assert (worker.result(60).pictures, worker.result().passes) == (2, 2)


def test_two_requests_at_once_are_two_passes_that_share_the_processors() -> None:
    made = queue(workers=2)
    with made.expecting() as first, made.expecting():
        made.put(work(), first)
        taken = made.take(0)
    assert (taken.pictures, taken.passes) == (1, 2)


def test_a_batch_that_is_full_waits_for_nothing() -> None:
    made = queue()
    with made.expecting() as first, made.expecting():
        made.put(work(8), first)
        assert made.take(0).pictures == 8


def test_a_queue_that_closes_waits_for_nothing() -> None:
    made = queue()
    with ThreadPoolExecutor() as pool, made.expecting() as first, made.expecting():
        taken = started(pool, made, 0)
        made.put(work(), first)
        made.close()
        assert sizes(taken) == [1]
        assert made.take(0).batch == []


def test_a_queue_that_closes_lets_every_worker_go() -> None:
    """Also those that wait for another's choice, which leaves nothing for them; many times, as threads take turns."""
    for _ in range(100):
        made = queue(workers=8)
        with ThreadPoolExecutor(8) as pool, contextlib.ExitStack() as stack:
            token, *_ = [stack.enter_context(made.expecting()) for _ in range(16)]
            taken = started(pool, made, *range(8))
            made.put(work(), token)
            while made.idle != 7:
                time.sleep(0.0001)
            made.close()
            assert sorted(sizes(taken)) == [0] * 7 + [1]
