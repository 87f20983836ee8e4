"""Programs in processes of their own that need not load torch: each is a fork of one that has loaded it.

Importing torch and its compiler, which every optimiser asks for, takes seven seconds of CPU time, a hundred times what
a small training takes. A fork has what a new process has after these imports: no thread, nothing computed, the modules
of ours not loaded. Where what is imported is what is tested, a new process belongs.
"""

from __future__ import annotations

import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(["torch", "torch._dynamo"])


class Program:
    """With the methods of subprocess.Popen that tests use."""

    def __init__(self, words: Sequence[str | Path], log: Path, env: Mapping[str, str], cwd: Path | None = None) -> None:
        """`words`: a file of Python and its arguments, or -c and code; `log`: where its output goes."""
        told = [str(word) for word in words]
        self._process = _FORKS.Process(target=_become, args=(told, log, dict(env), cwd or Path.cwd()))
        self._process.start()
        assert self._process.pid is not None
        self.pid = self._process.pid

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        self._process.join(timeout)
        if (code := self.poll()) is None:
            raise subprocess.TimeoutExpired(f"process {self.pid}", timeout or 0)
        return code

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def _become(words: list[str], log: Path, env: dict[str, str], cwd: Path) -> None:
    """Returns as the program does: an exit code that it gives to sys.exit is this process's."""
    with log.open("wb") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    os.environ.clear()
    os.environ.update(env)
    os.chdir(cwd)
    if words[0] == "-c":
        sys.argv[:] = ["-c", *words[2:]]
        sys.path.insert(0, str(cwd))
        exec(compile(words[1], "<string>", "exec"), {"__name__": "__main__"})
    else:
        sys.argv[:] = words
        sys.path.insert(0, str(Path(words[0]).parent))
        runpy.run_path(words[0], run_name="__main__")
