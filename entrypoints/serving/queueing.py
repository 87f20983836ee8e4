"""What waits for the model and what is known to come, and which part of it a worker takes."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
Rows = NDArray[np.float32]
MEMORY = 0.8  # of what is known of the model's speed, when a new batch was measured
PATIENCE = 0.25  # of the time that a batch will take, for what is known to come: chosen, see docs/benchmarks.md


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


class Work(NamedTuple):
    """One request; it is never cut in pieces."""

    pictures: Pixels
    came: float
    answer: Future[Outcome]


class Taken(NamedTuple):
    """A worker's next batch; nothing in it once the queue is closed."""

    batch: list[Work]
    passes: int  # there are to share the processors

    @property
    def pictures(self) -> int:
        return sum(len(work.pictures) for work in self.batch)


class Queue:
    """What waits is shared out among the workers that are free.

    A worker waits for company that is known to come, a little while, and for no other: with as many busy callers as
    make two batches of four, a batch's answers bring the pictures of a next one, one after the other out of the
    decoders, and the first of them would be asked alone.

    Of idle workers the first is woken, and the n-th never has more than its part of n passes: each worker whose passes
    have several threads keeps a pool of them, and where pools together have more threads than there are processors,
    OpenMP lets them sleep at every layer instead of waiting for each other (GOMP_SPINCOUNT in libgomp's manual).
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._each = 0.0  # seconds a picture, lately
        self._busy = 0
        self._closed = False
        self._waiting: deque[Work] = deque()
        self._coming: set[object] = set()
        self._lock = threading.Lock()
        self._woken = [threading.Condition(self._lock) for _ in range(limits.workers)]
        self._idle: set[int] = set()
        self._chooser: int | None = None  # the worker that chooses its batch, or waits for company

    @property
    def idle(self) -> int:
        """Workers that wait for work."""
        return len(self._idle)

    @contextlib.contextmanager
    def expecting(self) -> Iterator[object]:
        """One more request is to come, unless it turns out otherwise; give what this yields to `put`."""
        token = object()
        with self._lock:
            self._coming.add(token)
        try:
            yield token
        finally:
            with self._lock:
                if token in self._coming:
                    self._coming.remove(token)
                    self._wake()

    def put(self, work: Work, token: object = None) -> None:
        """From any thread."""
        with self._lock:
            self._coming.discard(token)
            self._waiting.append(work)
            self._wake()

    def close(self) -> None:
        with self._lock:
            self._closed = True
            self._wake_all()

    def take(self, number: int) -> Taken:
        """Waits for work; in the thread of the worker of this number, which calls `done` for each batch."""
        with self._lock:
            while not self._waiting or self._chooser not in (None, number):
                if self._closed and not self._waiting:
                    return Taken([], 0)
                self._idle.add(number)
                self._woken[number].wait()
                self._idle.discard(number)
            self._chooser = number
            self._await_company(self._woken[number])
            self._chooser = None
            batch = self._part()
            self._busy += 1
            if self._closed:  # some have seen work that this worker has taken now
                self._wake_all()
            elif self._waiting:
                self._wake()
            asked = self._busy + len(self._waiting) + len(self._coming)
            return Taken(batch, max(number + 1, min(self._limits.workers, asked)))

    def done(self) -> None:
        """One more worker is free, so that the part of one that is choosing is smaller."""
        with self._lock:
            self._busy -= 1
            if self._chooser is not None:
                self._wake()

    def took(self, seconds: float, pictures: int) -> None:
        each = seconds / pictures
        with self._lock:
            self._each = MEMORY * self._each + (1 - MEMORY) * each if self._each else each

    def _wake(self) -> None:
        """Whoever is choosing may have what it waits for; else the first idle worker has something to choose.

        The choice is its own from now on: until its thread runs, what comes wakes no other.
        """
        if self._chooser is None and self._waiting and self._idle:
            self._chooser = min(self._idle)
            self._idle.remove(self._chooser)
        if self._chooser is not None:
            self._woken[self._chooser].notify()

    def _wake_all(self) -> None:
        for each in self._woken:
            each.notify()

    def _await_company(self, woken: threading.Condition) -> None:
        """Until the batch is as large as this worker's part of all that waits and comes."""
        until: float | None = None
        while self._coming and not self._closed:
            size = min(self._share(), self._room())
            if sum(len(work.pictures) for work in self._waiting) >= size:
                return
            now = time.perf_counter()
            until = until or now + PATIENCE * self._each * size
            if now >= until:
                return
            woken.wait(until - now)

    def _share(self) -> int:
        """Requests for each worker that is free."""
        return -(-(len(self._waiting) + len(self._coming)) // (self._limits.workers - self._busy))

    def _part(self) -> list[Work]:
        """As far as it fits; always one."""
        part = self._share()
        batch = [self._waiting.popleft()]
        room = self._room() - len(batch[0].pictures)
        while self._waiting and len(batch) < part and len(self._waiting[0].pictures) <= room:
            batch.append(self._waiting.popleft())
            room -= len(batch[-1].pictures)
        return batch

    def _room(self) -> int:
        most, seconds, _ = self._limits
        return most if not self._each else max(1, min(most, int(seconds / self._each)))
