"""SIGTERM, which SageMaker sends 120 s before it ends a job: training ends behind a step, and its checkpoint has it.

The process then ends with 143 as if it had not looked: by 0 a job that lost its spot instance would be taken for one
that has succeeded. AWS's toolkit starts train.py below a process of its own that passes no signal on
(github.com/aws/sagemaker-training-toolkit, issues 125 and 173): there it is what checkpoint_minutes has kept that
counts. The signal comes on this project's local service, below torchrun, in an image of one's own, in a terminal.
"""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType


class Interrupted(SystemExit):
    """Ends the process with what a shell says of one that a signal ended."""

    def __init__(self) -> None:
        super().__init__(128 + signal.SIGTERM)

    def __str__(self) -> str:
        return "it was interrupted by SIGTERM"


class Interruption:
    """`waits`: from the first step on what came is put off until `end` is called, behind a step."""

    came, waits = False, False

    def note(self, _number: int, _frame: FrameType | None) -> None:
        self.came = True
        if not self.waits:
            raise Interrupted

    def end(self) -> None:
        if self.came:
            raise Interrupted


@contextlib.contextmanager
def noticed() -> Iterator[Interruption]:
    """Python takes signals in its main thread alone."""
    interruption = Interruption()
    if threading.current_thread() is not threading.main_thread():
        yield interruption
        return
    before = signal.signal(signal.SIGTERM, interruption.note)
    try:
        yield interruption
    finally:
        signal.signal(signal.SIGTERM, before)
