"""A small HTTP server that is AWS to boto3: the local service behind it, small pages of logs, and faults."""

from __future__ import annotations

import http.client
import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from pipeline.local.messages import Body
from pipeline.local.server import LoopbackServer

LOGS = "Logs_20140328."
PAGE = 3  # events or streams; CloudWatch may cut its pages as it likes, here so small that there are several
# fault → status, code, message as AWS words it
REFUSALS = {
    "throttled": (400, "ThrottlingException", "Rate exceeded"),
    "broken": (500, "InternalFailure", "We encountered an internal error. Please try again."),
    "expired": (400, "ExpiredTokenException", "The security token included in the request is expired"),
    "unknown": (403, "UnrecognizedClientException", "The security token included in the request is invalid."),
    "signature": (403, "InvalidSignatureException", "Signature expired: 20261120T000000Z is now earlier than …"),
    "denied": (
        *(400, "AccessDeniedException"),
        "User: arn:aws:sts::111122223333:assumed-role/oncall/ann is not authorized to perform: sagemaker:{operation}"
        " on resource: arn:aws:sagemaker:us-east-1:111122223333:pipeline/* because no identity-based policy allows"
        " the sagemaker:{operation} action",
    ),
}
LOST, UNHEARD = "lost", "unheard"  # the connection ends before the call is done, or after it was


class Front(ThreadingHTTPServer):
    """`faults(operation, number)` says what happens to the number-th call; `calls` are the operations so far."""

    daemon_threads = True

    def __init__(self, backend: LoopbackServer) -> None:
        self.backend = backend
        self.calls: list[str] = []
        self.faults: Callable[[str, int], str] = lambda operation, number: ""
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"

    def server_bind(self) -> None:
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = self.server_address[:2]  # type: ignore[assignment]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A test that goes wrong says so by itself."""

    def begin(self, faults: Callable[[str, int], str] = lambda operation, number: "") -> None:
        self.calls.clear()
        self.faults = faults


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = 64 << 10
    server: Front

    def do_POST(self) -> None:
        body = self._body()
        operation = self._operation()
        self.server.calls.append(operation)
        fault = self.server.faults(operation, len(self.server.calls))
        if fault in REFUSALS:
            self._refuse(operation, *REFUSALS[fault])
        elif fault == LOST:
            self._hang_up()
        elif self.headers.get("X-Amz-Target", "").startswith(LOGS):
            request = json.loads(body)
            small = {**request, "limit": min(PAGE, request.get("limit", PAGE))}
            self._forward(json.dumps(small).encode(), fault)
        else:
            self._forward(body, fault)

    do_GET = do_PUT = do_DELETE = do_HEAD = do_POST

    def _body(self) -> bytes:
        chunked = "chunked" in self.headers.get("Transfer-Encoding", "")
        stream: Any = self.rfile
        return Body(stream, int(self.headers.get("Content-Length", "0")), chunked).all(64 << 20)

    def _operation(self) -> str:
        target = self.headers.get("X-Amz-Target", "")
        if target:
            return target.partition(".")[2]
        listing = {"GET": "ListObjectsV2"} if "list-type=" in self.path else {"GET": "GetObject", "HEAD": "HeadObject"}
        return listing.get(self.command, {"PUT": "PutObject", "DELETE": "DeleteObject"}.get(self.command, self.path))

    def _forward(self, body: bytes, fault: str) -> None:
        host, port = self.server.backend.server_address[:2]
        headers = {name: value for name, value in self.headers.items() if name.lower() not in _OWN_HEADERS}
        connection = http.client.HTTPConnection(str(host), int(port))
        connection.request(
            self.command, self.path, body, {**headers, "Host": f"{host}:{port}", "Content-Length": str(len(body))}
        )
        answer = connection.getresponse()
        data = answer.read()
        kept = [(name, value) for name, value in answer.getheaders() if name.lower() not in _OWN_HEADERS]
        length = answer.getheader("Content-Length") if self.command == "HEAD" else str(len(data))
        connection.close()
        if fault == UNHEARD:
            self._hang_up()
        else:
            self._send(answer.status, data, [*kept, ("Content-Length", length or "0")])

    def _refuse(self, operation: str, status: int, code: str, message: str) -> None:
        if operation.endswith(("Object", "ObjectsV2")):
            code = {"ThrottlingException": "SlowDown", "AccessDeniedException": "AccessDenied"}.get(code, code)
            status = 503 if code == "SlowDown" else 403 if code == "AccessDenied" else status
            text = f"<Error><Code>{code}</Code><Message>{message.format(operation=operation)}</Message></Error>"
            data, kind = b"" if self.command == "HEAD" else text.encode(), "application/xml"
        else:
            data = json.dumps({"__type": code, "message": message.format(operation=operation)}).encode()
            kind = "application/x-amz-json-1.1"
        self._send(status, data, [("Content-Type", kind), ("Content-Length", str(len(data)))])

    def _hang_up(self) -> None:
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)

    def _send(self, status: int, data: bytes, headers: list[tuple[str, str]]) -> None:
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)
        self.wfile.flush()

    def log_message(self, format: str, *args: Any) -> None:
        """Silence."""


_OWN_HEADERS = ("host", "content-length", "transfer-encoding", "connection", "expect", "date", "server")


@contextmanager
def front_of(backend: LoopbackServer) -> Iterator[Front]:
    running = Front(backend)
    threading.Thread(target=running.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield running
    finally:
        running.shutdown()
        running.server_close()
