"""What a job says of itself: the words of its message and failure files, else those that the toolkit would write."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pipeline.local.jobs.hosts import Hosts

_FILE = "/opt/ml/output/failure"
_LONGEST = 1024
_TAIL_BYTES = 4096


def failure_file(hosts: Hosts) -> str:
    """What the first host that wrote one says, or ''."""
    return left_by(hosts, _FILE)


def left_by(hosts: Hosts, inside: str) -> str:
    """The text of the first host's file of this name that holds one, cut as the service cuts it; or ''."""
    for host in hosts.all:
        try:
            with open(host.path(inside), encoding="utf-8", errors="replace") as file:
                text = file.read(_LONGEST).strip()
        except OSError:
            continue
        if text:
            return text
    return ""


def last_error(log: str) -> str:
    """The last line of a Python traceback, or of the log."""
    with open(log, "rb") as file:
        file.seek(max(0, os.path.getsize(log) - _TAIL_BYTES))
        lines = [line for line in file.read().decode(errors="replace").splitlines() if line.strip()]
    return lines[-1].strip()[:500] if lines else ""


def failure_text(command: list[str], code: int, log_tail: str) -> str:
    """What the toolkit writes to /opt/ml/output/failure when the program did not write it itself."""
    return f'ExecuteUserScriptError:\nExitCode {code}\nErrorMessage "{log_tail}"\nCommand "{" ".join(command)}"'
