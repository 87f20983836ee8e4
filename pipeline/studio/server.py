"""The application on a port of the loopback address, until somebody ends it."""

from __future__ import annotations

import asyncio
import socket

import uvicorn
from starlette.applications import Starlette

from pipeline.errors import DarkroomError
from pipeline.studio.live import Streams
from pipeline.studio.security import HOST, TOKEN
from pipeline.studio.threads import Threads

WORK_S = 1  # that a thread which is at work has, when the server is ended
GRACE_S = 2  # that an answer has
BACKLOG = 64  # connections that wait to be taken: a browser opens six


def listening(port: int) -> socket.socket:
    """Port 0: a free one. Raises DarkroomError where the port cannot be had."""
    opened = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        opened.bind((HOST, port))
        opened.listen(BACKLOG)
    except OSError as exc:
        opened.close()
        why = f"cannot serve on port {port}: {exc.strerror or exc}"
        raise DarkroomError(why, "another darkroom studio may be using it already; --port 0 takes a free one") from exc
    return opened


def address(opened: socket.socket, secret: str) -> str:
    """What a browser is given once: the token in it becomes a cookie."""
    return f"http://{HOST}:{opened.getsockname()[1]}/?{TOKEN}={secret}"


class Server(uvicorn.Server):
    """Ends its streams and threads before it waits for what is under way: they may outlast every patience."""

    def __init__(self, config: uvicorn.Config, streams: Streams, threads: Threads) -> None:
        super().__init__(config)
        self.streams = streams
        self.threads = threads

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self.streams.close()
        asyncio.get_running_loop().call_later(WORK_S, self.threads.close)
        await super().shutdown(sockets)


def server(application: Starlette) -> Server:
    """Its run(sockets=[…]) serves, and returns when `should_exit` is set."""
    return Server(
        uvicorn.Config(
            application,
            http="h11",
            ws="none",
            loop="asyncio",
            lifespan="off",
            log_level="warning",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=GRACE_S,
        ),
        application.state.streams,
        application.state.threads,
    )
