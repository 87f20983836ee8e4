"""What a container grants a job, and what the job took of it, from cgroups of both versions."""

from __future__ import annotations

import math
from pathlib import Path

CONTROLLERS = ("cpu", "cpuacct", "memory")


class Cgroup:
    """Those of this process and all above them: the narrowest limit counts. `root` is where proc and sys are found."""

    def __init__(self, root: Path = Path("/")) -> None:
        self._groups = _groups(root)
        self._limited = min(self._groups["memory"], default=None, key=_memory_limit)
        self.memory_limit = math.inf if self._limited is None else _memory_limit(self._limited)

    def granted(self, cores: int) -> float | None:
        """Cores, where a quota grants fewer than the process may run on."""
        grants = [grant for group in self._groups["cpu"] if (grant := _quota(group)) is not None]
        return min(grants) if grants and min(grants) < cores else None

    def memory(self) -> float | None:
        """Bytes in use in the group that is limited, without files' pages that the kernel would give back."""
        group = self._limited
        for name, idle in (("memory.current", "inactive_file"), ("memory.usage_in_bytes", "total_inactive_file")):
            if group is not None and (group / name).exists():
                return float((group / name).read_text()) - _rows(group / "memory.stat").get(idle, 0)
        return None

    def seconds(self) -> float | None:
        """CPU time of the group, by all its processes together."""
        for group in self._groups["cpuacct"] + self._groups["cpu"]:
            if (group / "cpuacct.usage").exists():
                return int((group / "cpuacct.usage").read_text()) / 1e9
            if (group / "cpu.stat").exists():
                microseconds = _rows(group / "cpu.stat").get("usage_usec")
                if microseconds is not None:
                    return microseconds / 1e6
        return None


def _groups(root: Path) -> dict[str, list[Path]]:
    """By controller, the innermost first; in version 2 one group holds them all."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        lines = []
    found: dict[str, list[Path]] = {name: [] for name in CONTROLLERS}
    for line in lines:
        _, names, path = line.split(":", 2)
        for name in CONTROLLERS:
            if not names or name in names.split(","):
                top = root / "sys/fs/cgroup" / (names and name)
                inner = top / path.lstrip("/")
                found[name] += [each for each in (inner, *inner.parents) if each.is_relative_to(top)]
    return found


def _memory_limit(group: Path) -> float:
    for name in ("memory.max", "memory.limit_in_bytes"):
        if (group / name).exists():
            text = (group / name).read_text().strip()
            return math.inf if text == "max" else float(text)
    return math.inf


def _quota(group: Path) -> float | None:
    if (group / "cpu.max").exists():
        quota, period = (group / "cpu.max").read_text().split()
        return None if quota == "max" else int(quota) / int(period)
    if (group / "cpu.cfs_quota_us").exists():
        microseconds = int((group / "cpu.cfs_quota_us").read_text())
        return microseconds / int((group / "cpu.cfs_period_us").read_text()) if microseconds > 0 else None
    return None


def _rows(file: Path) -> dict[str, int]:
    return {name: int(value) for name, value in (line.split() for line in file.read_text().splitlines())}
