"""Where there is no pid namespace: a small process that kills what the runner started, once the runner is gone.

It reads one pipe: `+<group>` when a job starts (written by the job itself, before it becomes the program, so that no
kill can come in between), `-<group>` when its end was seen. End of file, or a new parent, means: the runner is gone.
"""

from __future__ import annotations

import os
import select
import signal
import time
from contextlib import suppress

from pipeline.local.namespace import become_background

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

MARK = "DARKROOM_EXECUTION"
_LOOK_S = 0.5
_HUNT_S = 4.0


def start(mark: str) -> tuple[int, int]:
    """Forks the guard of this process, whose children have `mark` in MARK: (its pid, the descriptor for `started`)."""
    read, write = os.pipe()
    runner = os.getpid()
    pid = os.fork()
    if pid == 0:
        try:
            become_background(keep=(read,))
            _watch(read, runner, f"{MARK}={mark}".encode())
        finally:
            os._exit(1)
    os.close(read)
    return pid, write


def started(descriptor: int, group: int) -> None:
    os.write(descriptor, b"+%d\n" % group)


def ended(descriptor: int, group: int) -> None:
    with suppress(BrokenPipeError):  # somebody killed the guard: the jobs go on
        os.write(descriptor, b"-%d\n" % group)


def _watch(read: int, runner: int, mark: bytes) -> NoReturn:
    groups: set[int] = set()
    rest = b""
    while True:
        data = b"?"
        if select.select([read], [], [], _LOOK_S)[0]:
            data = os.read(read, 65536)
            rest = _note(groups, rest + data)
        # a forked child that has not yet become another program holds the pipe open too: so look at the parent as well
        if not data or os.getppid() != runner:
            _hunt(groups, mark)
            os._exit(0)


def _note(groups: set[int], data: bytes) -> bytes:
    *lines, rest = data.split(b"\n")
    for line in lines:
        if line.startswith(b"+"):
            groups.add(int(line[1:]))
        else:
            groups.discard(int(line[1:]))
    return rest


def _hunt(groups: set[int], mark: bytes) -> None:
    """Kills until nobody is left: a process may have forked between two looks."""
    deadline = time.monotonic() + _HUNT_S
    while time.monotonic() < deadline:
        for group in groups:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(group, signal.SIGKILL)
        marked = _marked(mark)
        for pid in marked:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        if not marked:
            return
        time.sleep(0.02)


def _marked(mark: bytes) -> list[int]:
    """Everything whose environment has the mark: those that left their group. Only Linux lets us look."""
    found = []
    with suppress(FileNotFoundError):
        for name in os.listdir("/proc"):
            if name.isdigit() and int(name) != os.getpid():
                with suppress(OSError), open(f"/proc/{name}/environ", "rb") as file:
                    if mark in file.read().split(b"\0"):
                        found.append(int(name))
    return found
