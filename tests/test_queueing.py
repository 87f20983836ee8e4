"""The server's queue: a worker waits for pictures that are known to come, a little while, and for no others."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import pytest
from serving.queueing import Limits, Queue, Taken, Work

SLOW = 1e6  # seconds a picture: a worker that nobody wakes would wait for company for days
PATIENT = 120  # seconds, for what a busy machine does at once


def work(pictures: int = 1) -> Work:
    return Work(np.zeros((pictures, 2, 2, 3), np.uint8), 0.0, Future())


def queue(workers: int = 1, seconds: float = SLOW) -> Queue:
    made = Queue(Limits(8, 1e9, workers))
    made.took(seconds, 1)
    return made


@contextlib.contextmanager
def started(made: Queue, workers: int = 1) -> Iterator[list[Future[Taken]]]:
    """Workers that have nothing to do yet; all are let go in the end."""
    with ThreadPoolExecutor(workers) as pool:
        taken = [pool.submit(made.take, number) for number in range(workers)]
        try:
            while made.idle < workers:
                time.sleep(0.001)
            yield taken
        finally:
            made.close()


def size(taken: Future[Taken]) -> int:
    return taken.result(PATIENT).pictures


def test_what_is_being_decoded_is_waited_for() -> None:
    made = queue()
    with started(made) as (taken,), made.expecting() as first, made.expecting() as second:
        made.put(work(), first)
        time.sleep(0.05)  # a worker that did not wait would have begun
        made.put(work(), second)
        assert size(taken) == 2


def test_what_turns_out_to_be_no_picture_is_waited_for_no_longer() -> None:
    made = queue()
    with started(made) as (taken,), made.expecting() as first:
        with pytest.raises(ValueError), made.expecting():
            made.put(work(), first)
            raise ValueError("no picture")
        assert size(taken) == 1


def test_nobody_waits_longer_than_a_part_of_what_the_batch_takes() -> None:
    made = queue(seconds=1e-6)
    with started(made) as (taken,), made.expecting() as first, made.expecting():
        made.put(work(), first)
        assert size(taken) == 1


def test_a_worker_that_knows_nothing_of_the_models_speed_waits_for_nobody() -> None:
    made = Queue(Limits(8, 1000))
    with started(made) as (taken,), made.expecting() as first, made.expecting():
        made.put(work(), first)
        assert size(taken) == 1


def test_two_workers_wait_for_their_halves_alone() -> None:
    """Of four, the first begins with two while two more are still being decoded; each has its part of processors."""
    made = queue(workers=2)
    with started(made, 2) as taken, contextlib.ExitStack() as stack:
        tokens = [stack.enter_context(made.expecting()) for _ in range(4)]
        for number, worker in enumerate(taken):
            for token in tokens[2 * number : 2 * number + 2]:
                made.put(work(), token)
            assert (size(worker), worker.result().passes) == (2, 2)


def test_a_worker_that_is_done_has_its_part_of_what_another_waits_for() -> None:
    """Alone the first would wait for all four; with the second beside it two are its part, and they are there."""
    made = queue(workers=2)
    with started(made, 2) as taken, contextlib.ExitStack() as stack:
        made.put(work())
        assert size(taken[0]) == 1
        tokens = [stack.enter_context(made.expecting()) for _ in range(4)]
        for token in tokens[:2]:
            made.put(work(), token)
        made.done()
        assert size(taken[1]) == 2


def test_two_requests_at_once_are_two_passes_that_share_the_processors() -> None:
    made = queue(workers=2)
    with started(made, 2) as taken, made.expecting() as first, made.expecting():
        made.put(work(), first)
        assert (size(taken[0]), taken[0].result().passes) == (1, 2)


def test_of_idle_workers_the_first_chooses_however_late_its_thread_runs() -> None:
    made = queue(workers=2)
    with started(made, 2) as taken, made.expecting(), made.expecting():
        made.put(work())
        made.put(work())
        assert size(taken[0]) == 2


def test_a_batch_that_is_full_waits_for_nothing() -> None:
    made = queue()
    with started(made) as (taken,), made.expecting() as first, made.expecting():
        made.put(work(8), first)
        assert size(taken) == 8


def test_a_queue_that_closes_lets_every_worker_go() -> None:
    """Also those that wait for another's choice, which leaves nothing for them; many times, as threads take turns."""
    for _ in range(100):
        made = queue(workers=8)
        with started(made, 8) as taken, contextlib.ExitStack() as stack:
            token, *_ = [stack.enter_context(made.expecting()) for _ in range(16)]
            made.put(work(), token)
            made.close()
            assert sorted(map(size, taken)) == [0] * 7 + [1]
        assert made.take(0).batch == []
