"""How busy the GPUs are, from NVML, the driver's own library: what nvidia-smi and pynvml ask as well."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from typing import Any, NamedTuple

LIBRARY = "libnvidia-ml.so.1"
MB = 1e6


class Use(NamedTuple):
    """A figure for each GPU: % of the time since the driver's last look that it computed, MB and % of its memory."""

    busy: list[float]
    memory_mb: list[float]
    memory_share: list[float]


class _Utilization(ctypes.Structure):
    _fields_ = [("gpu", ctypes.c_uint), ("memory", ctypes.c_uint)]


class _Memory(ctypes.Structure):
    _fields_ = [("total", ctypes.c_ulonglong), ("free", ctypes.c_ulonglong), ("used", ctypes.c_ulonglong)]


class Gpus:
    """Those that this process may use; none where there is no driver."""

    def __init__(self, env: Mapping[str, str], library: Any = None) -> None:
        self._library = library or _loaded()
        self._handles: list[Any] = []
        if self._library is None or self._library.nvmlInit_v2() != 0:
            return
        count = ctypes.c_uint()
        self._library.nvmlDeviceGetCount_v2(ctypes.byref(count))
        for number in range(count.value) if env.get("CUDA_VISIBLE_DEVICES") is None else _visible(env, count.value):
            handle = ctypes.c_void_p()
            if self._library.nvmlDeviceGetHandleByIndex_v2(number, ctypes.byref(handle)) == 0:
                self._handles.append(handle)

    def __len__(self) -> int:
        return len(self._handles)

    def use(self) -> Use:
        found = Use([], [], [])
        for handle in self._handles:
            busy, memory = _Utilization(), _Memory()
            self._library.nvmlDeviceGetUtilizationRates(handle, ctypes.byref(busy))
            self._library.nvmlDeviceGetMemoryInfo(handle, ctypes.byref(memory))
            found.busy.append(float(busy.gpu))
            found.memory_mb.append(memory.used / MB)
            found.memory_share.append(100 * memory.used / memory.total if memory.total else 0.0)
        return found


def _visible(env: Mapping[str, str], count: int) -> list[int]:
    """Names of another kind (GPU-…, MIG-…) are not followed: then all are watched."""
    names = [name.strip() for name in env["CUDA_VISIBLE_DEVICES"].split(",") if name.strip()]
    if not all(name.isdecimal() for name in names):
        return list(range(count))
    return [int(name) for name in names if int(name) < count]


def _loaded() -> Any:
    try:
        return ctypes.CDLL(LIBRARY)
    except OSError:
        return None
