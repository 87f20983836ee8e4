"""What runs on this machine, for tests that nothing is left."""

from __future__ import annotations

import os
from pathlib import Path


def naming(mark: str) -> list[str]:
    """Command lines of other processes that hold this text, such as a folder of the test's own."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit() and int(name) != os.getpid():
            try:
                line = Path("/proc", name, "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except (FileNotFoundError, ProcessLookupError):  # it has ended meanwhile
                continue
            if mark in line:
                found.append(line)
    return found
