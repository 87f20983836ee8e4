"""What lies below <home>/endpoints/ for an endpoint: its locks, what it serves and where, when it was last used.

The supervisor holds `<name>.lock` as long as it lives. The kernel frees it whatever way it ends, also across
pid namespaces and reboots: so nobody ever takes a stale record for a running server.
"""

from __future__ import annotations

import fcntl
import json
import os
from contextlib import contextmanager, suppress

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

LOG_LINES = 20


class Files:
    """The files of one endpoint below <home>/endpoints/."""

    __slots__ = ("_base", "folder", "log")

    def __init__(self, home: str, name: str) -> None:
        self.folder = os.path.join(home, "endpoints")
        self._base = os.path.join(self.folder, name)
        self.log = os.path.join(home, "logs", "endpoints", f"{name}.log")

    @property
    def lock(self) -> str:
        return f"{self._base}.lock"

    @property
    def starting(self) -> str:
        return f"{self._base}.starting"

    @property
    def state(self) -> str:
        return f"{self._base}.json"

    @property
    def used(self) -> str:
        return f"{self._base}.used"

    @property
    def stop(self) -> str:
        return f"{self._base}.stop"

    def read_state(self) -> dict[str, Any]:
        """What the supervisor last wrote; empty before it did."""
        try:
            with open(self.state, encoding="utf-8") as file:
                state: dict[str, Any] = json.load(file)
        except FileNotFoundError:
            return {}
        return state

    def touch_used(self) -> None:
        with open(self.used, "a"):
            os.utime(self.used)

    def remove(self) -> None:
        """Not the locks: somebody may be waiting for them."""
        for path in (self.state, self.used, self.stop):
            with suppress(FileNotFoundError):
                os.remove(path)


def is_supervised(files: Files) -> bool:
    try:
        descriptor = os.open(files.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except FileNotFoundError:  # no folder: nothing was ever started
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    else:
        return False
    finally:
        os.close(descriptor)


@contextmanager
def locked(path: str) -> Iterator[None]:
    """Among processes and, as each opens the file for itself, among threads."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def last_lines(path: str, count: int = LOG_LINES) -> str:
    """The end of a log, for messages."""
    try:
        with open(path, "rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - 64 * 1024))
            lines = file.read().decode(errors="replace").splitlines()[-count:]
    except FileNotFoundError:
        return "(there is no log)"
    return "\n".join(f"  | {line}" for line in lines)
