"""Threads that ask the model, and take along what came while they were busy."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import AbstractContextManager

import numpy as np

from serving.queueing import Limits, Outcome, Pixels, Queue, Rows, Work


class Batcher:
    """An idle model gets a picture that is alone at once, busy workers the next batch when they are done.

    `share(passes, pictures)` is called in the worker's thread before each pass: how many passes there are to share the
    processors at that moment, and how many pictures this one has. Several passes of one thread each finish more than
    one pass of several threads, which wait for each other at every layer and, where another process takes a core away,
    spin meanwhile.
    """

    def __init__(
        self, forward: Callable[[Pixels], Rows], limits: Limits, share: Callable[[int, int], None] = lambda *_: None
    ) -> None:
        self._forward = forward
        self._share = share
        self._queue = Queue(limits)
        self._threads = [
            threading.Thread(target=self._run, args=(number,), name=f"model-{number}", daemon=True)
            for number in range(limits.workers)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def at_rest(self) -> bool:
        """Whether no thread has anything to do; one that has answered is still busy for a moment."""
        return self._queue.idle == len(self._threads)

    def expecting(self) -> AbstractContextManager[object]:
        """Around what comes before `ask`, such as decoding: give what it yields to `ask`."""
        return self._queue.expecting()

    def ask(self, pictures: Pixels, expected: object = None) -> Future[Outcome]:
        """From any thread."""
        work = Work(pictures, time.perf_counter(), Future())
        self._queue.put(work, expected)
        return work.answer

    def close(self) -> None:
        """What was asked before is answered; afterwards nothing is."""
        self._queue.close()
        for thread in self._threads:
            thread.join()

    def _run(self, number: int) -> None:
        while (taken := self._queue.take(number)).batch:
            # Nobody waits any more for what was cancelled; what is running cannot be.
            wanted = taken._replace(batch=[work for work in taken.batch if work.answer.set_running_or_notify_cancel()])
            try:
                if wanted.batch:
                    self._share(wanted.passes, wanted.pictures)
                    self._answer(wanted.batch)
            finally:
                self._queue.done()

    def _answer(self, batch: list[Work]) -> None:
        """One request that breaks the model must not take the others along: then each is asked alone."""
        began = time.perf_counter()
        try:
            pictures = batch[0].pictures if len(batch) == 1 else np.concatenate([work.pictures for work in batch])
            rows = self._forward(pictures)
        except (Exception, SystemExit) as error:  # whatever it is has to reach the caller, who is in another thread
            if len(batch) == 1:
                left = isinstance(error, SystemExit)  # which would end the server there
                batch[0].answer.set_exception(RuntimeError(f"the network raised {error!r}") if left else error)
            else:
                for work in batch:
                    self._answer([work])
            return
        took = time.perf_counter() - began
        self._queue.took(took, len(pictures))
        start = 0
        for work in batch:
            end = start + len(work.pictures)
            work.answer.set_result(Outcome(rows[start:end], began - work.came, took, len(pictures)))
            start = end
