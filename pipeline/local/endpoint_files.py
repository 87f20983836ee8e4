"""What lies below <home>/endpoints/ for an endpoint: its locks, what it serves and where, when it was last used.

The supervisor holds `<name>.lock` as long as it lives. The kernel frees it whatever way it ends, also across
pid namespaces and reboots: so nobody ever takes a stale record for a running server.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from contextlib import contextmanager, suppress

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

LOG_LINES = 20
_LOOKERS_LIMIT_S = 30.0  # each looks for a moment; a busy machine may stretch it


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

    @property
    def wish(self) -> str:
        return f"{self._base}.wish"

    def put_wish(self, keep: bool, port: int) -> None:
        """What a caller wants of the supervisor: that it stays, that it listens on this port (0: any)."""
        _write(self.wish, {"keep": keep, "port": port})

    def read_wish(self) -> dict[str, Any]:
        """Empty if there is none."""
        return _read(self.wish)

    def fulfil(self, wish: Mapping[str, Any]) -> None:
        """Once the state says so; a newer wish stays."""
        if wish and self.read_wish() == wish:
            os.remove(self.wish)

    def write_state(self, state: Mapping[str, Any]) -> None:
        _write(self.state, state)

    def read_state(self) -> dict[str, Any]:
        """What the supervisor last wrote; empty before it did."""
        return _read(self.state)

    def last_used(self) -> float:
        """Seconds since 1970; 0 if it never was."""
        try:
            return os.stat(self.used).st_mtime
        except FileNotFoundError:
            return 0.0

    def touch_used(self) -> None:
        with open(self.used, "a"):
            os.utime(self.used)

    def remove(self) -> None:
        """Not the locks: somebody may be waiting for them."""
        for path in (self.state, self.used, self.stop, self.wish):
            with suppress(FileNotFoundError):
                os.remove(path)


def _read(path: str) -> dict[str, Any]:
    try:
        with open(path, encoding="utf-8") as file:
            content: dict[str, Any] = json.load(file)
    except FileNotFoundError:
        return {}
    return content


def _write(path: str, content: Mapping[str, Any]) -> None:
    """Whole or not at all."""
    temporary = f"{path}.part"
    with open(temporary, "w", encoding="utf-8") as file:
        json.dump(content, file)
    os.replace(temporary, path)


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


def take(lock: int, limit_s: float = _LOOKERS_LIMIT_S) -> bool:
    """The lock for as long as this process lives, or False: somebody else has it.

    Whoever only looks whether it is held (is_supervised) may hold it for a moment himself: that is waited for.
    """
    deadline = time.monotonic() + limit_s
    while not _try(lock, fcntl.LOCK_EX):
        if not _try(lock, fcntl.LOCK_SH) or time.monotonic() > deadline:
            return False
        fcntl.flock(lock, fcntl.LOCK_UN)
        time.sleep(0.01)
    return True


def _try(lock: int, kind: int) -> bool:
    try:
        fcntl.flock(lock, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextmanager
def locked(path: str, wait: bool = True) -> Iterator[bool]:
    """Among processes and, as each opens the file for itself, among threads. False if it is taken, without `wait`."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
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
