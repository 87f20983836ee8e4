"""The supervisor of one endpoint: python -m pipeline.local.endpoint_host HOME NAME PORT IDLE_SECONDS [--keep].

It runs a model server for each variant in a private /opt/ml tree, starts a crashed one again, changes over when the
endpoint is updated, and ends when the endpoint is deleted, when it is told to, or when nobody called for IDLE_SECONDS.
Its children die with it.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import sys
import time

from pipeline.errors import DarkroomError, EndpointError
from pipeline.local import process_id
from pipeline.local.endpoint_files import Files, last_lines
from pipeline.local.isolation import Isolation
from pipeline.local.loop import Loop
from pipeline.local.model_process import ModelProcess
from pipeline.local.storage import Storage
from pipeline.local.store import Store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_LOOK_S = 0.1
_LOCK_LIMIT_S = 5.0
_MOST_CRASHES = 3  # in a row, each within _STABLE_S of the start
_STABLE_S = 60.0


class Supervisor:
    """One endpoint; `await run()` returns when it is over."""

    def __init__(self, store: Store, loop: Loop, isolation: Isolation, name: str, port: int, idle_s: float) -> None:
        self.store = store
        self.storage = Storage(store.home)
        self.loop = loop
        self.isolation = isolation
        self.name = name
        self.port = port
        self.idle_s = idle_s  # 0: never stops by itself
        self.files = Files(store.home, name)
        self.work = os.path.join(store.home, "work", f"endpoint-{name}")  # the lock says that it is ours alone
        self.servers: list[ModelProcess] = []
        self.revision = ""
        self.crashes = 0
        self.ready = False
        self.stopping = False

    async def run(self) -> None:
        shutil.rmtree(self.work, ignore_errors=True)  # what a killed supervisor left
        try:
            while (body := self._wanted()) is not None:
                if body["revision"] != self.revision:
                    await self._change_over(body)
                await self._mend()
                await self.loop.sleep(_LOOK_S)
        finally:
            await self._stop_servers()
            shutil.rmtree(self.work, ignore_errors=True)

    def _wanted(self) -> dict[str, Any] | None:
        """The endpoint as it is now; None when there is nothing more to serve."""
        if self.stopping or os.path.exists(self.files.stop):
            return None
        if self.idle_s and self.ready and time.time() - os.stat(self.files.used).st_mtime > self.idle_s:
            return None
        found = self.store.find("endpoint", self.name)
        return found[0].body if found else None

    async def _change_over(self, body: dict[str, Any]) -> None:
        self.revision = body["revision"]
        self._write("Starting")
        await self._stop_servers()
        self.servers = [self._server(variant, index) for index, variant in enumerate(body["variants"])]
        await self._start(self.servers)

    async def _start(self, servers: list[ModelProcess]) -> None:
        self.ready = False
        self._write("Starting")
        for server in servers:
            await server.start(self.storage, lambda: self._wanted() is None)
        self.files.touch_used()
        self.ready = True
        self._write("Ready")

    def _server(self, variant: dict[str, Any], index: int) -> ModelProcess:
        if len(variant["containers"]) != 1:
            count = len(variant["containers"])
            raise EndpointError(
                f"variant {variant['VariantName']!r} has {count} containers; this machine serves one each"
            )
        folder = os.path.join(self.work, f"{self.revision}-{index}")
        port = self.port if index == 0 else 0
        return ModelProcess(self.store, self.isolation, self.loop, variant, folder, self.files.log, port)

    async def _mend(self) -> None:
        """Starts what crashed; gives up when it crashes again and again."""
        for server in self.servers:
            code = await server.exit_code()
            if code is None:
                continue
            self.crashes = self.crashes + 1 if server.age < _STABLE_S else 1
            if self.crashes > _MOST_CRASHES:
                raise EndpointError(
                    f"its model server ended {self.crashes} times within {_STABLE_S:.0f} s of its start"
                )
            print(f"darkroom: the model server ended with exit code {code}: starting it again", flush=True)
            await self._start([server])

    async def _stop_servers(self) -> None:
        for server in self.servers:
            await server.stop()
        self.servers = []

    def _write(self, state: str, reason: str = "") -> None:
        variants = [{"name": server.name, "port": server.port, "weight": server.weight} for server in self.servers]
        if self.servers:
            self.port = self.servers[0].port
        known = {
            "state": state,
            "reason": reason,
            "revision": self.revision,
            "variants": variants,
            "keep": not self.idle_s,
        }
        known |= {"port": self.port, "pid": os.getpid(), "identity": process_id.identity()}
        temporary = f"{self.files.state}.part"
        with open(temporary, "w", encoding="utf-8") as file:
            json.dump(known, file)
        os.replace(temporary, self.files.state)

    def fail(self, reason: str) -> None:
        self._write("Failed", reason)

    def end(self) -> None:
        """Said before the lock is free: who comes now waits for that, and starts another one."""
        self._write("Ended")


def supervise(home: str, name: str, port: int, idle_s: float) -> int:
    """Returns the exit code: 0 when it ended as it should, also when there is a supervisor already."""
    files = Files(home, name)
    try:
        isolation = Isolation.enter(home, f"endpoint/{name}")
    except DarkroomError as exc:
        print(f"darkroom: {exc.message} ({exc.hint})", flush=True)
        return 1
    loop = Loop()
    try:
        supervisor = Supervisor(Store(home), loop, isolation, name, port, idle_s)

        def stop(*_: object) -> None:
            supervisor.stopping = True

        signal.signal(signal.SIGTERM, stop)
        signal.signal(signal.SIGINT, stop)
        try:
            loop.run(supervisor.run())
        except DarkroomError as exc:
            print(f"darkroom: {exc.message}", flush=True)
            supervisor.fail(f"{exc.message}\n{last_lines(files.log)}")
            return 1
        supervisor.end()
        return 0
    finally:
        isolation.close()


def main(argv: list[str]) -> int:
    home, name, port, idle_s, *keep = argv
    files = Files(home, name)
    lock = os.open(files.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    if not _take(lock):
        return 0
    if os.fork():  # whoever started us waits for this process only; the lock goes on with the child
        os._exit(0)
    return supervise(home, name, int(port), 0.0 if keep else float(idle_s))


def _take(lock: int) -> bool:
    """Somebody who only looks whether the lock is held may hold it for a moment himself."""
    deadline = time.monotonic() + _LOCK_LIMIT_S
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() > deadline:
                return False
        time.sleep(0.01)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
