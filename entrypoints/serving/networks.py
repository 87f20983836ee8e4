"""One model's networks, each the fastest for one kind of pass on CPUs."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import inference
import numpy as np
import torch
from inference import Predictor

from serving import onednn
from serving.queueing import Pixels, Rows

FEW = 4  # pictures: a batch of a server that is busy


class Networks(NamedTuple):
    """All say the same, to rounding: oneDNN keeps weights in an order that fits a number of threads and of pictures.

    In another pass it orders them anew every time, so that those are torch's own network's. docs/benchmarks.md has
    what each saves in its pass, and what it would cost in another.
    """

    plain: Predictor
    busy: Predictor  # of passes in one thread, over one picture or a few
    alone: Predictor  # of a single picture that has all threads
    threads: int

    @property
    def rewritten(self) -> bool:
        return self.busy is not self.plain or self.alone is not self.plain

    def __call__(self, pictures: Pixels) -> Rows:
        """In the thread of a pass, which torch has been told the number of threads of."""
        return inference.probabilities(self._fitting(torch.get_num_threads(), len(pictures)), pictures)

    def _fitting(self, threads: int, pictures: int) -> Predictor:
        if threads == 1:
            return self.busy
        return self.alone if (threads, pictures) == (self.threads, 1) else self.plain


def as_torch_has_it(predictor: Predictor, threads: int) -> Networks:
    return Networks(predictor, predictor, predictor, threads)


def fastest(predictor: Predictor, threads: int, clock: onednn.Clock | None = None) -> Networks:
    """`threads`: all that a pass may have. Predictors are the very one given where its network is as fast."""
    noise = np.random.default_rng(0).integers(0, 256, (FEW, *[predictor.image_size] * 2, 3), dtype=np.uint8)
    # A thread of its own, so that the pool of threads that passes leave behind ends with it, see service.py.
    with ThreadPoolExecutor(1, "ordering") as ordering:
        busy = ordering.submit(_ordered, predictor, noise, 1, clock).result()
        alone = ordering.submit(_ordered, predictor, noise[:1], threads, clock).result() if threads > 1 else busy
    return Networks(predictor, busy, alone, threads)


def _ordered(predictor: Predictor, noise: Pixels, threads: int, clock: onednn.Clock | None) -> Predictor:
    network = onednn.fastest(predictor.network, inference.inputs(predictor, noise), threads, clock)
    return predictor if network is predictor.network else predictor._replace(network=network)
