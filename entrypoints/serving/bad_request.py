"""How a request is refused: one sentence for the caller, and a status."""

from __future__ import annotations


class BadRequest(ValueError):
    """What is wrong with the request, and the 4xx status that goes with it."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


class Busy(RuntimeError):
    """Nothing is wrong with the request, and it may be sent again: 503 with Retry-After."""
