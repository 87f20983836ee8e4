"""A boto3 session whose requests never leave this process's hands unseen: each may be refused, lost, or lost when done.

What boto3 would send goes to the local service over one connection, in place of botocore's own HTTP session (the event
before-send answers for it). Retries, signatures, parsers and errors above it are botocore's. Clients are made once.
"""

from __future__ import annotations

import http.client
import io
import json
import os
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import boto3
from aws_front import LOST, REFUSALS, UNHEARD
from botocore.awsrequest import AWSResponse, HeadersDict
from botocore.exceptions import ConnectionClosedError

OUTLIVES = ("content-length", "transfer-encoding", "connection", "expect")  # of one connection alone


class FaultySession:
    """`faults(operation, number)` says what happens to the number-th request; `calls` are their operations so far."""

    region_name = "us-east-1"

    def __init__(self, url: str, key: str = "dummy") -> None:
        self.url = url
        self.calls: list[str] = []
        self.given: dict[str, bytes] = {}  # operation → what is answered, in place of the local service
        self.faults: Callable[[str, int], str] = lambda operation, number: ""
        self._connection = http.client.HTTPConnection(urlsplit(url).netloc)
        self._real = boto3.Session(key, "dummy", region_name=self.region_name)
        self._made: dict[tuple[str, str], Any] = {}

    def begin(self, faults: Callable[[str, int], str] = lambda operation, number: "") -> None:
        self.calls.clear()
        self.faults = faults

    def close(self) -> None:
        self._connection.close()

    def client(self, service: str, region_name: str, config: Any) -> Any:
        key = (service, os.environ.get("AWS_MAX_ATTEMPTS", ""))
        if key not in self._made:
            made = self._real.client(service, region_name=region_name, config=config, endpoint_url=self.url)
            made.meta.events.register("before-send", self._sent)
            self._made[key] = made
        return self._made[key]

    def _sent(self, request: Any, event_name: str, **_: Any) -> AWSResponse:
        operation = event_name.rpartition(".")[2]
        self.calls.append(operation)
        fault = self.faults(operation, len(self.calls))
        if fault in REFUSALS:
            return self._refused(request, operation, *REFUSALS[fault])
        if fault == LOST:
            raise ConnectionClosedError(endpoint_url=request.url)
        given = self.given.get(operation)
        answer = self._forwarded(request) if given is None else _response(request, 200, given, {})
        if fault == UNHEARD:
            raise ConnectionClosedError(endpoint_url=request.url)
        return answer

    def _forwarded(self, request: Any) -> AWSResponse:
        body = request.body.read() if hasattr(request.body, "read") else request.body
        headers = {name: _text(value) for name, value in request.headers.items() if name.lower() not in OUTLIVES}
        parts = urlsplit(request.url)
        self._connection.request(request.method, f"{parts.path}?{parts.query}".rstrip("?"), body, headers)
        found = self._connection.getresponse()
        return _response(request, found.status, found.read(), dict(found.getheaders()))

    def _refused(self, request: Any, operation: str, status: int, code: str, message: str) -> AWSResponse:
        said = message.format(operation=operation)
        path = urlsplit(request.url).path
        if operation == "Invoke":
            code, status = (
                ("TooManyRequestsException", 429) if code == "ThrottlingException" else ("ServiceException", 500)
            )
            return _response(request, status, json.dumps({"message": said}).encode(), {"x-amzn-errortype": code})
        if path.strip("/"):  # of all others S3 alone has paths
            code = {"ThrottlingException": "SlowDown", "AccessDeniedException": "AccessDenied"}.get(code, code)
            status = {"SlowDown": 503, "AccessDenied": 403}.get(code, status)
            text = f"<Error><Code>{code}</Code><Message>{said}</Message></Error>"
            return _response(request, status, b"" if request.method == "HEAD" else text.encode(), {})
        return _response(request, status, json.dumps({"__type": code, "message": said}).encode(), {})


class _Body(io.BytesIO):
    """As botocore reads urllib3's answers."""

    def stream(self, amt: int = 1 << 16, **_: Any) -> Iterator[bytes]:
        while data := self.read(amt):
            yield data


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value


def _response(request: Any, status: int, body: bytes, headers: dict[str, str]) -> AWSResponse:
    return AWSResponse(request.url, status, HeadersDict(headers), _Body(body))
