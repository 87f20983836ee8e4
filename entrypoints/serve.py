"""SageMaker's serving contract over HTTP: /ping is green only for a model that answers, bad input is a 4xx."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

import anyio
import uvicorn
from payload import MAX_BODY, BadRequest
from refusal import Refusal
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
DRAIN_SECONDS = 30  # SageMaker sends SIGKILL 30 seconds after SIGTERM


class Service:
    """The model behind the server: loading, ready, or failed with a reason; only then does `answer` work."""

    def __init__(self, model_dir: Path) -> None:
        self.model_dir = model_dir
        self.answer: Callable[[bytes], str] | None = None
        self.failed = False

    def load(self) -> None:
        """Imports torch, reads the archive and predicts once, so that the first caller waits for none of it."""
        began = time.monotonic()
        try:
            self.answer = _warm(self.model_dir)
        except (Refusal, OSError, RuntimeError, ImportError, KeyError, TypeError, ValueError) as error:
            self.failed = True
            _log(f"the model cannot be served, /ping stays red: {error}")
        else:
            _log(f"ready after {time.monotonic() - began:.1f} s: {self.model_dir}")


def _warm(model_dir: Path) -> Callable[[bytes], str]:
    import inference
    import numpy as np

    predictor = inference.model_fn(model_dir)
    size = predictor.image_size
    inference.probabilities(predictor, np.zeros((1, size, size, 3), dtype=np.uint8))
    return lambda body: inference.output_fn(inference.predict_fn(inference.input_fn(body), predictor))


def application(model_dir: Path, hosts: tuple[str, ...] = ()) -> Starlette:
    """The port opens at once and /ping is 503 until the model has answered its first picture.

    `hosts`: the only names that requests may use; empty: any. A page of a browser on this machine that had its own
    name point here (DNS rebinding) could read the answers; its requests still carry that name.
    """
    service = Service(model_dir)
    slots = anyio.CapacityLimiter(os.cpu_count() or 1)

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        threading.Thread(target=service.load, daemon=True).start()
        yield

    async def ping(request: Request) -> Response:
        _refuse_host(request, hosts)
        if service.answer is not None:
            return Response(status_code=200)
        return _error(503, "the model failed to load; the log has the reason" if service.failed else "loading")

    async def invocations(request: Request) -> Response:
        _refuse_host(request, hosts)
        if service.answer is None:
            return await ping(request)
        _refuse_accept(request.headers.get("accept", ""))
        body = await _body(request)
        content = await anyio.to_thread.run_sync(service.answer, body, limiter=slots)
        return Response(content, media_type="application/json")

    routes = [Route("/ping", ping, methods=["GET"]), Route("/invocations", invocations, methods=["POST"])]
    handlers: Mapping[Any, Any] = {BadRequest: _bad_request, HTTPException: _http_error, Exception: _broken}
    return Starlette(routes=routes, lifespan=lifespan, exception_handlers=handlers)


async def _body(request: Request) -> bytes:
    """Read in pieces: a declared or real length above the limit ends the request before it fills the memory."""
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > MAX_BODY:
        raise _too_large()
    pieces, length = [], 0
    try:
        async for piece in request.stream():
            length += len(piece)
            if length > MAX_BODY:
                raise _too_large()
            pieces.append(piece)
    except ClientDisconnect:
        raise BadRequest("the connection ended before the body did") from None
    return b"".join(pieces)


def _too_large() -> BadRequest:
    return BadRequest(f"the body has more than {MAX_BODY:,} bytes, SageMaker's limit: send a smaller picture", 413)


def _refuse_host(request: Request, hosts: tuple[str, ...]) -> None:
    name = re.sub(r":\d*$", "", request.headers.get("host", "").lower())
    if hosts and name not in hosts:
        raise BadRequest(f"Host {name[:100]!r}: this server answers as {', '.join(hosts)} alone", 421)


def _refuse_accept(accept: str) -> None:
    wanted = [part.split(";")[0].strip().lower() for part in accept.split(",") if part.strip()]
    if wanted and not {"application/json", "application/*", "*/*"} & set(wanted):
        raise BadRequest(f"answers are application/json, and the request accepts only {accept[:100]!r}", 406)


async def _bad_request(_: Request, error: BadRequest) -> Response:
    return _error(error.status, str(error))


async def _http_error(request: Request, error: HTTPException) -> Response:
    path = request.url.path[:100]
    return _error(error.status_code, f"{request.method} {path!r}: there are GET /ping and POST /invocations")


async def _broken(_: Request, error: Exception) -> Response:
    """uvicorn logs the traceback; the caller sees none of it."""
    return _error(500, "the prediction failed; the log has the reason")


def _error(status: int, message: str) -> JSONResponse:
    return JSONResponse({"error": message}, status_code=status)


def _log(line: str) -> None:
    print(" ".join(line.split()), file=sys.stderr, flush=True)


def main(argv: list[str] | None = None, env: Mapping[str, str] = os.environ) -> int:
    """`serve` is the argument that SageMaker starts a serving container with."""
    arguments = sys.argv[1:] if argv is None else argv
    port = env.get("SAGEMAKER_BIND_TO_PORT", "8080")
    if arguments not in ([], ["serve"]) or not port.isdecimal() or not 0 < int(port) < 65_536:
        _log(f"usage: python serve.py [serve], with SAGEMAKER_BIND_TO_PORT from 1 to 65535 (it is {port!r})")
        return 2
    host = env.get("DARKROOM_BIND", "0.0.0.0")
    # SageMaker reaches the container from outside, under names of its own
    app = application(Path(env.get("SM_MODEL_DIR", "/opt/ml/model")), LOOPBACK if host in ("127.0.0.1", "::1") else ())
    # uvicorn drains on SIGTERM and then raises the signal again for the handler from before: end with 0.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    _log(f"serving on http://{host}:{port}")
    # It opens the socket itself: on one that is passed in, TCP_NODELAY stays off (about 44 ms a request).
    uvicorn.run(
        app,
        host=host,
        port=int(port),
        lifespan="on",
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=DRAIN_SECONDS,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
