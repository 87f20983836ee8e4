"""A load generator for /invocations: N connections that are kept, each sending its next request after an answer.

    python benchmarks/servers/load.py PORT CONCURRENCY COUNT BODY…

Bodies are files, sent in turn. Prints {"seconds", "times": [seconds of each], "statuses": {"200": n}} as JSON.
It shares the processors with what it measures: one thread, of an answer nothing but status and length is looked at.
"""

from __future__ import annotations

import json
import selectors
import socket
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

HEAD = "POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\r\n"
PATIENCE = 120  # seconds without any answer
Check = Callable[[int, int, bytes], None]


class Load(NamedTuple):
    seconds: float
    times: list[float]
    statuses: Counter[int]


def request(body: bytes, kind: str, path: str = "/invocations") -> bytes:
    return HEAD.format(path=path, kind=kind, length=len(body)).encode() + body


def run(port: int, concurrency: int, messages: list[bytes], count: int, check: Check | None = None) -> Load:
    """`check` is given which message it was, the status and the answer. Raises ConnectionError for one that is lost."""
    found = Load(0.0, [], Counter())
    numbers = iter(range(count))
    with selectors.DefaultSelector() as selector:
        began = time.perf_counter()
        for _ in range(min(concurrency, count)):
            connection = Connection(port)
            selector.register(connection.socket, selectors.EVENT_READ, connection)
            connection.send(next(numbers), messages)
        while selector.get_map():
            ready = selector.select(PATIENCE)
            if not ready:
                raise ConnectionError(f"no answer for {PATIENCE} seconds")
            for key, _ in ready:
                _received(key.data, found, check, len(messages))
                _next(key.data, selector, numbers, messages)
    return found._replace(seconds=time.perf_counter() - began)


class Connection:
    """`number`: of the request that is on its way, -1 for none."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.number, self.began, self.received = -1, 0.0, b""

    def send(self, number: int, messages: list[bytes]) -> None:
        self.number, self.began, self.received = number, time.perf_counter(), b""
        self.socket.sendall(messages[number % len(messages)])

    def answer(self) -> tuple[int, bytes] | None:
        """Status and body, once they are whole."""
        piece = self.socket.recv(1 << 18)
        if not piece:
            raise ConnectionError(f"request {self.number}: hung up on after {self.received!r}")
        self.received += piece
        head, found, body = self.received.partition(b"\r\n\r\n")
        if not found:
            return None
        length = int(head.lower().partition(b"\r\ncontent-length:")[2].partition(b"\r\n")[0])
        return (int(head[9:12]), body) if len(body) >= length else None


def _received(connection: Connection, found: Load, check: Check | None, count: int) -> None:
    answer = connection.answer()
    if answer is None:
        return
    found.times.append(time.perf_counter() - connection.began)
    found.statuses[answer[0]] += 1
    if check is not None:
        check(connection.number % count, *answer)
    connection.number = -1


def _next(
    connection: Connection, selector: selectors.BaseSelector, numbers: Iterator[int], messages: list[bytes]
) -> None:
    if connection.number >= 0:
        return
    number = next(numbers, None)
    if number is None:
        selector.unregister(connection.socket)
        connection.socket.close()
    else:
        connection.send(number, messages)


def main() -> None:
    port, concurrency, count, *files = sys.argv[1:]
    kinds = {".jpg": "image/jpeg", ".npy": "application/x-npy"}
    messages = [request(Path(name).read_bytes(), kinds[Path(name).suffix]) for name in files]
    print(json.dumps(run(int(port), int(concurrency), messages, int(count))._asdict()))


if __name__ == "__main__":
    main()
