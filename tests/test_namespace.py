"""Namespaces: what may fail on the way in and on the way out, with a kernel that refuses."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from local_jobs import BOTH, ROOT

from pipeline.local import namespace

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has namespaces")


class HalfWilling(namespace.Kernel):
    """As Ubuntu's, for an ordinary user: grants the namespace, and then no right to map users in it."""

    __slots__ = ("granted",)

    def __init__(self) -> None:
        super().__init__()
        self.granted: list[int] = []

    def unshare(self, flags: int) -> None:
        if flags & 0x10000000:  # CLONE_NEWUSER
            self.granted.append(flags)
        else:
            raise PermissionError(1, "Operation not permitted", "unshare")


class OneWay(namespace.Kernel):
    def join(self, descriptor: int, kind: int) -> None:
        raise PermissionError(1, "Operation not permitted", "setns")


def test_what_works_by_halves_is_tried_in_a_child() -> None:
    kernel = HalfWilling()
    with pytest.raises(OSError, match="user namespace") as caught:
        namespace.enter(kernel, "/tmp")
    assert namespace.refused(caught.value)
    assert kernel.granted == []  # nothing has changed for this process


def test_a_runner_that_cannot_leave_a_view_goes_no_further() -> None:
    with pytest.raises(RuntimeError, match="cannot leave a job's view"):
        namespace.leave_view(OneWay(), namespace.Views(0, 0, 0))


CHROOT = """
import os, sys
from pipeline.local import namespace
kernel, top = namespace.Kernel(), sys.argv[1]
kernel.unshare(0x20000)  # CLONE_NEWNS
kernel.mount("", "/", flags=0x44000)  # MS_REC | MS_PRIVATE
kernel.mount(top, top, flags=0x1000)  # MS_BIND: of the root of a mount, all can be mounted again
for name in ("proc", "dev", "opt/ml", "home"):
    os.makedirs(f"{top}/{name}")
for name in ("proc", "dev"):
    kernel.mount(f"/{name}", f"{top}/{name}", flags=0x5000)  # MS_BIND | MS_REC
os.chroot(top)
os.chdir("/")
print(namespace.settle(kernel, namespace.enter(kernel, "/home")), sorted(os.listdir("/")))
"""


@pytest.mark.skipif("namespace" not in BOTH or os.getuid() != 0, reason="only root can change his root")
def test_a_chroot_is_not_left(tmp_path: Path) -> None:
    command = [sys.executable, "-c", CHROOT, str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout == "(None, 'this process is in a chroot') ['dev', 'home', 'opt', 'proc']\n", done.stderr
