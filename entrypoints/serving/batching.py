"""Threads that ask the model, and take along what came while they were busy."""

from __future__ import annotations

import threading
import time
from collections import deque
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


class Limits(NamedTuple):
    """Of a batch: pictures, and as few as the model is known to do in `seconds`; how many batches at once."""

    pictures: int
    seconds: float
    workers: int = 1


class _Work(NamedTuple):
    pictures: Pixels
    came: float
    answer: Future[Outcome]


class Batcher:
    """Never waits for company: an idle model gets a single picture at once, busy workers the next batch when done.

    What waits is shared out among the workers; a request alone is never cut in pieces. `share(passes, pictures)` is
    called in the worker's thread before each pass: how many passes there are to share the processors at that moment,
    and how many pictures this one has. Several passes of one thread each finish more than one pass of several threads,
    which wait for each other at every layer and, where another process takes a core away, spin meanwhile.

    Of idle workers the first is asked, and the n-th never has more than its part of n passes: each worker whose passes
    have several threads keeps a pool of them, and where pools together have more threads than there are processors,
    OpenMP lets them sleep at every layer instead of waiting for each other (GOMP_SPINCOUNT in libgomp's manual).
    """

    def __init__(
        self, forward: Callable[[Pixels], Rows], limits: Limits, share: Callable[[int, int], None] = lambda *_: None
    ) -> None:
        self._forward = forward
        self._limits = limits
        self._share = share
        self._each = 0.0  # seconds a picture, lately
        self._busy = 0
        self._closed = False
        self._waiting: deque[_Work] = deque()
        self._lock = threading.Lock()
        self._woken = [threading.Condition(self._lock) for _ in range(limits.workers)]
        self._idle: set[int] = set()
        self._threads = [
            threading.Thread(target=self._run, args=(number,), name=f"model-{number}", daemon=True)
            for number in range(limits.workers)
        ]
        for thread in self._threads:
            thread.start()

    def ask(self, pictures: Pixels) -> Future[Outcome]:
        """From any thread."""
        work = _Work(pictures, time.perf_counter(), Future())
        with self._lock:
            self._waiting.append(work)
            if self._idle:
                first = min(self._idle)
                self._idle.remove(first)
                self._woken[first].notify()
        return work.answer

    def close(self) -> None:
        """What was asked before is answered; afterwards nothing is."""
        with self._lock:
            self._closed = True
            for each in self._woken:
                each.notify()
        for thread in self._threads:
            thread.join()

    def _run(self, number: int) -> None:
        while batch := self._next(number):
            try:
                self._answer(batch)
            finally:
                with self._lock:
                    self._busy -= 1

    def _next(self, number: int) -> list[_Work]:
        """Waits for work; nothing once it is closed."""
        with self._lock:
            while not self._waiting:
                if self._closed:
                    return []
                self._idle.add(number)
                self._woken[number].wait()
            self._busy += 1
            batch = self._gathered()
            passes = max(number + 1, min(self._limits.workers, self._busy + len(self._waiting)))
        self._share(passes, sum(len(work.pictures) for work in batch))
        return batch

    def _gathered(self) -> list[_Work]:
        """This worker's part of what waits, as far as it fits; always one."""
        free = self._limits.workers - self._busy + 1
        part = -(-len(self._waiting) // free)
        batch = [self._waiting.popleft()]
        room = self._room() - len(batch[0].pictures)
        while len(batch) < part and len(self._waiting[0].pictures) <= room:
            batch.append(self._waiting.popleft())
            room -= len(batch[-1].pictures)
        return batch

    def _room(self) -> int:
        most, seconds, _ = self._limits
        return most if not self._each else max(1, min(most, int(seconds / self._each)))

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
