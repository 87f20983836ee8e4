"""The supervisor's side of the router: starts it, tells it where requests go, takes what it counted."""

from __future__ import annotations

import json
import os
import sys
import time
from collections import namedtuple

from pipeline.errors import EndpointError
from pipeline.local.container import Spec, base_environment, stop
from pipeline.local.endpoint_http import CONTROL, KEY
from pipeline.local.names import random_id

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pipeline.local.container import Process
    from pipeline.local.isolation import Isolation
    from pipeline.local.loop import Loop

_START_LIMIT_S = 30.0
_TELL_LIMIT_S = 5.0  # to be told, and to say what it counted

# `busy`: port of an instance → requests that it has now; `counted` as the tally gives it
Report = namedtuple("Report", "busy counted")


class Router:
    """Listens on `port` (0: a free one) once it is started; started again on the same port if it dies."""

    def __init__(self, isolation: Isolation, loop: Loop, folder: str, log: str, port: int) -> None:
        self.port = port
        self._isolation = isolation
        self._loop = loop
        self._folder = folder
        self._log = log
        self._key = random_id(32)
        self._process: Process | None = None
        self._told: dict[str, Any] | None = None
        self._heard = False
        self._limit = 0.0

    def start(self) -> None:
        """It answers soon: until then `tell` is not heard. Raises EndpointError when the port cannot be had."""
        self.port = self.port or free_port()
        check_free(self.port)
        self._told, self._heard = None, False
        self._process = self._isolation.launch(self._spec())
        self._limit = time.monotonic() + _START_LIMIT_S

    async def tell(self, routes: dict[str, Any]) -> Report | None:
        """Where requests go from now on; None when that was not heard: it starts, is busy, or about to die.

        Starts the router anew when it has died; then what it counted is lost. Raises EndpointError when it cannot.
        """
        if self._process is None:
            self.start()
        assert self._process is not None
        code = await self._loop.exit_of(self._process.pid, 0.0)
        if code is not None or (not self._heard and time.monotonic() > self._limit):
            process, self._process = self._process, None
            problem = process.finish() or f"exit code {code}"
            if not self._heard:
                raise EndpointError(f"the router did not start: {problem}", f"its log: {self._log}")
            return None
        report = self._call(routes if routes != self._told else None)
        if report is not None:
            self._told, self._heard = routes, True
        return report

    async def stop(self) -> None:
        if self._process is not None:
            await stop(self._process, self._loop, 0.0)
            self._process.finish()
            self._process = None

    def _spec(self) -> Spec:
        tree = os.path.join(self._folder, "ml")
        os.makedirs(tree, exist_ok=True)
        root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
        env = {**base_environment(self._folder), "PYTHONPATH": root, "DARKROOM_ROUTER_KEY": self._key}
        argv = [sys.executable, "-m", "pipeline.local.endpoint_router", str(self.port)]
        return Spec(argv, env, tree, self._log, cwd=self._folder, image="the router")

    def _call(self, routes: dict[str, Any] | None) -> Report | None:
        from http.client import HTTPConnection, HTTPException

        connection = HTTPConnection("127.0.0.1", self.port, timeout=_TELL_LIMIT_S)
        try:
            body = b"" if routes is None else json.dumps(routes).encode()
            connection.request("PUT", CONTROL, body, {KEY: self._key})
            answer = connection.getresponse()
            text = answer.read()
        except (OSError, HTTPException):
            return None
        finally:
            connection.close()
        if answer.status != 200:
            return None
        body = json.loads(text)
        return Report({int(port): busy for port, busy in body["busy"].items()}, body["counted"])


def free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def check_free(port: int) -> None:
    import socket

    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as exc:
            raise EndpointError(f"port {port} cannot be had: {exc.strerror}", "choose another --port, or none") from exc
