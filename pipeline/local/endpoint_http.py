"""HTTP/1.1 messages as the router of an endpoint passes them on: read whole and bounded, written anew."""

from __future__ import annotations

import re
from collections import namedtuple

from pipeline.local.operations.endpoints import LARGEST_BODY

TYPE_CHECKING = False
if TYPE_CHECKING:
    from asyncio import StreamReader
    from collections.abc import Callable, Iterable

CONTROL = "/.darkroom/routes"  # what the supervisor PUTs, with its key in the header KEY
KEY = "X-Darkroom-Key"
TARGET = "X-Amzn-SageMaker-Target-Variant"
VARIANT = "x-Amzn-Invoked-Production-Variant"
PATIENCE = "X-Darkroom-Patience"  # of an asynchronous request: seconds that its answer may take
PROBLEM = "X-Darkroom-Problem"  # of an answer that no model gave: one of the words below
BROKEN, SILENT, NOBODY, NO_VARIANT = "broken", "silent", "nobody", "no-variant"
LARGEST_HEAD = 64 << 10  # bytes
LARGEST_PATIENT_BODY = 1 << 30  # bytes of an asynchronous request
LARGEST_ANSWER = 64 << 20  # bytes; so much of a model's answer is kept in memory
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


async def read_request(reader: StreamReader, go_on: Callable[[], None]) -> Message:
    """Raises Malformed, IncompleteReadError (empty where nothing more comes). `go_on` answers Expect: 100-continue."""
    first, headers = await _head(reader)
    if len(first) != 3 or not _TOKEN.fullmatch(first[0]) or not first[1].startswith("/") or first[2][:7] != "HTTP/1.":
        raise Malformed(400, "this is no HTTP request")
    if value(headers, "expect").lower() == "100-continue":
        go_on()
    most = LARGEST_PATIENT_BODY if value(headers, PATIENCE.lower()) else LARGEST_BODY
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


async def _body(reader: StreamReader, headers: list[tuple[str, str]], most: int, otherwise: bytes | None) -> bytes:
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
        return await reader.readexactly(int(length))
    if otherwise is not None:
        return otherwise
    return await _until_end(reader, most)


async def _chunks(reader: StreamReader, most: int) -> bytes:
    parts: list[bytes] = []
    total = 0
    while True:
        size = (await reader.readuntil(b"\r\n"))[:-2].partition(b";")[0].decode("latin-1").strip()
        if not _CHUNK.fullmatch(size):
            raise Malformed(400, "a chunk without a size")
        total += int(size, 16)
        if total > most:
            raise _too_large(most)
        if int(size, 16) == 0:
            while await reader.readuntil(b"\r\n") != b"\r\n":  # trailers
                pass
            return b"".join(parts)
        parts.append((await reader.readexactly(int(size, 16) + 2))[:-2])


async def _until_end(reader: StreamReader, most: int) -> bytes:
    parts, total = [], 0
    while part := await reader.read(64 << 10):
        total += len(part)
        if total > most:
            raise _too_large(most)
        parts.append(part)
    return b"".join(parts)


def _too_large(most: int) -> Malformed:
    return Malformed(413, f"the body has more than {most} bytes")


def _keeps(version: str, headers: list[tuple[str, str]]) -> bool:
    words = value(headers, "connection").lower()
    return "keep-alive" in words if version == "HTTP/1.0" else "close" not in words
