"""SageMaker's serving contract over HTTP: /ping is green only for a model that answers, bad input is a 4xx."""

from __future__ import annotations

import contextlib
import logging
import math
import os
import re
import signal
import sys
import time
from collections.abc import AsyncIterator, Mapping
from types import FrameType
from typing import Any

import uvicorn
from refusal import Refusal
from serving import journal, metrics
from serving import settings as reading
from serving.answering import RETRY_AFTER, answered
from serving.service import DRAINING, READY, Service
from serving.settings import Settings
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
DRAIN_SECONDS = 25  # SageMaker sends SIGKILL 30 seconds after SIGTERM


def application(service: Service, hosts: tuple[str, ...] = ()) -> Starlette:
    """The port opens at once and /ping is 503 until the model has answered its first picture.

    `hosts`: the only names that requests may use; empty: any. A page of a browser on this machine that had its own
    name point here (DNS rebinding) could read the answers; its requests still carry that name.
    """

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        service.load_in_background()
        yield

    async def ping(request: Request) -> Response:
        _refuse_host(request, hosts)
        if service.state == READY:
            return Response(status_code=200)
        return _error(503, service.reason)

    async def invocations(request: Request) -> Response:
        _refuse_host(request, hosts)
        return await answered(request, service)

    async def figures(request: Request) -> Response:
        """For whoever is in the same container or on the same machine."""
        _refuse_host(request, hosts)
        if request.client is None or request.client.host not in ("127.0.0.1", "::1"):
            raise HTTPException(404)
        return Response(service.metrics.text(_gauges(service)), media_type=metrics.CONTENT_TYPE)

    routes = [
        Route("/ping", ping, methods=["GET"]),
        Route("/invocations", invocations, methods=["POST"]),
        Route("/metrics", figures, methods=["GET"]),
    ]
    handlers: Mapping[Any, Any] = {HTTPException: _http_error, Exception: _broken}
    return Starlette(routes=routes, lifespan=lifespan, exception_handlers=handlers)


def _gauges(service: Service) -> dict[str, tuple[str, float]]:
    capture = service.capture
    return {
        "darkroom_ready": ("1 while /ping is green", service.state == READY),
        "darkroom_in_flight": ("Requests that are being worked on", service.in_flight),
        "darkroom_held_bytes": ("Bytes of their bodies", service.held),
        "darkroom_captured_total": ("Requests in capture files", capture.kept if capture else 0),
        "darkroom_capture_dropped_total": ("Requests that found no room there", capture.dropped if capture else 0),
    }


def _refuse_host(request: Request, hosts: tuple[str, ...]) -> None:
    name = re.sub(r":\d*$", "", request.headers.get("host", "").lower())
    if hosts and name not in hosts:
        raise HTTPException(421, f"Host {name[:100]!r}: this server answers as {', '.join(hosts)} alone")


async def _http_error(request: Request, error: HTTPException) -> Response:
    path = request.url.path[:100]
    if error.status_code == 421:
        return _error(421, error.detail)
    return _error(error.status_code, f"{request.method} {path!r}: there are GET /ping and POST /invocations")


async def _broken(_: Request, error: Exception) -> Response:
    """The log has the traceback; the caller sees none of it."""
    return _error(500, "the request failed; the log has the reason")


def _error(status: int, message: str) -> JSONResponse:
    return JSONResponse({"error": message}, status, {"Retry-After": RETRY_AFTER} if status == 503 else None)


class Server(uvicorn.Server):
    """Drains on SIGTERM: what is being worked on ends, /ping is red, and new requests hear that they may come again.

    uvicorn alone would close its port at once, and a caller that has not heard yet would be refused a connection.
    """

    def __init__(self, config: uvicorn.Config, service: Service) -> None:
        super().__init__(config)
        self.service = service
        self.signal = signal.SIGTERM.value
        self.until = math.inf

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if self.service.state == DRAINING:  # asked twice
            super().handle_exit(sig, frame)
            return
        self.service.state = DRAINING
        self.signal, self.until = sig, time.monotonic() + DRAIN_SECONDS

    async def on_tick(self, counter: int) -> bool:
        """Ten times a second."""
        idle = self.service.state == DRAINING and not self.service.in_flight
        if not self.should_exit and (idle or time.monotonic() > self.until):
            super().handle_exit(self.signal, None)
        return await super().on_tick(counter)


def main(argv: list[str] | None = None, env: Mapping[str, str] = os.environ) -> int:
    """`serve` is the argument that SageMaker starts a serving container with."""
    arguments = sys.argv[1:] if argv is None else argv
    logging.basicConfig(level=logging.WARNING, handlers=[journal.Lines()], force=True)
    try:
        if arguments not in ([], ["serve"]):
            raise Refusal(f"{' '.join(arguments)!r}: usage: python serve.py [serve]")
        settings = reading.read(env)
    except Refusal as refusal:
        journal.say("error", str(refusal))
        return 2
    # uvicorn drains on SIGTERM and then raises the signal again for the handler from before: end with 0.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    _serve(settings)
    return 0


def _serve(settings: Settings) -> None:
    service = Service(settings)
    # SageMaker reaches the container from outside, under names of its own
    hosts = LOOPBACK if settings.host in ("127.0.0.1", "::1") else ()
    journal.say("info", f"serving on http://{settings.host}:{settings.port}")
    # It opens the socket itself: on one that is passed in, TCP_NODELAY stays off (about 44 ms a request).
    config = uvicorn.Config(
        application(service, hosts),
        host=settings.host,
        port=settings.port,
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=DRAIN_SECONDS,
    )
    try:
        Server(config, service).run()
    finally:
        service.close()


if __name__ == "__main__":
    sys.exit(main())
