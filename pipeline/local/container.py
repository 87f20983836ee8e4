"""A process that stands in for a container: what is to run, what it is given, how it ends."""

from __future__ import annotations

import os
import signal
from contextlib import suppress

from pipeline.local import guard, namespace
from pipeline.local.folders import make_folder

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pipeline.local.loop import Loop

ML = namespace.ML
# what a process needs from the machine it is on, whichever container it stands for
_FROM_CALLER = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "TZ", "CUDA_VISIBLE_DEVICES", "SSL_CERT_FILE")


class Spec:
    """What to run. Paths in `argv`, `env`, `cwd` are those of the container; `tree`, `log`, `hosts` of this machine."""

    __slots__ = ("argv", "cwd", "env", "host", "hosts", "image", "log", "tree")

    def __init__(
        self,
        argv: Sequence[str],
        env: Mapping[str, str],
        tree: str,
        log: str,
        *,
        cwd: str = ML,
        image: str = "",
        host: str = "",
        hosts: str = "",
    ) -> None:
        self.argv = argv
        self.env = env
        self.tree = tree  # the folder that is to be /opt/ml
        self.log = log  # stdout and stderr are appended
        self.cwd = cwd
        self.image = image  # for messages
        self.host = host  # host name, where there are namespaces
        self.hosts = hosts  # file that takes the place of /etc/hosts there


class Process:
    """A started one: wait with `loop.exit_of(process.pid)`, then call `finish()`."""

    __slots__ = ("_guard", "_image", "_problem", "pid")

    def __init__(self, pid: int, problem: int, image: str, guard_pipe: int) -> None:
        self.pid = pid  # also the process group
        self._problem = problem  # a pipe that says why it never started; -1: it did
        self._image = image
        self._guard = guard_pipe

    def signal(self, number: int) -> None:
        """To the whole group; nothing happens when it is gone."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)

    def finish(self) -> str:
        """After its exit was seen: ends what it left behind in its group; says why the program never started, or ''."""
        self.signal(signal.SIGKILL)
        if self._guard >= 0:
            guard.ended(self._guard, self.pid)
        if self._problem < 0:
            return ""
        with open(self._problem, "rb") as file:
            problem = file.read().decode(errors="replace")
        return f"image {self._image}: {problem}" if problem and self._image else problem


async def stop(process: Process, loop: Loop, grace: float) -> int:
    """SIGTERM, then SIGKILL `grace` seconds later, to the whole group: the exit code. Call `finish()` afterwards."""
    try:
        process.signal(signal.SIGTERM)
        code = await loop.exit_of(process.pid, grace)
    except BaseException:  # cancelled once more: no more patience
        process.signal(signal.SIGKILL)
        raise
    if code is None:
        process.signal(signal.SIGKILL)
        code = await loop.exit_of(process.pid)
    assert code is not None
    return code


def base_environment(private: str) -> dict[str, str]:
    """What every container has, set as in AWS's images; HOME is the folder `private`, with TMPDIR in it.

    Nothing else of the caller's environment: his AWS profile, tokens and PYTHONPATH stay his.
    """
    env = {name: os.environ[name] for name in _FROM_CALLER if os.environ.get(name)}
    env["HOME"] = private
    env["TMPDIR"] = os.path.join(private, "tmp")
    make_folder(env["TMPDIR"])
    env["LANG"] = env["LC_ALL"] = "C.UTF-8"
    env["PYTHONUNBUFFERED"] = env["PYTHONDONTWRITEBYTECODE"] = "1"
    env["PYTHONIOENCODING"] = "UTF-8"
    return env
