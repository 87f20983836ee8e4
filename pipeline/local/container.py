"""A process that stands in for a container: its own /opt/ml, the variables it is given, dead when its runner is."""

from __future__ import annotations

import os
import re
import signal
import sys
from contextlib import suppress

from pipeline.errors import DarkroomError
from pipeline.local import guard, namespace
from pipeline.local.folders import make_folder
from pipeline.local.program import OURS, execute, open_log, spawn, words

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import NoReturn

    from pipeline.local.loop import Loop
    from pipeline.local.namespace import Entered, Kernel, Views

ML = namespace.ML
NOT_STARTED = 127  # what a shell says, too
KINDS = ("namespace", "rewrite")
# what a process needs from the machine it is on, whichever container it stands for
_FROM_CALLER = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "TZ", "CUDA_VISIBLE_DEVICES", "SSL_CERT_FILE")
# /opt/ml as a path of its own: not the end of a longer path, not the beginning of /opt/mlx
_ML = re.compile(r"(?<![\w./-])/opt/ml(?![\w.-])")


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


class Isolation:
    """Entered once by a process, which from then on is bound up with its children."""

    __slots__ = (
        "_entered",
        "_guard_pid",
        "_guard_pipe",
        "_init",
        "_kernel",
        "_kind",
        "_reason",
        "_views",
        "execution_arn",
    )

    def __init__(self, execution_arn: str) -> None:
        self.execution_arn = execution_arn
        self._kind = "rewrite"
        self._reason = ""
        self._kernel: Kernel | None = None
        self._entered: Entered | None = None  # not settled yet
        self._views: Views | None = None
        self._init = 0
        self._guard_pid = 0
        self._guard_pipe = -1

    @classmethod
    def enter(cls, home: str, execution_arn: str) -> Isolation:
        """DARKROOM_ISOLATION=namespace|rewrite forces one. Raises DarkroomError when the forced one is not to be had.

        Where there are namespaces the process can start no thread afterwards: OPENBLAS_NUM_THREADS=1 before numpy.
        """
        self = cls(execution_arn)
        wanted = os.environ.get("DARKROOM_ISOLATION", "")
        if wanted not in ("", *KINDS):
            raise DarkroomError(f"DARKROOM_ISOLATION={wanted!r} is unknown", f"unset it, or use {' or '.join(KINDS)}")
        if wanted == "rewrite":
            self._reason = "DARKROOM_ISOLATION=rewrite"
        elif sys.platform != "linux":
            self._reason = f"{sys.platform} has no namespaces"
        else:
            self._enter_namespace(home)
        if wanted == "namespace" and self.kind != wanted:
            self.close()
            raise DarkroomError(
                f"DARKROOM_ISOLATION=namespace: not on this machine: {self.reason}", "unset DARKROOM_ISOLATION"
            )
        if not self._init:
            self._guard_pid, self._guard_pipe = guard.start(execution_arn)
        return self

    def _enter_namespace(self, home: str) -> None:
        kernel = namespace.Kernel()
        try:
            self._entered = namespace.enter(kernel, home)
        except OSError as exc:
            if not namespace.refused(exc):
                raise
            self._reason = f"{exc.filename}: {exc.strerror}"
            return
        self._init = self._entered.init
        self._kernel = kernel

    @property
    def kind(self) -> str:
        """namespace or rewrite. The first look waits for the answer: whoever has entered can do other things before."""
        if self._entered is not None and self._kernel is not None:
            entered, self._entered = self._entered, None
            self._views, self._reason = namespace.settle(self._kernel, entered)
            if self._views is not None:
                self._kind = "namespace"
        return self._kind

    @property
    def reason(self) -> str:
        """Why it is not namespace; empty if it is."""
        return "" if self.kind == "namespace" else self._reason

    def close(self) -> None:
        """Kills whatever is left of the children; no further process can be launched."""
        _ = self.kind  # settled, so that no pipe stays open
        if self._init:
            os.kill(self._init, signal.SIGKILL)
            # init ends only when everybody in its namespace was reaped, and those that we forked are ours to reap
            while os.waitpid(-1, 0)[0] != self._init:
                pass
            self._init = 0
        if self._guard_pipe >= 0:
            os.close(self._guard_pipe)
            self._guard_pipe = -1
            os.waitpid(self._guard_pid, 0)

    def translate(self, tree: str, text: str) -> str:
        """The same text where `/opt/ml` really is: unchanged in a namespace, else with `tree` in its place."""
        return text if self.kind == "namespace" else _ML.sub(lambda _: tree, text)

    def launch(self, spec: Spec) -> Process:
        """Starts a program. One that cannot start exits with NOT_STARTED, and `finish()` says why."""
        log = open_log(spec.log)
        try:
            env = {**spec.env, guard.MARK: self.execution_arn}
            if self.kind == "namespace":
                return self._launch_in_view(spec, env, log)
            argv = [self.translate(spec.tree, word) for word in spec.argv]
            env = {name: self.translate(spec.tree, value) for name, value in env.items()}
            return self._fork(lambda: self._become(spec, argv, env, log), NOT_STARTED, spec.image)
        finally:
            os.close(log)

    def _launch_in_view(self, spec: Spec, env: dict[str, str], log: int) -> Process:
        """The runner itself puts on the job's view and takes it off again: that saves a fork."""
        kernel, views = self._kernel, self._views
        assert kernel is not None and views is not None
        mask = os.umask(0o022)
        try:
            namespace.enter_view(kernel, views, spec.tree, spec.hosts, spec.host)
            os.chdir(spec.cwd)
            return Process(spawn(list(spec.argv), env, log), -1, spec.image, -1)
        except OSError as exc:
            return self._fork(_raise(exc), NOT_STARTED, spec.image)
        finally:
            os.umask(mask)
            namespace.leave_view(kernel, views)

    def call(self, work: Callable[[], object]) -> Process:
        """Runs a function in a forked child, for work that would hold up the loop; `finish()` is its error, or ''."""
        return self._fork(work, 1, "")

    def _fork(self, work: Callable[[], object], failed: int, image: str) -> Process:
        problem_read, problem_write = os.pipe()
        pid = os.fork()
        if pid == 0:
            self._work(work, failed, problem_write)
        os.close(problem_write)
        with suppress(PermissionError, ProcessLookupError):  # the child does so too: whoever comes first
            os.setpgid(pid, pid)
        return Process(pid, problem_read, image, self._guard_pipe)

    def _work(self, work: Callable[[], object], failed: int, problem: int) -> NoReturn:
        try:
            self._leave_parent()
            work()
            os._exit(0)
        except DarkroomError as exc:
            os.write(problem, (f"{exc.message} ({exc.hint})" if exc.hint else exc.message).encode())
        except OSError as exc:
            os.write(problem, words(exc))
        except BaseException as exc:  # whatever it is, the child must not go on as a second runner
            os.write(problem, repr(exc).encode())
        finally:
            os._exit(failed)

    def _leave_parent(self) -> None:
        signal.set_wakeup_fd(-1)
        for number in OURS:
            signal.signal(number, signal.SIG_DFL)
        os.setpgid(0, 0)
        if self._guard_pipe >= 0:
            guard.started(self._guard_pipe, os.getpid())

    def _become(self, spec: Spec, argv: list[str], env: dict[str, str], log: int) -> NoReturn:
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.umask(0o022)
        os.chdir(self.translate(spec.tree, spec.cwd))
        execute(argv, env)


def _raise(exc: OSError) -> Callable[[], object]:
    def work() -> None:
        raise exc

    return work


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
