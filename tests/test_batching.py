"""Batches: what waits is taken along, what is known to come is waited for, and each gets its own rows."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, wait

import numpy as np
import pytest
from numpy.typing import NDArray
from serving.batching import Batcher
from serving.queueing import Limits, Outcome


class Model:
    """Answers with each picture's first pixel; holds until it is let go."""

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.threads: set[str] = set()
        self.let_go = threading.Event()
        self.began = threading.Event()

    def __call__(self, pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
        self.began.set()
        assert self.let_go.wait(30)
        self.batches.append(len(pictures))
        self.threads.add(threading.current_thread().name)
        if 13 in pictures[:, 0, 0, 0]:
            raise RuntimeError("out of luck")
        return pictures[:, 0, 0, :2].astype(np.float32)


@pytest.fixture
def model() -> Model:
    return Model()


@pytest.fixture
def batcher(model: Model) -> Iterator[Batcher]:
    made = Batcher(model, Limits(8, 60))
    yield made
    model.let_go.set()
    made.close()


def picture(value: int, count: int = 1) -> NDArray[np.uint8]:
    return np.full((count, 2, 2, 3), value, dtype=np.uint8)


def held(model: Model, batcher: Batcher, *pictures: NDArray[np.uint8]) -> list[Future[Outcome]]:
    """The first is being worked on when the others come."""
    first = batcher.ask(pictures[0])
    assert model.began.wait(30)
    asked = [first, *(batcher.ask(each) for each in pictures[1:])]
    model.let_go.set()
    wait(asked, 30)
    return asked


def test_an_idle_model_gets_a_single_picture_at_once_and_then_all_that_waits(model: Model, batcher: Batcher) -> None:
    asked = held(model, batcher, *(picture(value) for value in range(6)))
    assert model.batches == [1, 5]
    assert [each.result().rows[0, 0] for each in asked] == list(range(6))
    assert [each.result().batch for each in asked] == [1, 5, 5, 5, 5, 5]
    assert len(model.threads) == 1


def test_a_batch_has_its_limit_and_what_does_not_fit_comes_first_in_the_next(model: Model, batcher: Batcher) -> None:
    asked = held(model, batcher, picture(0), picture(1, 5), picture(2, 4), picture(3, 3), picture(4, 20))
    assert model.batches == [1, 5, 7, 20]
    assert [each.result().rows.shape for each in asked] == [(1, 2), (5, 2), (4, 2), (3, 2), (20, 2)]


def test_a_slow_model_is_given_no_more_than_it_does_in_time(model: Model) -> None:
    slow = Batcher(model, Limits(64, 1e-9))
    held(model, slow, *(picture(value) for value in range(4)))
    slow.close()
    assert model.batches == [1, 1, 1, 1]


def test_a_request_that_breaks_the_model_takes_no_other_along(model: Model, batcher: Batcher) -> None:
    asked = held(model, batcher, *(picture(value) for value in (1, 2, 13, 4)))
    assert [each.exception() is None for each in asked] == [True, True, False, True]
    assert str(asked[2].exception()) == "out of luck"
    assert asked[3].result().rows[0, 0] == 4


def test_who_goes_away_takes_no_other_along_and_costs_no_pass(model: Model, batcher: Batcher) -> None:
    first = batcher.ask(picture(1))
    assert model.began.wait(30)
    gone, other = batcher.ask(picture(2)), batcher.ask(picture(3))
    assert gone.cancel()
    model.let_go.set()
    assert other.result(30).rows[0, 0] == 3
    assert batcher.ask(picture(4)).result(30).rows[0, 0] == 4
    assert first.done() and model.batches == [1, 1, 1]


def test_a_network_that_would_end_the_process_ends_no_thread() -> None:
    def leaving(pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
        raise SystemExit(3)

    batcher = Batcher(leaving, Limits(8, 60))
    for value in (1, 2):
        assert str(batcher.ask(picture(value)).exception(30)) == "the network raised SystemExit(3)"
    batcher.close()


def test_closing_answers_what_was_asked_before(model: Model) -> None:
    batcher = Batcher(model, Limits(4, 60))
    asked = [batcher.ask(picture(value, 3)) for value in range(5)]
    model.let_go.set()
    batcher.close()
    assert all(each.done() and len(each.result().rows) == 3 for each in asked)


def until_idle(batcher: Batcher) -> None:
    while not batcher.at_rest:
        time.sleep(0.001)


def test_what_comes_alone_is_always_the_same_workers() -> None:
    names, shares = set(), []

    def forward(pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
        names.add(threading.current_thread().name)
        return pictures[:, 0, 0, :2].astype(np.float32)

    batcher = Batcher(forward, Limits(8, 60, workers=3), lambda *each: shares.append(each))
    for value in range(6):
        until_idle(batcher)
        batcher.ask(picture(value)).result()
    batcher.close()
    assert names == {"model-0"}
    assert shares == [(1, 1)] * 6


def test_several_workers_share_what_waits_and_the_processors() -> None:
    """The first is alone and gets all of them; what came meanwhile is shared out, and so are they."""
    entered, let_go, shares, sizes = threading.Semaphore(0), threading.Event(), [], []

    def forward(pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
        sizes.append(len(pictures))
        entered.release()
        assert let_go.wait(30)
        return pictures[:, 0, 0, :2].astype(np.float32)

    batcher = Batcher(forward, Limits(8, 60, workers=2), lambda *each: shares.append(each))
    until_idle(batcher)
    asked = [batcher.ask(picture(1))]
    assert entered.acquire(timeout=30)
    asked.append(batcher.ask(picture(2)))
    assert entered.acquire(timeout=30)
    asked += [batcher.ask(picture(value)) for value in range(3, 9)]
    let_go.set()
    batcher.close()
    assert [each.result().rows[0, 0] for each in asked] == list(range(1, 9))
    assert shares[:2] == [(1, 1), (2, 1)]
    assert sum(sizes) == 8 and sizes[:2] == [1, 1] and max(sizes) >= 3
