"""Looks at the machine, over a made-up /proc and over this one."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from health.profiling import system
from health.profiling.gpus import Gpus
from health.profiling.system import Machine, Sampler
from health.recording import records
from health.view import SYSTEM

GB = 1 << 30
CORES = sorted(system.cores())


def machine(root: Path, **files: str) -> Machine:
    """The files of /proc that matter, and then those of `files`, whose names have __ for /."""
    write(root, "proc/stat", stat(100, 900, 0))
    write(root, "proc/meminfo", "MemTotal: 16777216 kB\nMemFree: 1 kB\nMemAvailable: 12582912 kB\n")
    write(root, "proc/diskstats", disks(0, 0))
    write(root, "proc/net/dev", network(0, 0))
    write(root, "proc/self/cgroup", "0::/job/inner\n")
    (root / "sys/block/nvme0n1").mkdir(parents=True)
    (root / "sys/block/loop0").mkdir()
    for name, text in files.items():
        write(root, name.replace("__", "/"), text)
    return Machine({}, root, Gpus({}, Driver(0)))


def write(root: Path, name: str, text: str) -> None:
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_text(text)


def stat(busy: int, idle: int, waiting: int) -> str:
    """In ticks; also of a core that this process may not run on."""
    rows = [f"cpu{core} {busy} 0 0 {idle} {waiting} 0 0 0 0 0" for core in CORES]
    return "\n".join([f"cpu  {busy} 0 0 {idle} 0 0 0 0", *rows, "cpu4095 5 0 0 0 0 0 0 0", "intr 1 2 3"])


def disks(read: int, written: int) -> str:
    rows = [f"259 {n} {name} 1 0 {read} 0 1 0 {written} 0 0" for n, name in enumerate(("nvme0n1", "nvme0n1p1"))]
    return "\n".join([*rows, "7 0 loop0 1 0 999999 0 1 0 999999 0 0"])


def network(received: int, sent: int) -> str:
    row = "{}: {} 0 0 0 0 0 0 0 {} 0 0 0 0 0 0 0"
    return "\n".join(["Inter-|", " face |", row.format("    lo", 10**9, 10**9), row.format("  eth0", received, sent)])


class Driver:
    """NVML as ctypes sees it: what it is asked for is written where the caller points."""

    def __init__(self, number: int, busy: int = 40, used: int = 4 * GB, total: int = 16 * GB) -> None:
        self.number, self.busy, self.used, self.total = number, busy, used, total

    def nvmlInit_v2(self) -> int:
        return 0

    def nvmlDeviceGetCount_v2(self, count: Any) -> int:
        count._obj.value = self.number
        return 0

    def nvmlDeviceGetHandleByIndex_v2(self, number: int, handle: Any) -> int:
        handle._obj.value = number + 1
        return 0

    def nvmlDeviceGetUtilizationRates(self, handle: Any, rates: Any) -> int:
        rates._obj.gpu = self.busy + handle.value
        return 0

    def nvmlDeviceGetMemoryInfo(self, handle: Any, memory: Any) -> int:
        memory._obj.used, memory._obj.total = self.used, self.total
        return 0


def test_a_look_tells_what_happened_since_the_one_before(tmp_path: Path) -> None:
    seen = machine(tmp_path)
    write(tmp_path, "proc/stat", stat(160, 930, 10))
    write(tmp_path, "proc/diskstats", disks(8, 4))
    write(tmp_path, "proc/net/dev", network(1000, 500))
    row = seen.look()
    assert (row["cpu"], row["io_wait"]) == (pytest.approx(60), pytest.approx(10))
    assert row["cpu_each"] == pytest.approx([60] * len(CORES))
    assert (row["memory_mb"], row["memory_used_share"]) == (pytest.approx(4294.967296), pytest.approx(25))
    assert row["read_mb_s"] == pytest.approx(2 * row["write_mb_s"])  # a partition is part of its disk
    assert row["received_mb_s"] == pytest.approx(2 * row["sent_mb_s"])
    assert row["read_mb_s"] == pytest.approx(8 * 512 / 1000 * row["received_mb_s"])


def test_a_row_has_every_column_of_the_table(tmp_path: Path) -> None:
    assert set(machine(tmp_path).look()) == set(SYSTEM)


def test_counters_that_went_back_are_no_use(tmp_path: Path) -> None:
    seen = machine(tmp_path, proc__diskstats=disks(50, 50))
    write(tmp_path, "proc/diskstats", disks(0, 0))
    write(tmp_path, "proc/stat", stat(90, 800, 0))
    row = seen.look()
    assert row["read_mb_s"] == 0
    assert 0 <= row["cpu"] <= 100


def test_version_2_cgroups_limit_memory_and_cpu_above_the_own_one_too(tmp_path: Path) -> None:
    group = {"sys__fs__cgroup__job__memory.max": f"{2 * GB}", "sys__fs__cgroup__job__inner__memory.max": "max"}
    group |= {
        "sys__fs__cgroup__job__memory.current": f"{GB}",
        "sys__fs__cgroup__job__memory.stat": f"inactive_file {GB // 2}",
    }
    group |= {"sys__fs__cgroup__job__cpu.max": "50000 100000"}
    group |= {"sys__fs__cgroup__job__inner__cpu.stat": "usage_usec 0\nuser_usec 0"}
    seen = machine(tmp_path, **group)
    assert seen.facts() == {"cores": 0.5, "memory_mb": 2147, "gpus": 0, "every": 0.5}
    write(tmp_path, "sys/fs/cgroup/job/inner/cpu.stat", "usage_usec 3600000000\nuser_usec 0")
    row = seen.look()
    assert row["memory_used_share"] == pytest.approx(25)
    assert row["cpu"] == 100  # an hour of CPU since: as much as it may have, not more


def test_version_1_cgroups_are_read_alike(tmp_path: Path) -> None:
    group = {"proc__self__cgroup": "4:memory:/job\n3:cpu,cpuacct:/\n", "sys__fs__cgroup__memory__job__memory.stat": ""}
    group |= {"sys__fs__cgroup__memory__job__memory.limit_in_bytes": f"{4 * GB}"}
    group |= {"sys__fs__cgroup__memory__job__memory.usage_in_bytes": f"{GB}"}
    group |= {"sys__fs__cgroup__cpu__cpu.cfs_quota_us": "25000", "sys__fs__cgroup__cpu__cpu.cfs_period_us": "100000"}
    group |= {"sys__fs__cgroup__cpuacct__cpuacct.usage": "0"}
    seen = machine(tmp_path, **group)
    assert seen.facts()["cores"] == 0.25
    row = seen.look()
    assert (row["memory_used_share"], row["cpu"]) == (pytest.approx(25), 0)


def test_a_limit_above_what_the_machine_has_is_none(tmp_path: Path) -> None:
    group = {"proc__self__cgroup": "4:memory:/\n"}
    group |= {"sys__fs__cgroup__memory__memory.limit_in_bytes": "9223372036854771712"}
    assert machine(tmp_path, **group).facts() == {"cores": len(CORES), "memory_mb": 17180, "gpus": 0, "every": 0.5}


def test_gpus_are_asked_of_the_driver() -> None:
    use = Gpus({}, Driver(2)).use()
    assert use.busy == [41, 42]
    assert use.memory_share == [25, 25]
    assert use.memory_mb == pytest.approx([4294.967296] * 2)


@pytest.mark.parametrize(("visible", "busy"), [("1", [42]), ("", []), ("0,1", [41, 42]), ("GPU-aa", [41, 42])])
def test_only_gpus_that_this_process_sees_are_asked(visible: str, busy: list[int]) -> None:
    assert Gpus({"CUDA_VISIBLE_DEVICES": visible}, Driver(2)).use().busy == busy


def test_a_driver_that_does_not_start_has_no_gpus() -> None:
    driver = Driver(2)
    driver.nvmlInit_v2 = lambda: 9  # type: ignore[method-assign]  # NVML_ERROR_DRIVER_NOT_LOADED
    assert Gpus({}, driver).use() == ([], [], [])


def test_this_machine_is_looked_at_from_start_to_stop() -> None:
    rows: list[dict[str, Any]] = []
    enough = threading.Event()

    def add(row: dict[str, Any]) -> None:
        rows.append(row)
        if len(rows) == 3:
            enough.set()

    sampler = Sampler(add, system.found(), interval=0.01).start()
    assert enough.wait(60)
    sampler.stop()
    assert not [thread for thread in threading.enumerate() if thread.name == "system"]
    assert (np.diff([row["ended"] for row in rows]) >= 0).all()
    assert all(0 <= row["cpu"] <= 100 and 0 < row["memory_used_share"] <= 100 for row in rows)
    assert all(len(row["cpu_each"]) == len(CORES) for row in rows)
    sampler.stop()  # once more does nothing


def test_what_was_seen_is_read_again_from_its_file(tmp_path: Path) -> None:
    writer = records.Writer(records.path(tmp_path, "system"), records.SYSTEM)
    sampler = Sampler(writer.add, system.found(), interval=3600).start()
    sampler.stop()
    writer.close()
    read = records.read(tmp_path).system
    assert len(read["ended"]) == 1
    assert len(read["cpu_each"][0]) == len(CORES)
    assert 0 < read["memory_used_share"][0] <= 100


def test_a_short_job_has_one_row() -> None:
    rows: list[dict[str, Any]] = []
    sampler = Sampler(rows.append, system.found(), interval=3600).start()
    sampler.stop()
    assert len(rows) == 1


def test_a_machine_without_proc_is_not_looked_at(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = []
    assert system.found(tmp_path) is None
    sampler = Sampler(rows.append, None).start()
    sampler.stop()
    assert rows == []


FORKED = """
import os, sys
sys.path.insert(0, "entrypoints")
from health.recording import records
from health.profiling import system
sampler = system.Sampler(lambda row: None, system.found(), interval=3600).start()
child = os.fork()
sampler.stop()
if not child:
    os._exit(7)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def test_a_forked_child_does_not_wait_for_the_thread_that_it_lacks() -> None:
    command = [sys.executable, "-W", "ignore", "-c", FORKED]  # Python 3.12 warns of any fork beside threads
    done = subprocess.run(command, cwd=Path(__file__).parent.parent, capture_output=True, text=True, timeout=60)
    assert done.stdout == "7\n"
