"""How long, and for how much, the local server listens: a caller that dribbles must not keep a thread."""

from __future__ import annotations

import io
import time
from collections import namedtuple

from pipeline.errors import ServiceError

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
    from typing import Any

LARGEST_HEAD = 64 << 10  # bytes; S3 takes 8 KiB of headers, a presigned address some more
SLOWEST_RATE = 64 << 10  # bytes a second, over loopback

# seconds: `idle` between two requests and for an answer to be taken; `head` for request line and headers, from their
# first byte on; `body` for a body, and as much again for each of its bytes as the slowest rate allows
Limits = namedtuple("Limits", "idle head body")
LIMITS = Limits(120.0, 20.0, 60.0)


class Patience(io.RawIOBase):
    """The socket's bytes with a deadline: TimeoutError behind it, ServiceError where a head has no end."""

    def __init__(self, connection: socket.socket, limits: Limits) -> None:
        self._limits = limits
        self._connection = connection
        self._deadline = 0.0
        self._in_head = True
        self._received = 0
        self.await_request()

    def await_request(self) -> None:
        """From now on: the next request may take its time to begin."""
        self._in_head = True
        self._received = 0
        self._deadline = time.monotonic() + self._limits.idle

    def await_body(self) -> None:
        """The head was read; what was received beyond it counts as the body's."""
        self._in_head = False
        self._deadline = time.monotonic() + self._limits.body

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("the caller takes too long")
        self._connection.settimeout(left)
        size = self._connection.recv_into(buffer)
        self._note(size)
        return size

    def _note(self, size: int) -> None:
        if not self._in_head:
            self._deadline += size / SLOWEST_RATE
            return
        if self._received == 0:
            self._deadline = time.monotonic() + self._limits.head
        self._received += size
        if self._received > LARGEST_HEAD + io.DEFAULT_BUFFER_SIZE:
            raise ServiceError("RequestHeaderSectionTooLarge", f"the headers are longer than {LARGEST_HEAD} bytes")
