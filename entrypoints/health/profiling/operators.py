"""torch.profiler over a few steps after warm-up: which operators take the time, and a trace that opens in Perfetto."""

from __future__ import annotations

import atexit
import contextlib
import gc
import os
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonfile
import torch
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

TABLE, TRACE = "operators.json", "trace.json.gz"
FIRST, STEPS = 10, 3  # the first steps of a job are slower than the others; three are enough to rank operators
SHOWN = 30


class Window:
    """Call `at(step)` before each step, `close(folder)` when training is over.

    What starting and stopping it takes passes inside `at`: give it to the clock's "profiling", and no step has it. The
    steps in the window are slower (their operators are counted one by one), and so is the one after them, in which
    what was counted is thrown away: `at` says so of them, their rows are marked, and figures of durations leave them
    out.
    """

    def __init__(self, device: torch.device, first: int = FIRST, steps: int = STEPS) -> None:
        self.device = device
        self.first, self.last = first, first + steps - 1
        self.seconds = 0.0  # what profiling cost beside the steps themselves
        self._steps: list[int] = []
        self._profiler: Any = None
        self._over = steps < 1

    def at(self, step: int) -> bool:
        """Is this step slowed down? Micro-batches of one step may each ask.

        A training that was resumed begins later: its window is the first steps that it does.
        """
        if self._over or step < self.first:
            return self._profiler is not None and step == self.last + 1
        if self._profiler is None:
            self.last += step - self.first
            self._start()
        if step > self.last:
            self._stop()
        elif step not in self._steps:
            self._steps.append(step)
        return True

    def close(self, folder: Path) -> dict[str, Any] | None:
        """operators.json and trace.json.gz in `folder`; None, and neither of them, for a job that was too short."""
        if self._profiler is not None and not self._over:
            self._stop()
        if not self._steps:
            return None
        began = time.perf_counter()
        folder.mkdir(parents=True, exist_ok=True)
        self._profiler.export_chrome_trace(str(folder / TRACE))
        table = self._table()
        self.seconds += time.perf_counter() - began
        jsonfile.write(folder / TABLE, table | {"cost_seconds": self.seconds})
        return table | {"cost_seconds": self.seconds}

    def _start(self) -> None:
        began = time.perf_counter()
        activities = [ProfilerActivity.CPU]
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
            activities.append(ProfilerActivity.CUDA)
        os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # its own log is not for people
        atexit.register(self._stop)  # torch crashes in a program that ends with its profiler running
        self._profiler = profile(activities=activities, record_shapes=True, acc_events=True)
        self._profiler.start()
        self.seconds += time.perf_counter() - began

    def _stop(self) -> None:
        began = time.perf_counter()
        atexit.unregister(self._stop)
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        with warnings.catch_warnings(), _unnoticed():
            warnings.simplefilter("ignore")  # of CUPTI, where the driver refuses it: the CPU's table is there
            self._profiler.stop()
        self._over = True
        self.seconds += time.perf_counter() - began

    def _table(self) -> dict[str, Any]:
        """Times are microseconds over the whole window; `self` is without the operators called from within."""
        events = self._profiler.key_averages()
        shaped = self._profiler.key_averages(group_by_input_shape=True)
        own = [event for event in events if event.device_type == DeviceType.CPU]
        kernels = [event for event in events if event.device_type != DeviceType.CPU]
        return {
            "steps": self._steps,
            "device": self.device.type,
            "torch": torch.__version__,
            "cpu": _rows(own, "cpu"),
            "cpu_by_shape": _rows([event for event in shaped if event.device_type == DeviceType.CPU], "cpu"),
            "device_kernels": _rows(kernels, "device"),
        }


@contextlib.contextmanager
def _unnoticed() -> Iterator[None]:
    """What is made here is old to the garbage collector at once.

    Else some 100,000 events make it look at all there is, for 0.5 s, in one of the next steps.
    """
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.unfreeze()
        gc.enable()


def _rows(events: list[Any], where: str) -> dict[str, Any]:
    """The SHOWN largest, what all others take together, and the sum that shares are of."""
    timed = [(float(getattr(event, f"self_{where}_time_total")), event) for event in events]
    timed = sorted((pair for pair in timed if pair[0] > 0), key=lambda pair: (-pair[0], pair[1].key))
    whole = sum(own for own, _ in timed)
    rows = [
        {
            "name": event.key,
            "shapes": [shape for shape in event.input_shapes or () if shape],
            "calls": event.count,
            "self_us": round(own, 1),
            "total_us": round(float(getattr(event, f"{where}_time_total")), 1),
            "share": own / whole,
        }
        for own, event in timed[:SHOWN]
    ]
    rest = sum(own for own, _ in timed[SHOWN:])
    return {
        "rows": rows,
        "rest": {"operators": max(0, len(timed) - SHOWN), "self_us": round(rest, 1)},
        "self_us": whole,
    }
