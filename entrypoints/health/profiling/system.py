"""What the machine does while a network trains: CPU, memory, I/O, network and GPUs, looked at twice a second."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from health.profiling.cgroups import Cgroup
from health.profiling.gpus import Gpus

INTERVAL = 0.5  # seconds, as SageMaker Debugger's monitoring had it
MB = 1e6
SECTOR = 512  # of /proc/diskstats, whatever the disk's own are


class Machine:
    """Rates between two looks at /proc. `root` is where proc and sys are found.

    CPU and I/O wait are those of the cores that this process may run on, other programs' work included: a core that
    somebody else keeps busy is a bottleneck all the same. Where a cgroup grants less than these cores (a container
    with a CPU quota), CPU is the cgroup's own time as a share of what it grants.
    """

    def __init__(self, env: Mapping[str, str] = os.environ, root: Path = Path("/"), gpus: Gpus | None = None) -> None:
        self.root = root
        self.gpus = Gpus(env) if gpus is None else gpus
        self._cores = cores()
        self._cgroup = Cgroup(root)
        self._granted = self._cgroup.granted(len(self._cores))
        self._limit = min(self._meminfo()["MemTotal"], self._cgroup.memory_limit)
        self._disks = _disks(root)
        self._before = self._counters()

    def facts(self) -> dict[str, Any]:
        """What the figures are shares of."""
        granted = self._granted or len(self._cores)
        return {"cores": granted, "memory_mb": round(self._limit / MB), "gpus": len(self.gpus), "every": INTERVAL}

    def look(self) -> dict[str, Any]:
        """A row of system.arrow: what happened since the look before."""
        before, self._before = self._before, self._counters()
        now = self._before
        passed = max(now["at"] - before["at"], 1e-9)
        busy, waiting = _shares(before["cpu"], now["cpu"])
        cpu = sum(busy) / max(len(busy), 1)
        if self._granted and now["cgroup"] is not None:
            cpu = 100 * (now["cgroup"] - before["cgroup"]) / passed / self._granted
        used, share = self._memory()
        rates = {name: (now[name] - before[name]) / passed / MB for name in ("read", "write", "received", "sent")}
        gpu = self.gpus.use()
        return {
            "ended": time.time(),
            "cpu": min(cpu, 100.0),
            "cpu_each": busy,
            "memory_mb": used / MB,
            "memory_used_share": share,
            "io_wait": sum(waiting) / max(len(waiting), 1),
            **{f"{name}_mb_s": max(rate, 0.0) for name, rate in rates.items()},
            "gpu": gpu.busy,
            "gpu_memory_mb": gpu.memory_mb,
            "gpu_memory_share": gpu.memory_share,
        }

    def _counters(self) -> dict[str, Any]:
        read, write = self._disk()
        received, sent = self._network()
        cgroup = self._cgroup.seconds() if self._granted else None
        moved = {"read": read, "write": write, "received": received, "sent": sent}
        return {"at": time.monotonic(), "cpu": self._ticks(), "cgroup": cgroup, **moved}

    def _read(self, name: str) -> str:
        return (self.root / name).read_text()

    def _ticks(self) -> list[tuple[int, int, int]]:
        """(all, idle, waiting for I/O) of each core."""
        found = []
        for line in self._read("proc/stat").splitlines():
            name, *numbers = line.split()
            if not name.startswith("cpu"):
                break
            if name != "cpu" and int(name[3:]) in self._cores:
                ticks = [int(number) for number in numbers[:8]]  # guests are in user and nice already
                found.append((sum(ticks), ticks[3], ticks[4]))
        return found

    def _memory(self) -> tuple[float, float]:
        """Bytes in use, without what the kernel would give back, and their share (%) of what this job may have."""
        used = self._cgroup.memory() if self._cgroup.memory_limit <= self._limit else None
        if used is None:
            known = self._meminfo()
            used = known["MemTotal"] - known["MemAvailable"]
        return used, 100 * used / self._limit

    def _meminfo(self) -> dict[str, float]:
        rows = (line.split() for line in self._read("proc/meminfo").splitlines())
        return {row[0].rstrip(":"): 1024.0 * int(row[1]) for row in rows if row[0] in ("MemTotal:", "MemAvailable:")}

    def _disk(self) -> tuple[float, float]:
        rows = [line.split() for line in self._read("proc/diskstats").splitlines()]
        own = [row for row in rows if row[2] in self._disks]
        return sum(int(row[5]) for row in own) * SECTOR, sum(int(row[9]) for row in own) * SECTOR

    def _network(self) -> tuple[float, float]:
        received = sent = 0
        for line in self._read("proc/net/dev").splitlines()[2:]:
            name, _, numbers = line.partition(":")
            fields = numbers.split()
            if name.strip() != "lo":
                received, sent = received + int(fields[0]), sent + int(fields[8])
        return received, sent


class Sampler:
    """A thread that gives `add` a row every half second, from `start()` to `stop()`; without /proc it gives none.

    It costs 0.1 % of one core (2 busy cores, Python 3.11, 61 looks, n = 3). A child made by fork has no such thread:
    there, stop() does nothing.
    """

    def __init__(
        self, add: Callable[[dict[str, Any]], None], machine: Machine | None, interval: float = INTERVAL
    ) -> None:
        """`machine` is what `found()` found."""
        self.machine = machine
        self._add, self._interval = add, interval
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="system", daemon=True)
        self._process = os.getpid()

    def start(self) -> Sampler:
        if self.machine:
            self._thread.start()
        return self

    def stop(self) -> None:
        """With a last row, so that a short job has one as well."""
        if self.machine and self._thread.is_alive() and self._process == os.getpid():
            self._ended.set()
            self._thread.join()

    def _run(self) -> None:
        assert self.machine is not None
        due = time.monotonic()
        while not self._ended.is_set():
            due = max(due + self._interval, time.monotonic())
            self._ended.wait(due - time.monotonic())
            self._add(self.machine.look())


def found(root: Path = Path("/"), env: Mapping[str, str] = os.environ) -> Machine | None:
    """None where there is no /proc that says how the machine does (macOS): the rules then say NotEvaluated."""
    needed = ("stat", "meminfo", "diskstats", "net/dev")
    return Machine(env, root) if all((root / "proc" / name).is_file() for name in needed) else None


def cores() -> set[int]:
    return os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set(range(os.cpu_count() or 1))


def _disks(root: Path) -> set[str]:
    """Whole disks of real devices: a partition's, a mapping's and a mirror's sectors are counted there too."""
    try:
        names = {path.name for path in (root / "sys/block").iterdir()}
    except OSError:
        return set()
    return {name for name in names if not name.startswith(("loop", "ram", "zram", "dm-", "md", "sr"))}


def _shares(before: list[tuple[int, int, int]], now: list[tuple[int, int, int]]) -> tuple[list[float], list[float]]:
    """% busy and % waiting for I/O of each core."""
    busy, waiting = [], []
    for (total, idle, wait), (total_now, idle_now, wait_now) in zip(before, now, strict=False):
        passed = max(total_now - total, 1)
        # the kernel's counts of waiting may go back
        busy.append(min(max(100 * (1 - (idle_now - idle + wait_now - wait) / passed), 0.0), 100.0))
        waiting.append(min(max(100 * (wait_now - wait) / passed, 0.0), 100.0))
    return busy, waiting
