"""The local service over HTTP on loopback, for boto3, the AWS CLI and Lambda handlers: python -m pipeline.local.server.

Callers are told apart by the service in their signature, as they have one address for all. Signatures are not verified:
whoever can reach the loopback address is on this machine; a runner gives its server a key that only its children know.
"""

from __future__ import annotations

import hmac
import io
import os
import re
import sys
import threading
import time
import traceback
from contextlib import suppress
from functools import cached_property
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from pipeline.errors import DarkroomError, ServiceError
from pipeline.local import protocol, s3_http
from pipeline.local.messages import BLOCK, Answer, Body, Request
from pipeline.local.patience import LIMITS, Limits, Patience
from pipeline.local.service import LocalSageMaker, connect

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any, BinaryIO

HOST = "127.0.0.1"
_BUSY = b"HTTP/1.1 503 Slow Down\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
_LENGTH = re.compile("[0-9]{1,15}")
_DRAIN = 1 << 20  # bytes of an unread body that are read over to keep a connection
STOP_S = 0.05  # until a shutdown is noticed, where Python would take up to half a second


class LoopbackServer(ThreadingHTTPServer):
    """`home` is the folder of the service; with a `key`, callers have to sign with that access key id."""

    daemon_threads = True
    request_queue_size = 64
    quiet = False  # requests are not logged

    def __init__(self, home: str, port: int = 0, key: str = "", limits: Limits = LIMITS, most: int = 256) -> None:
        """`most` connections at once: each is a thread, and boto3 opens ten a client."""
        self.home = home
        self.limits = limits
        self.key = key
        self._free = threading.BoundedSemaphore(most)
        super().__init__((HOST, port), _Handler)
        port = self.server_address[1]
        self.hosts = frozenset(f"{name}:{port}" for name in (HOST, "localhost"))
        self.url = f"http://{HOST}:{port}"

    def server_bind(self) -> None:
        """Without HTTPServer's look-up of the host's name, which may ask a name server."""
        import socketserver

        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = self.server_address[:2]  # type: ignore[assignment]

    def process_request(self, request: Any, client_address: Any) -> None:
        """On a thread of its own, as long as there are not too many."""
        if not self._free.acquire(blocking=False):
            with suppress(OSError):
                request.settimeout(1)
                request.sendall(_BUSY)
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except BaseException:
            self._free.release()
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A caller that hung up is no news; anything else is."""
        if not isinstance(sys.exception(), ConnectionError | TimeoutError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    """One connection, one thread, one store."""

    protocol_version = "HTTP/1.1"
    server_version = "darkroom"
    sys_version = ""
    disable_nagle_algorithm = True
    wbufsize = 64 << 10
    server: LoopbackServer

    @cached_property
    def service(self) -> LocalSageMaker:
        """Opened by the first request: a home that cannot be used is an answer then, not a caller hung up on."""
        return connect(self.server.home)

    def setup(self) -> None:
        super().setup()
        self._patience = Patience(self.connection, self.server.limits)
        self.rfile = io.BufferedReader(self._patience)

    def finish(self) -> None:
        if "service" in vars(self):
            self.service.ending.follow(None)
            self.service.store.close()
        super().finish()

    def handle_one_request(self) -> None:
        self._patience.await_request()
        try:
            super().handle_one_request()
        except ServiceError as exc:  # a head without end
            self.close_connection = True
            self.requestline, self.request_version, self.command = "", self.protocol_version, ""
            self.send_error(431, exc.message)

    def handle_expect_100(self) -> bool:
        """Sent at once: the caller holds its body back for up to a second otherwise."""
        proceed = super().handle_expect_100()
        self.wfile.flush()
        return proceed

    def do_GET(self) -> None:
        began = time.monotonic()
        self._patience.await_body()
        try:
            body = self._body()
            headers: Mapping[str, str] = self.headers  # type: ignore[assignment]
            request = Request(self.command, self.path, headers, body)
        except ValueError as exc:  # of a request that no client sends there is nothing to go on with
            self.close_connection = True
            self.send_error(400, str(exc))
            return
        try:
            answer = self._answer(request)
        except DarkroomError as exc:
            self._log_refusal(exc)
            answer = _refusal(request, exc)
        except Exception as exc:  # the edge of the process: a defect becomes a 500 that says where to look
            traceback.print_exc()
            answer = _refusal(request, DarkroomError(f"the local server broke: {exc!r}", "its log holds the traceback"))
        self._settle(body)
        self.connection.settimeout(self.server.limits.idle)
        self._send(request, answer)
        self._log(request, answer, began)

    do_PUT = do_POST = do_DELETE = do_HEAD = do_OPTIONS = do_PATCH = do_GET

    def _body(self) -> Body:
        """Raises ValueError where it cannot be told where the body ends."""
        stream: BinaryIO = self.rfile  # type: ignore[assignment]
        lengths, codings = self.headers.get_all("Content-Length", []), self.headers.get_all("Transfer-Encoding", [])
        if [coding.strip().lower() for coding in codings] not in ([], ["chunked"]) or (lengths and codings):
            raise ValueError("Transfer-Encoding may be chunked, without a Content-Length")
        if len(set(lengths)) > 1 or not all(_LENGTH.fullmatch(length) for length in lengths):
            raise ValueError("Content-Length is no number of bytes")
        return Body(stream, int(lengths[0]) if lengths else 0, bool(codings))

    def _answer(self, request: Request) -> Answer:
        self._check_caller(request)
        if _is_s3(request):
            return s3_http.answer(request, self.service)
        return protocol.answer(request, self.service)

    def _check_caller(self, request: Request) -> None:
        """A web page may not talk to this server, whatever name it gives the address (DNS rebinding)."""
        origin = self.headers.get("Origin", "")
        if self.headers.get("Host", "") not in self.server.hosts:
            raise ServiceError("AccessDeniedException", f"Host {self.headers.get('Host')!r} is not this server")
        if origin and origin.removeprefix("http://") not in self.server.hosts:
            raise ServiceError("AccessDeniedException", f"Origin {origin!r} may not call this server")
        if self.headers.get("Sec-Fetch-Site", "none") not in ("none", "same-origin"):
            raise ServiceError("AccessDeniedException", "other web pages may not call this server")
        if self.server.key and not hmac.compare_digest(self.server.key, request.access_key):
            raise ServiceError("UnrecognizedClientException", "The security token included in the request is invalid.")

    def _settle(self, body: Body) -> None:
        """What was not read of the body would be taken for the next request."""
        left = _DRAIN
        try:
            while body.rest and left > 0:
                left -= len(body.read(BLOCK))
        except (ServiceError, OSError):
            self.close_connection = True
        if body.rest:
            self.close_connection = True

    def _send(self, request: Request, answer: Answer) -> None:
        path, first, length = answer.file or ("", 0, len(answer.body))
        self.send_response(answer.status)
        self.send_header("x-amzn-RequestId", os.urandom(8).hex())
        for name, value in answer.headers.items():
            self.send_header(name, value)
        if "Content-Length" not in answer.headers and answer.status not in (204, 304):
            self.send_header("Content-Length", str(length))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if request.method == "HEAD":
            return
        if answer.file:
            self._send_file(path, first, length)
        else:
            self.wfile.write(answer.body)

    def _send_file(self, path: str, first: int, length: int) -> None:
        """If the file has become shorter meanwhile the connection ends: an incomplete answer, not a wrong one."""
        with open(path, "rb") as file:
            file.seek(first)
            while length and (data := file.read(min(BLOCK, length))):
                self.wfile.write(data)
                length -= len(data)
        self.close_connection = self.close_connection or bool(length)

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """`_log` says more."""

    def log_message(self, format: str, *args: Any) -> None:
        if not self.server.quiet:
            super().log_message(format, *args)

    def _log_refusal(self, exc: DarkroomError) -> None:
        code = exc.code if isinstance(exc, ServiceError) else type(exc).__name__
        self.log_message("%s: %s", code, exc.message[:1000])

    def _log(self, request: Request, answer: Answer, began: float) -> None:
        what = self.headers.get("X-Amz-Target") or request.path
        milliseconds = (time.monotonic() - began) * 1000
        self.log_message("%s %s %d %.1f ms", request.method, what, answer.status, milliseconds)


def _is_s3(request: Request) -> bool:
    """Unsigned callers (curl, a presigned address aside) get S3 unless they name an operation or an endpoint."""
    if request.service:
        return request.service == "s3"
    named = "X-Amz-Target" in request.headers or "smithy-protocol" in request.headers
    return not named and not request.path.startswith("/endpoints/")


def _refusal(request: Request, exc: DarkroomError) -> Answer:
    if not isinstance(exc, ServiceError):
        code = "InternalError" if _is_s3(request) else "InternalFailure"
        exc = ServiceError(code, exc.message, hint=exc.hint)
    return s3_http.refusal(request, exc) if _is_s3(request) else protocol.refusal(request, exc)


def serve(home: str, port: int = 0, key: str = "", quiet: bool = False) -> LoopbackServer:
    """Answers from now on, on a thread of this process; `.url` is the address. Call shutdown() and server_close()."""
    server = LoopbackServer(home, port, key)
    server.quiet = quiet
    threading.Thread(target=server.serve_forever, args=(STOP_S,), name="local server", daemon=True).start()
    return server


def main(argv: list[str]) -> None:
    """Writes its address into the file of --announce, or to stdout, once it can be reached."""
    import argparse

    parser = argparse.ArgumentParser(prog="python -m pipeline.local.server", allow_abbrev=False, description=__doc__)
    parser.add_argument("--home", required=True, help="the folder .darkroom")
    parser.add_argument("--port", type=int, default=0, help="default: a free one")
    parser.add_argument("--announce", default="", metavar="FILE", help="file to write the address into")
    given = parser.parse_args(argv)
    server = LoopbackServer(given.home, given.port, os.environ.pop("DARKROOM_SERVER_KEY", ""))
    if given.announce:
        with open(f"{given.announce}.part", "w", encoding="utf-8") as file:
            file.write(server.url)
        os.replace(f"{given.announce}.part", given.announce)
    else:
        print(server.url, flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main(sys.argv[1:])
