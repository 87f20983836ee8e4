"""A load generator for /invocations: N connections that are kept, each sending its next request after an answer.

    python benchmarks/servers/load.py PORT CONCURRENCY COUNT BODY…

Bodies are files, sent in turn. Prints {"seconds", "times": [seconds of each], "statuses": {"200": n}} as JSON.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

HEAD = "POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\r\n"


def request(body: bytes, kind: str, path: str = "/invocations") -> bytes:
    return HEAD.format(path=path, kind=kind, length=len(body)).encode() + body


async def exchange(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, message: bytes) -> tuple[int, bytes]:
    writer.write(message)
    head = await reader.readuntil(b"\r\n\r\n")
    status = int(head.split(None, 2)[1])
    length = next(int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
    return status, await reader.readexactly(length)


Check = Callable[[int, int, bytes], None]


async def run(port: int, concurrency: int, messages: list[bytes], count: int, check: Check | None = None) -> dict:  # type: ignore[type-arg]
    """`check` is given which message it was, the status and the answer."""
    times: list[float] = []
    statuses: Counter[int] = Counter()
    numbers = iter(range(count))

    async def connection() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for number in numbers:
            began = time.perf_counter()
            status, answer = await exchange(reader, writer, messages[number % len(messages)])
            times.append(time.perf_counter() - began)
            statuses[status] += 1
            if check is not None:
                check(number % len(messages), status, answer)
        writer.close()

    began = time.perf_counter()
    await asyncio.gather(*(connection() for _ in range(concurrency)))
    return {"seconds": time.perf_counter() - began, "times": times, "statuses": statuses}


def main() -> None:
    port, concurrency, count, *files = sys.argv[1:]
    kinds = {".jpg": "image/jpeg", ".npy": "application/x-npy"}
    messages = [request(Path(name).read_bytes(), kinds[Path(name).suffix]) for name in files]
    print(json.dumps(asyncio.run(run(int(port), int(concurrency), messages, int(count)))))


if __name__ == "__main__":
    main()
