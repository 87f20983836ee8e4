"""The HTTP server that the children of one runner reach as they reach AWS: started when the first of them needs it."""

from __future__ import annotations

import os
import sys
import time
from collections import namedtuple
from weakref import WeakKeyDictionary

from pipeline.errors import DarkroomError
from pipeline.local.names import random_id

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pipeline.local.container import Process
    from pipeline.local.jobs import JobContext
    from pipeline.local.loop import Loop, Task

START_LIMIT_S = 30.0
_LOOK_S = 0.01

# `key` is the access key id that the server takes: only this runner's children know it
Server = namedtuple("Server", "url key process")
# one a runner, and a runner has one loop
_servers: WeakKeyDictionary[Loop, Task] = WeakKeyDictionary()


async def ensure(context: JobContext) -> Server:
    """The running server of this runner; starts one if there is none, or if it died. It ends when the runner ends."""
    task = _servers.get(context.loop)
    if task is None or (task.done and _has_ended(task)):
        task = _servers[context.loop] = context.loop.spawn(_start(context))
    server: Server = await context.loop.join(task)
    return server


def _has_ended(task: Task) -> bool:
    try:
        process: Process = task.result().process
        os.kill(process.pid, 0)
        return os.waitpid(process.pid, os.WNOHANG)[0] != 0
    except (DarkroomError, ChildProcessError, ProcessLookupError):
        return True


async def _start(context: JobContext) -> Server:
    from pipeline.local.container import Spec, base_environment

    folder = os.path.join(os.path.dirname(context.work), f"server-{random_id(6)}")
    tree = os.path.join(folder, "ml")
    os.makedirs(tree)
    announced = os.path.join(folder, "url")
    log = os.path.join(os.path.dirname(context.log_path), "server.log")
    key = "DARKROOM" + random_id().upper()
    home = os.path.abspath(context.store.home)
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    env = base_environment(folder) | {"PYTHONPATH": root, "DARKROOM_SERVER_KEY": key}
    argv = [sys.executable, "-m", "pipeline.local.server", "--home", home, "--announce", announced]
    process = context.isolation.launch(Spec(argv, env, tree, log, cwd=folder, image="the local server"))
    deadline = time.monotonic() + START_LIMIT_S
    while not os.path.exists(announced):
        code = await context.loop.exit_of(process.pid, _LOOK_S)
        if code is not None or time.monotonic() > deadline:
            problem = process.finish() or f"exit code {code}" if code is not None else "it does not answer"
            raise DarkroomError(f"the local HTTP server did not start: {problem}", f"its log: {log}")
    with open(announced, encoding="utf-8") as file:
        return Server(file.read(), key, process)
