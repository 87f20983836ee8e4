"""Torch's threads, shared out among the passes that run at once."""

from __future__ import annotations

from collections.abc import Callable

TRIES = 5  # of each, in turns


class Share:
    """A part each for passes at once; for a picture alone as many as are fastest."""

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self.alone = threads  # of a pass over one picture, and nothing beside it

    def __call__(self, passes: int, pictures: int) -> None:
        """In the thread of a pass, which has a number of its own."""
        import torch

        part = max(1, self.threads // passes)
        torch.set_num_threads(min(part, self.alone) if pictures == 1 else part)

    def settle(self, seconds: Callable[[], float]) -> None:
        """Whether all threads or a single one; `seconds` says what a pass over one picture takes as things are.

        Small pictures are often faster with one: threads wait for each other at every layer.
        """
        choices = sorted({1, self.threads})
        took: dict[int, list[float]] = {threads: [] for threads in choices}
        for _ in range(TRIES if len(choices) > 1 else 0):
            for self.alone in choices:
                took[self.alone].append(seconds())
        self.alone = min(choices, key=lambda threads: min(took[threads], default=0.0))
