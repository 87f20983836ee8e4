"""A process that supervises one endpoint: python -m pipeline.local.endpoint_host HOME NAME IDLE_SECONDS.

It ends when there is nothing more to serve, when it is told to, or when nobody called for IDLE_SECONDS. Its children
die with it; whoever comes next starts another one, which goes on from the endpoint's record.
"""

from __future__ import annotations

import os
import signal
import sys

from pipeline.errors import DarkroomError
from pipeline.local.endpoint_files import Files, last_lines, take
from pipeline.local.endpoint_supervisor import Supervisor
from pipeline.local.isolation import Isolation
from pipeline.local.loop import Loop
from pipeline.local.store import Store


def supervise(home: str, name: str, idle_s: float) -> int:
    """Returns the exit code: 0 when it ended as it should, also when there is a supervisor already."""
    files = Files(home, name)
    try:
        isolation = Isolation.enter(home, f"endpoint/{name}")
    except DarkroomError as exc:
        print(f"darkroom: {exc.message} ({exc.hint})", flush=True)
        return 1
    loop = Loop()
    try:
        supervisor = Supervisor(Store(home), loop, isolation, name, idle_s)

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
    home, name, idle_s = argv
    files = Files(home, name)
    lock = os.open(files.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    if not take(lock):
        return 0
    if os.fork():  # whoever started us waits for this process only; the lock goes on with the child
        os._exit(0)
    return supervise(home, name, float(idle_s))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
