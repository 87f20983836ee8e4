"""How many processors the server may use, and torch's threads on them."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from pathlib import Path

from health.profiling.cgroups import Cgroup


def count(root: Path = Path("/")) -> int:
    """Those that the process may run on, or fewer where the container's quota says so; at least one."""
    may = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, math.floor(Cgroup(root).granted(may) or may))


def threads(env: Mapping[str, str], processors: int) -> int:
    """Of one forward pass: OMP_NUM_THREADS where it says so, as torch itself takes it."""
    asked = env.get("OMP_NUM_THREADS", "").partition(",")[0]
    return int(asked) if asked.isdecimal() and int(asked) else processors
