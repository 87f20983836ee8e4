"""Where a runner's children live: in namespaces with an /opt/ml for each job, or else with their paths rewritten."""

from __future__ import annotations

import os
import re
import signal
import sys
from contextlib import suppress

from pipeline.errors import DarkroomError
from pipeline.local import guard, namespace
from pipeline.local.container import Process
from pipeline.local.names import random_id
from pipeline.local.namespace import ML
from pipeline.local.program import OURS, execute, open_log, spawn, words

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn

    from pipeline.local.container import Spec
    from pipeline.local.namespace import Entered, Kernel, Views

KINDS = ("namespace", "rewrite")
NOT_STARTED = 127  # what a shell says, too
# /opt/ml as a path of its own: not the end of a longer path, not the beginning of /opt/mlx
_ML = re.compile(r"(?<![\w./-])/opt/ml(?![\w.-])")


class Isolation:
    """Entered once by a process, which from then on is bound up with its children."""

    __slots__ = (
        "_entered",
        "_guard_pid",
        "_guard_pipe",
        "_init",
        "_kernel",
        "_kind",
        "_mark",
        "_reason",
        "_views",
    )

    def __init__(self, execution_arn: str) -> None:
        # of this runner alone: the guard of one that was killed must not hunt the jobs of the one that resumes its work
        self._mark = f"{execution_arn}#{random_id()}"
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
        """DARKROOM_ISOLATION=namespace|rewrite forces one. Raises DarkroomError when that is not to be had here.

        Where there are namespaces the process can start no thread afterwards: OPENBLAS_NUM_THREADS=1 before numpy.
        """
        _refuse_below_ml(home)
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
            self._guard_pid, self._guard_pipe = guard.start(self._mark)
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
        for descriptor in self._views or ():
            os.close(descriptor)
        self._views = None
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
            env = {**spec.env, guard.MARK: self._mark}
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
        except BaseException as exc:  # whatever it is, the child must not go on as a second runner
            os.write(problem, words(exc))
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


def _refuse_below_ml(home: str) -> None:
    """Every job has an /opt/ml of its own: it would hide what lies there, and paths to it would be rewritten."""
    needed = (
        ("the folder for state", home, "DARKROOM_HOME moves it"),
        ("the interpreter", sys.executable, "use an environment elsewhere"),
    )
    for what, path, mend in needed:
        if f"{os.path.abspath(path)}/".startswith(f"{ML}/"):
            raise DarkroomError(f"{what}, {path}, lies below {ML}, which each job has for itself", mend)


def _raise(exc: OSError) -> Callable[[], object]:
    def work() -> None:
        raise exc

    return work
