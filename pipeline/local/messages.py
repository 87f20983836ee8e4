"""Requests and answers of the local server, below any protocol: bounded bodies, whatever way they are framed."""

from __future__ import annotations

import json
import re
from collections import namedtuple
from urllib.parse import parse_qsl, unquote, urlsplit

from pipeline.errors import ServiceError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any, BinaryIO

BLOCK = 1 << 20
_LONGEST_LINE = 4096
_MOST_TRAILERS = 16
_HEXADECIMAL = re.compile(rb"[0-9a-fA-F]{1,15}")

# `file` is (path, first byte, length): sent from disk instead of `body`
Answer = namedtuple("Answer", "status headers body file", defaults=({}, b"", None))


class Request:
    """One HTTP request; `service` is the AWS service that the caller signed for, as far as he says."""

    __slots__ = ("access_key", "body", "headers", "method", "path", "query", "service")

    def __init__(self, method: str, target: str, headers: Mapping[str, str], body: Body) -> None:
        url = urlsplit(target)
        self.method = method
        self.path = unquote(url.path)
        self.query = dict(parse_qsl(url.query, keep_blank_values=True))
        self.headers = headers
        self.body = body
        self.access_key, self.service = self._scope()

    def _scope(self) -> tuple[str, str]:
        """(access key id, service) of a signature in the header or the query; empty where there is none."""
        if "AWSAccessKeyId" in self.query:  # version 2, which boto3 still presigns S3 addresses with
            return self.query["AWSAccessKeyId"], "s3"
        authorization = self.headers.get("Authorization", "")
        credential = self.query.get("X-Amz-Credential", "")
        if "Credential=" in authorization:
            credential = authorization.partition("Credential=")[2].partition(",")[0].strip()
        parts = credential.split("/")
        return (parts[0], parts[-2]) if len(parts) >= 5 else ("", "")


class Body:
    """What follows the header: by Content-Length or in HTTP chunks. `rest` says whether something was left unread."""

    def __init__(self, stream: BinaryIO, length: int, chunked: bool) -> None:
        self._stream = stream
        self._chunked = chunked
        self._left = 0 if chunked else length
        self._ended = not chunked and length == 0

    @property
    def rest(self) -> bool:
        return not self._ended

    def read(self, size: int) -> bytes:
        """At most `size` bytes, empty at the end. Raises ServiceError IncompleteBody when the caller hung up before."""
        if self._ended:
            return b""
        if self._chunked and self._left == 0 and not self._next_chunk():
            return b""
        data = self._stream.read(min(size, self._left))
        if not data:
            self._ended = True
            raise ServiceError("IncompleteBody", "the body ended before its announced length")
        self._left -= len(data)
        if self._left == 0:
            if self._chunked:
                self._stream.readline(_LONGEST_LINE)
            else:
                self._ended = True
        return data

    def _next_chunk(self) -> bool:
        line = self._stream.readline(_LONGEST_LINE)
        self._left = _hexadecimal(line)
        if self._left == 0:
            for _ in range(_MOST_TRAILERS):
                if not self._stream.readline(_LONGEST_LINE).strip():
                    break
            else:
                raise ServiceError("InvalidRequest", f"more than {_MOST_TRAILERS} trailers")
            self._ended = True
        return not self._ended

    def all(self, limit: int) -> bytes:
        """The whole body. Raises ServiceError RequestEntityTooLarge above `limit` bytes."""
        blocks, total = [], 0
        while data := self.read(BLOCK):
            total += len(data)
            if total > limit:
                raise ServiceError("RequestEntityTooLarge", f"the body is longer than {limit} bytes")
            blocks.append(data)
        return b"".join(blocks)


class Lines:
    """The same bytes with a look-ahead, for formats that mix lines and blocks."""

    def __init__(self, body: Body) -> None:
        self._body = body
        self._buffer = b""

    def line(self) -> bytes:
        while b"\n" not in self._buffer:
            data = self._body.read(BLOCK)
            if not data or len(self._buffer) > _LONGEST_LINE + BLOCK:
                line, self._buffer = self._buffer, b""
                return line
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line + b"\n"

    def block(self, size: int) -> bytes:
        """Between 1 and `size` bytes; raises ServiceError IncompleteBody at the end."""
        if not self._buffer:
            self._buffer = self._body.read(BLOCK)
        if not self._buffer:
            raise ServiceError("IncompleteBody", "the body ended within a chunk")
        data, self._buffer = self._buffer[:size], self._buffer[size:]
        return data


def aws_chunks(body: Body, trailers: dict[str, str]) -> Iterator[bytes]:
    """Decodes aws-chunked: `<hex>[;chunk-signature=…]` lines between blocks; fills `trailers` at the end."""
    lines = Lines(body)
    while size := _hexadecimal(lines.line()):
        while size:
            data = lines.block(size)
            size -= len(data)
            yield data
        lines.line()
    for _ in range(_MOST_TRAILERS):
        name, _, value = lines.line().decode("latin-1").strip().partition(":")
        if not name:
            return
        trailers[name.strip().lower()] = value.strip()


def _hexadecimal(line: bytes) -> int:
    size = line.partition(b";")[0].strip()
    if not _HEXADECIMAL.fullmatch(size):
        raise ServiceError("InvalidRequest", f"{line[:40]!r} is not the head of a chunk")
    return int(size, 16)


def json_answer(status: int, body: Mapping[str, Any], content_type: str, **headers: str) -> Answer:
    """Times become seconds since 1970, as the AWS JSON protocol has them."""
    data = json.dumps(body, default=_seconds).encode()
    return Answer(status, {"Content-Type": content_type, **headers}, data)


def _seconds(value: Any) -> float:
    from datetime import datetime

    if isinstance(value, datetime):
        return value.timestamp()
    raise TypeError(f"{value!r} has no place in JSON")
