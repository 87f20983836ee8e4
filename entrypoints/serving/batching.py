"""One thread that asks the model, and takes along whatever came while it was busy."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
Rows = NDArray[np.float32]
MEMORY = 0.8  # of what is known of the model's speed, when a new batch was measured


class Outcome(NamedTuple):
    """One request's rows, and how they came about."""

    rows: Rows
    waited: float  # seconds
    took: float  # seconds of the whole forward pass
    batch: int  # pictures in it


class _Work(NamedTuple):
    pictures: Pixels
    came: float
    answer: Future[Outcome]


class Batcher:
    """Never waits for company: an idle model gets a single picture at once, a busy one the next batch when it is done.

    A batch has at most `most` pictures, and as few as the model is known to do in `seconds`; a request alone is never
    cut in pieces. `forward` (n, H, W, 3) → (n, classes) is called from one thread alone, after `prepare`: each thread
    that torch computes in has a team of its own, and two teams on the same processors wait for each other.
    """

    def __init__(
        self, forward: Callable[[Pixels], Rows], most: int, seconds: float, prepare: Callable[[], None] = lambda: None
    ) -> None:
        self._forward = forward
        self._prepare = prepare
        self._most = most
        self._seconds = seconds
        self._each = 0.0  # seconds a picture, lately
        self._waiting: queue.SimpleQueue[_Work | None] = queue.SimpleQueue()
        self._left: _Work | None = None  # what did not fit into the last batch
        self._thread = threading.Thread(target=self._run, name="model", daemon=True)
        self._thread.start()

    def ask(self, pictures: Pixels) -> Future[Outcome]:
        """From any thread."""
        work = _Work(pictures, time.perf_counter(), Future())
        self._waiting.put(work)
        return work.answer

    def close(self) -> None:
        """What was asked before is answered; afterwards nothing is."""
        self._waiting.put(None)
        self._thread.join()

    def _run(self) -> None:
        self._prepare()
        while (first := self._next()) is not None:
            batch, closing = self._gathered(first)
            self._answer(batch)
            if closing:
                return

    def _next(self) -> _Work | None:
        left, self._left = self._left, None
        return left or self._waiting.get()

    def _gathered(self, first: _Work) -> tuple[list[_Work], bool]:
        """With `first` all that waits, as far as it fits; and whether there will be no more."""
        batch, room = [first], self._room() - len(first.pictures)
        while room > 0:
            try:
                following = self._waiting.get_nowait()
            except queue.Empty:
                break
            if following is None:
                return batch, True
            if len(following.pictures) > room:
                self._left = following
                break
            batch.append(following)
            room -= len(following.pictures)
        return batch, False

    def _room(self) -> int:
        return self._most if not self._each else max(1, min(self._most, int(self._seconds / self._each)))

    def _answer(self, batch: list[_Work]) -> None:
        """One request that breaks the model must not take the others along: then each is asked alone."""
        began = time.perf_counter()
        pictures = batch[0].pictures if len(batch) == 1 else np.concatenate([work.pictures for work in batch])
        try:
            rows = self._forward(pictures)
        except Exception as error:  # whatever it is has to reach the caller, who is in another thread
            if len(batch) == 1:
                batch[0].answer.set_exception(error)
            else:
                for work in batch:
                    self._answer([work])
            return
        took = time.perf_counter() - began
        each = took / len(pictures)
        self._each = MEMORY * self._each + (1 - MEMORY) * each if self._each else each
        start = 0
        for work in batch:
            end = start + len(work.pictures)
            work.answer.set_result(Outcome(rows[start:end], began - work.came, took, len(pictures)))
            start = end
