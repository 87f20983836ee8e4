"""Who is this process, so that a later one can tell whether it still runs: pid, start time, boot, pid namespace."""

from __future__ import annotations

import os
import sys
from functools import cache

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def identity(pid: int = 0) -> dict[str, Any]:
    """`pid` 0 is the caller. Pids are reused, so the start time belongs to it; after a reboot the boot differs."""
    pid = pid or os.getpid()
    return {"pid": pid, "started": _started(pid), "boot": _boot(), "namespace": _namespace()}


def is_alive(known: dict[str, Any], heartbeat_age: float, patience: float) -> bool:
    """Whether the process with this identity runs. From another pid namespace only its heartbeat tells."""
    if known["boot"] != _boot():
        return False
    if known["namespace"] != _namespace():
        return heartbeat_age < patience
    return bool(known["started"]) and _started(known["pid"]) == known["started"]


def _started(pid: int) -> str:
    """Start time in the system's own unit, or '' when there is no such process; a zombie counts as gone."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b") ")[2].split()
        return "" if fields[0] in (b"Z", b"X") else fields[19].decode()
    except OSError:
        return _ask_ps(pid) if sys.platform == "darwin" else ""


def _ask_ps(pid: int) -> str:
    import subprocess

    answer = subprocess.run(
        ["/bin/ps", "-o", "lstart=,state=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    text = answer.stdout.strip()
    return "" if text.endswith("Z") else text


def _boot() -> str:
    return os.environ.get("DARKROOM_BOOT_ID") or _boot_of_this_machine()


@cache
def _boot_of_this_machine() -> str:
    try:
        with open("/proc/sys/kernel/random/boot_id") as file:
            return file.read().strip()
    except OSError:
        import subprocess

        command = ["/usr/sbin/sysctl", "-n", "kern.boottime"]
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


def _namespace() -> str:
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:
        return ""
