"""HTTP/1.1 messages as the router of an endpoint passes them on: read whole and bounded, written anew."""

from __future__ import annotations

import re
from collections import namedtuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from asyncio import StreamReader, StreamWriter
    from collections.abc import Callable, Iterable

    Body = bytes | bytearray
    Parts = tuple[bytes, Body]  # of a message: what `head` gives, and the body

CONTROL = "/.darkroom/routes"  # what the supervisor PUTs, with its key in the header KEY
KEY = "X-Darkroom-Key"
TARGET = "X-Amzn-SageMaker-Target-Variant"
VARIANT = "x-Amzn-Invoked-Production-Variant"
PATIENCE = "X-Darkroom-Patience"  # of a request to an asynchronous endpoint: seconds that its answer may take
ANSWER_LIMIT_S = 60.0  # without it: as SageMaker gives a model for one invocation
PROBLEM = "X-Darkroom-Problem"  # of an answer that no model gave: one of the words below
BROKEN, SILENT, NOBODY, NO_VARIANT = "broken", "silent", "nobody", "no-variant"
LARGEST_HEAD = 64 << 10  # bytes
LARGEST_ANSWER = 64 << 20  # bytes; so much of a model's answer is kept in memory
_PIECE = 256 << 10  # bytes on their way at once: asyncio keeps a copy of what a socket does not take yet
_TOKEN = re.compile(r"[A-Za-z]{1,20}")
_LENGTH = re.compile(r"[0-9]{1,15}")
_CHUNK = re.compile(r"[0-9A-Fa-f]{1,8}")
# of one connection, not of the message; the length is written anew
_HOPS = frozenset(
    ("connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "content-length", "host", "expect")
    + (PATIENCE.lower(),)
)

# `first`: the three words of the first line; `headers`: (name, value) pairs; `keep`: the connection goes on
Message = namedtuple("Message", "first headers body keep")


class Malformed(Exception):
    """`status` is what its sender is told."""

    def __init__(self, status: int, words: str) -> None:
        super().__init__(words)
        self.status = status


async def read_request(reader: StreamReader, go_on: Callable[[], None], most: int) -> Message:
    """Raises Malformed, IncompleteReadError. `go_on` answers Expect: 100-continue; `most`: bytes of a body."""
    first, headers = await _head(reader)
    if len(first) != 3 or not _TOKEN.fullmatch(first[0]) or not first[1].startswith("/") or first[2][:7] != "HTTP/1.":
        raise Malformed(400, "this is no HTTP request")
    if value(headers, "expect").lower() == "100-continue":
        go_on()
    body = await _body(reader, headers, most, b"")
    return Message(first, headers, body, _keeps(first[2], headers))


async def read_answer(reader: StreamReader) -> Message:
    """Of a request that was no HEAD. Raises Malformed, IncompleteReadError."""
    while True:
        first, headers = await _head(reader)
        if len(first) < 2 or not first[0].startswith("HTTP/1.") or not first[1].isdigit():
            raise Malformed(502, "the model server does not speak HTTP")
        if first[1][0] != "1":  # 100 Continue
            break
    if first[1] in ("204", "304"):
        return Message(first, headers, b"", _keeps(first[0], headers))
    bounded = value(headers, "content-length") or value(headers, "transfer-encoding")
    body = await _body(reader, headers, LARGEST_ANSWER, b"" if bounded else None)
    return Message(first, headers, body, bool(bounded) and _keeps(first[0], headers))


def value(headers: Iterable[tuple[str, str]], wanted: str) -> str:
    """The header's only value; empty without one. Raises Malformed where there are several that differ."""
    values = {text for name, text in headers if name.lower() == wanted}
    if len(values) > 1:
        raise Malformed(400, f"several values of {wanted}")
    return values.pop() if values else ""


def head(first: str, headers: Iterable[tuple[str, str]], length: int, *own: str) -> bytes:
    """What goes before a body of so many bytes; `own` are lines of this connection."""
    passed = [f"{name}: {text}" for name, text in headers if name.lower() not in _HOPS]
    return "\r\n".join((first, *own, *passed, f"Content-Length: {length}", "", "")).encode("latin-1")


async def send(writer: StreamWriter, parts: Parts) -> None:
    """In pieces, each when the one before it has gone: a large body lies in memory once."""
    first, body = parts[0], memoryview(parts[1])
    writer.write(first + body[:_PIECE])
    await writer.drain()
    for start in range(_PIECE, len(body), _PIECE):
        writer.write(body[start : start + _PIECE])
        await writer.drain()


async def _head(reader: StreamReader) -> tuple[list[str], list[tuple[str, str]]]:
    from asyncio import LimitOverrunError

    try:
        text = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    except LimitOverrunError as exc:
        raise Malformed(431, f"the head has more than {LARGEST_HEAD} bytes") from exc
    first, *lines = text[:-4].split("\r\n")
    headers = []
    for line in lines:
        name, colon, text = line.partition(":")
        if not colon or not name or name != name.strip() or "\n" in line or "\r" in line or "\0" in line:
            raise Malformed(400, "a header is none")
        headers.append((name, text.strip()))
    return first.split(" ", 2), headers


async def _body(reader: StreamReader, headers: list[tuple[str, str]], most: int, otherwise: bytes | None) -> Body:
    """`otherwise`: the body where nothing tells of one; None reads until the connection ends."""
    length, coding = value(headers, "content-length"), value(headers, "transfer-encoding").lower()
    if coding:
        if coding != "chunked" or length:
            raise Malformed(400, "Transfer-Encoding may be chunked, without a Content-Length")
        return await _chunks(reader, most)
    if length:
        if not _LENGTH.fullmatch(length):
            raise Malformed(400, "Content-Length is no number of bytes")
        if int(length) > most:
            raise _too_large(most)
        body = bytearray()
        await _take(reader, int(length), body)
        return body
    if otherwise is not None:
        return otherwise
    return await _until_end(reader, most)


async def _take(reader: StreamReader, size: int, body: bytearray) -> None:
    """Raises IncompleteReadError. What readexactly gives it has held twice."""
    from asyncio import IncompleteReadError

    end = len(body) + size
    while len(body) < end:
        part = await reader.read(min(end - len(body), _PIECE))
        if not part:
            raise IncompleteReadError(b"", size)
        body += part


async def _chunks(reader: StreamReader, most: int) -> bytearray:
    body = bytearray()
    while True:
        size = (await reader.readuntil(b"\r\n"))[:-2].partition(b";")[0].decode("latin-1").strip()
        if not _CHUNK.fullmatch(size):
            raise Malformed(400, "a chunk without a size")
        if len(body) + int(size, 16) > most:
            raise _too_large(most)
        if int(size, 16) == 0:
            while await reader.readuntil(b"\r\n") != b"\r\n":  # trailers
                pass
            return body
        await _take(reader, int(size, 16), body)
        await reader.readexactly(2)


async def _until_end(reader: StreamReader, most: int) -> bytearray:
    body = bytearray()
    while part := await reader.read(_PIECE):
        if len(body) + len(part) > most:
            raise _too_large(most)
        body += part
    return body


def _too_large(most: int) -> Malformed:
    return Malformed(413, f"the body has more than {most} bytes")


def _keeps(version: str, headers: list[tuple[str, str]]) -> bool:
    words = value(headers, "connection").lower()
    return "keep-alive" in words if version == "HTTP/1.0" else "close" not in words
