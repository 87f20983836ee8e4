"""Linux namespaces without a helper program: a pid namespace that dies with the runner, a private /opt/ml for each job.

What the kernel gives here and nothing else does: when the init of a pid namespace ends, every process in it is killed,
whatever sessions and groups they have moved to. Python 3.11 has neither unshare nor mount, hence ctypes (4 ms each).
"""

from __future__ import annotations

import errno
import os
import select
import signal
import stat
from collections import namedtuple
from contextlib import suppress

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

ML = "/opt/ml"
_NEWNS, _NEWUTS, _NEWUSER, _NEWPID = 0x00020000, 0x04000000, 0x10000000, 0x20000000
_NOSUID, _NODEV, _NOEXEC, _BIND, _REC, _SLAVE = 0x2, 0x4, 0x8, 0x1000, 0x4000, 0x80000
# mounts and host name too: a process can only go back to those that belong to its own user namespace
_OWN = _NEWPID | _NEWNS | _NEWUTS
_PR_SET_PDEATHSIG, _DETACH = 1, 2


# `init`: its pid; `answer`: where it tells how the mounts went; `alive`: open as long as it has not told
Entered = namedtuple("Entered", "init answer alive")
# descriptors of namespaces: the mounts that each job starts from, and what the runner itself has
Views = namedtuple("Views", "jobs mounts host")


class Kernel:
    """The calls that Python does not have; each raises OSError. Made before a fork: the child imports nothing."""

    __slots__ = ("_libc", "_number")

    def __init__(self) -> None:
        import ctypes

        self._libc = ctypes.CDLL(None, use_errno=True)
        self._number = ctypes.get_errno

    def _check(self, result: int, what: str) -> None:
        if result != 0:
            number = self._number()
            raise OSError(number, os.strerror(number), what)

    def unshare(self, flags: int) -> None:
        self._check(self._libc.unshare(flags), "unshare")

    def join(self, descriptor: int, kind: int) -> None:
        self._check(self._libc.setns(descriptor, kind), "setns")

    def mount(self, source: str, target: str, kind: str = "", flags: int = 0, options: str = "") -> None:
        encoded = [os.fsencode(text) if text else None for text in (source, target, kind)]
        self._check(self._libc.mount(*encoded, flags, options.encode() or None), f"mount {target}")

    def unmount(self, target: str) -> None:
        self._check(self._libc.umount2(os.fsencode(target), _DETACH), f"umount {target}")

    def die_with_parent(self) -> None:
        self._check(self._libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0), "prctl")

    def name_host(self, name: str) -> None:
        self._check(self._libc.sethostname(name.encode(), len(name)), "sethostname")


def enter(kernel: Kernel, probe: str) -> Entered:
    """Puts later children of this process into a pid namespace; `settle` then tells whether jobs can have /opt/ml.

    Raises OSError when this machine allows no pid namespace; nothing has changed then. It cannot be undone, and
    the process can start no thread afterwards (EINVAL). `probe`: a folder to try the mounts with.
    """
    try:
        kernel.unshare(_OWN)
    except PermissionError:
        _try_as_user(kernel)
        _unshare_as_user(kernel)
    alive_read, alive_write = os.pipe()
    ready_read, ready_write = os.pipe()
    pid = os.fork()
    if pid == 0:
        _init(kernel, probe, (alive_read, alive_write), ready_write)
    os.close(alive_read)
    os.close(ready_write)
    return Entered(pid, ready_read, alive_write)


def settle(kernel: Kernel, entered: Entered) -> tuple[Views | None, str]:
    """Waits until the init has tried the mounts (3 ms after `enter`): None and why jobs cannot have /opt/ml, or not."""
    root = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with open(entered.answer, "rb") as answer:
            reason = answer.read().decode(errors="replace")
        if reason:
            return None, reason
        names = (f"/proc/{entered.init}/ns/mnt", "/proc/self/ns/mnt", "/proc/self/ns/uts")
        views = Views(*(os.open(name, os.O_RDONLY | os.O_CLOEXEC) for name in names))
        kernel.join(views.jobs, _NEWNS)
        leave_view(kernel, views)
        if not os.path.samestat(os.fstat(root), os.stat("/")):  # who joins mounts is at the very top of them
            os.fchdir(root)
            os.chroot(".")
            return None, "this process is in a chroot"
        return views, ""
    except OSError as exc:
        return None, f"{exc.filename}: {exc.strerror}"
    finally:
        os.close(root)
        os.close(entered.alive)


def _try_as_user(kernel: Kernel) -> None:
    """In a child, since half of it may work: Ubuntu (AppArmor) grants the namespace, but no right to map users."""
    pid = os.fork()
    if pid == 0:
        number = errno.EPERM
        try:
            _unshare_as_user(kernel)
            number = 0
        except OSError as exc:
            number = exc.errno or number
        finally:
            os._exit(number)
    number = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if number != 0:
        raise OSError(abs(number), os.strerror(abs(number)), "user namespace")


def _unshare_as_user(kernel: Kernel) -> None:
    """An ordinary user needs a user namespace to own the pid namespace; he stays himself in it."""
    user, group = os.geteuid(), os.getegid()
    kernel.unshare(_NEWUSER | _OWN)
    for name, text in (("setgroups", "deny"), ("uid_map", f"{user} {user} 1"), ("gid_map", f"{group} {group} 1")):
        with open(f"/proc/self/{name}", "w", encoding="ascii") as file:
            file.write(text)


def _init(kernel: Kernel, probe: str, alive: tuple[int, int], ready: int) -> NoReturn:
    """Pid 1 of the namespace: adopts and reaps orphans, and takes everybody with it when the runner is gone."""
    try:
        become_background(keep=(*alive, ready))
        kernel.die_with_parent()
        os.close(alive[1])
        # getppid() is 0 here, so a pipe tells whether the runner died before the line above
        if select.select([alive[0]], [], [], 0)[0]:
            os._exit(0)
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel reaps
        with suppress(BrokenPipeError):
            os.write(ready, _try_view(kernel, probe).encode())
        os.close(ready)
        while True:
            signal.pause()
    finally:
        os._exit(1)


def _try_view(kernel: Kernel, probe: str) -> str:
    """Makes the mounts that the jobs' own are copies of, and tries the one that differs from job to job."""
    try:
        kernel.unshare(_NEWNS)
        kernel.mount("", "/", flags=_REC | _SLAVE)
        if not os.path.isdir(ML):
            _add_ml(kernel)
        kernel.mount(probe, ML, flags=_BIND | _REC)
        kernel.unmount(ML)
        # an unprivileged container masks parts of /proc and refuses a new one: jobs then see the pids of outside there
        with suppress(PermissionError):
            kernel.mount("proc", "/proc", "proc", _NOSUID | _NODEV | _NOEXEC)
        return ""
    except OSError as exc:
        return f"{exc.filename or 'mount'}: {exc.strerror}"


def become_background(keep: tuple[int, ...]) -> None:
    """After a fork: forget the parent's handlers, terminal, group and descriptors, except those in `keep`."""
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    os.setsid()
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)
    for name in os.listdir("/dev/fd"):
        if int(name) > 2 and int(name) not in keep:
            with suppress(OSError):
                os.close(int(name))


def enter_view(kernel: Kernel, views: Views, tree: str, hosts: str, host: str) -> None:
    """This process sees `tree` at /opt/ml, the file `hosts` at /etc/hosts, the host name `host`: until `leave_view`.

    What it starts meanwhile goes on seeing that. Its working folder is / afterwards.
    """
    kernel.join(views.jobs, _NEWNS)
    kernel.unshare(_NEWNS | (_NEWUTS if host else 0))
    kernel.mount(tree, ML, flags=_BIND | _REC)
    if hosts:
        kernel.mount(hosts, "/etc/hosts", flags=_BIND)
    if host:
        kernel.name_host(host)


def leave_view(kernel: Kernel, views: Views) -> None:
    """Raises RuntimeError when there is no way back: nobody may go on, or start anything, in a job's view."""
    try:
        kernel.join(views.mounts, _NEWNS)
        kernel.join(views.host, _NEWUTS)
    except OSError as exc:
        raise RuntimeError(f"the runner cannot leave a job's view: {exc}") from exc


def _add_ml(kernel: Kernel) -> None:
    """A folder in memory takes the place of /opt, with all that was there bound back into it, and an empty `ml`."""
    top = os.path.dirname(ML)
    names = os.listdir(top)
    before = os.open(top, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    kernel.mount("tmpfs", top, "tmpfs", _NOSUID | _NODEV, "mode=755")
    for name in names:
        source, target = f"/proc/self/fd/{before}/{name}", f"{top}/{name}"
        mode = os.lstat(source).st_mode
        if stat.S_ISLNK(mode):
            os.symlink(os.readlink(source), target)
            continue
        if stat.S_ISDIR(mode):
            os.mkdir(target)
        else:
            os.close(os.open(target, os.O_CREAT | os.O_WRONLY, 0o644))
        kernel.mount(source, target, flags=_BIND | _REC)
    os.mkdir(ML)
    os.close(before)


def refused(exc: OSError) -> bool:
    """Does this error mean that the machine does not offer namespaces, rather than that something else broke?"""
    return exc.errno in (
        errno.EPERM,
        errno.EACCES,
        errno.ENOSYS,
        errno.EINVAL,
        errno.ENOSPC,
        errno.EUSERS,
        errno.ENOENT,
    )
