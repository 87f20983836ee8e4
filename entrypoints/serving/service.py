"""The model behind the server: loading, ready, failed or draining, and what is being worked on."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from payload import Body, decode
from refusal import Refusal

from serving import journal, processors
from serving.batching import Batcher
from serving.capture import Capture
from serving.metrics import Metrics
from serving.queueing import Limits, Outcome
from serving.settings import Settings
from serving.sharing import Share

LOADING, READY, FAILED, DRAINING = "loading", "ready", "failed", "draining"
MOST_HELD = 256 * 2**20  # bytes of bodies at once
BROKEN_AFTER = 3  # forward passes that failed in a row: the model, or its device, will not come back
REASONS = {
    LOADING: "the model is still loading",
    FAILED: "the model failed to load; the log has the reason",
    DRAINING: "this server is stopping; ask again",
}


class Service:
    """One model. `load` fills it; `predict` answers; all else is said by the attributes."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.state = LOADING
        self.metrics = Metrics()
        self.capture: Capture | None = None
        self.predictor: Any = None
        self.rewritten = False  # whether some passes have another network than torch's, see networks.py
        self.in_flight = 0  # requests, from their headers to their answers
        self.held = 0  # bytes of their bodies
        self.failures = 0  # forward passes, in a row
        self._batcher: Batcher | None = None
        self._decoders: ThreadPoolExecutor | None = None

    @property
    def reason(self) -> str:
        """Why nothing is predicted, in words for callers; empty when something is."""
        return REASONS.get(self.state, "")

    def load(self) -> None:
        """Imports torch, reads the archive and predicts once, so that the first caller waits for none of it."""
        began = time.monotonic()
        try:
            self._open()
        except (
            Exception,
            SystemExit,
        ) as error:  # a network of somebody's own may raise it
            self.state = FAILED
            reason = str(error) if isinstance(error, Refusal) else f"{type(error).__name__}: {error}"
            journal.say("error", f"the model cannot be served, /ping stays red: {reason}")
            return
        if self.state == LOADING:
            self.state = READY
        seconds = time.monotonic() - began
        said = f"ready after {seconds:.1f} s: {self.settings.model_dir}"
        journal.say("info", said, processors=processors.count(), rewritten=self.rewritten)

    def load_in_background(self) -> None:
        threading.Thread(target=self.load, name="loading", daemon=True).start()

    async def predict(self, body: Body) -> Outcome:
        """Raises BadRequest for what is no picture, and whatever the model raised."""
        assert self._decoders is not None and self._batcher is not None
        loop = asyncio.get_running_loop()
        with self._batcher.expecting() as expected:
            asked = await loop.run_in_executor(self._decoders, self._asked, body, expected)
        try:
            outcome = await asyncio.wrap_future(asked)
        except Exception:
            self._failed()
            raise
        self.failures = 0
        return outcome

    def _asked(self, body: Body, expected: object) -> Future[Outcome]:
        """In a decoder's thread, which hands the pictures on itself: the model does not wait for the loop's turn."""
        assert self._batcher is not None
        return self._batcher.ask(decode(body, self.predictor.frame, self.settings.max_body), expected)

    def _failed(self) -> None:
        """Good requests that the model cannot answer: SageMaker replaces a server whose ping stays red."""
        self.failures += 1
        if self.failures >= BROKEN_AFTER and self.state == READY:
            self.state = FAILED
            journal.say("error", f"{self.failures} forward passes failed in a row, /ping turns red")

    def close(self) -> None:
        for part in (self._decoders, self._batcher, self.capture):
            match part:
                case ThreadPoolExecutor():
                    part.shutdown()
                case Batcher() | Capture():
                    part.close()

    def _open(self) -> None:
        import inference
        import torch

        from serving import networks

        # What is loaded in several threads leaves a pool of them behind, beside which the model's own may only sleep
        # between its layers (queueing.py), just while Share measures how many threads a lone picture should have.
        torch.set_num_threads(1)
        settings, may = self.settings, processors.count()
        predictor = inference.model_fn(settings.model_dir)
        self._decoders = ThreadPoolExecutor(may, "decoder", torch.set_num_threads, (1,))
        # A network of somebody's own may keep something of a pass in itself, and a GPU does one after the other.
        several = not predictor.own and predictor.device.type == "cpu"
        threads = processors.threads(os.environ, may)
        made = networks.fastest if several and settings.network == "fastest" else networks.as_torch_has_it
        answering = made(predictor, threads)
        self.rewritten = answering.rewritten
        limits = Limits(settings.max_batch, settings.batch_seconds, may if several else 1)
        share = Share(threads)
        self._batcher = Batcher(answering, limits, share)
        warm(self._batcher, share, predictor.image_size, min(networks.FEW, settings.max_batch))
        if settings.capture is not None:
            self.capture = Capture(settings.capture, settings.capture_share, settings.capture_bytes)
        self.predictor = predictor


def warm(batcher: Batcher, share: Share, side: int, few: int) -> None:
    """The first pass is slow, and says nothing about the next."""
    import numpy as np

    blank = np.zeros((few, side, side, 3), dtype=np.uint8)

    def asked(pictures: int) -> Outcome:
        """Alone: beside a thread that is not done yet it would be a pass with its part of the processors."""
        while not batcher.at_rest:
            time.sleep(0.0005)
        return batcher.ask(blank[:pictures]).result()

    asked(1)
    share.settle(lambda: asked(1).took)
    for pictures in (1, few):
        asked(pictures)
