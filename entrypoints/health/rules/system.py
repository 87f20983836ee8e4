"""Rules about the machine of a job: names, parameters and defaults are those of SageMaker Debugger's profiler rules.

AWS documents them by sentences (smdebug_rulesconfig 1.0.1, profiler_rules; the developer guide says patience=100 in
places, the package 1000). All of them skip the first `patience` points, one each 500 ms, in which a GPU has nothing to
do yet. AWS's 1000 points are 8 minutes, so that no shorter job was ever judged: here a job of fewer than four times
`patience` points skips its first quarter instead, and the verdict says so.
"""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from health.verdicts import Verdict, fine, issues, missing
from health.view import Records

FEWEST = 8  # points, which are 4 seconds: less says nothing of a machine
BINS = 10
Numbers = NDArray[np.float64]


def batch_size(
    records: Records,
    *,
    cpu_threshold_p95: float = 70.0,
    gpu_threshold_p95: float = 70.0,
    gpu_memory_threshold_p95: float = 70.0,
    patience: int = 1000,
    window: int = 500,
) -> Verdict:
    """The batch is too small where the 95th percentiles of CPU, GPU and GPU memory are all below theirs (AWS).

    Ours: the last `window` points are judged; of several GPUs the busiest; memory is the share of the GPU's own.
    """
    rule = "BatchSize"
    rows, skipped, unable = _judged(rule, records, patience, window)
    if unable:
        return unable
    cpu = p95(records.system["cpu"][rows])
    gpu = max(map(p95, each(records.system["gpu"], rows)))
    memory = max(map(p95, each(records.system["gpu_memory_share"], rows)))
    said = f"The 95th percentile of CPU is {cpu:.0f} %, of GPU {gpu:.0f} %, of GPU memory {memory:.0f} %{skipped}"
    if cpu < cpu_threshold_p95 and gpu < gpu_threshold_p95 and memory < gpu_memory_threshold_p95:
        advice = "raise batch_size, and lr with it, or take a smaller instance"
        return issues(rule, len(rows), said, advice, value=gpu, threshold=gpu_threshold_p95)
    return fine(rule, len(rows), said)


def cpu_bottleneck(
    records: Records,
    *,
    threshold: float = 50.0,
    gpu_threshold: float = 10.0,
    cpu_threshold: float = 90.0,
    patience: int = 1000,
) -> Verdict:
    """The CPU is busy while the GPU idles, in more than `threshold` % of the points (AWS).

    Ours: at such a point the mean of the GPUs is below gpu_threshold, and the CPU above cpu_threshold.
    """
    advice = "prepare pictures smaller, so that less is done to each while training, or take an instance of more cores"
    limits = threshold, gpu_threshold, cpu_threshold
    return _bottleneck("CPUBottleneck", records, "cpu", limits, patience, advice)


def io_bottleneck(
    records: Records,
    *,
    threshold: float = 50.0,
    gpu_threshold: float = 10.0,
    io_threshold: float = 50.0,
    patience: int = 1000,
) -> Verdict:
    """The CPU waits for I/O while the GPU idles, in more than `threshold` % of the points (AWS).

    Ours: at such a point the mean of the GPUs is below gpu_threshold, and I/O wait above io_threshold.
    """
    advice = "take a faster volume or an instance with NVMe disks, or prepare smaller splits, which stay in memory"
    limits = threshold, gpu_threshold, io_threshold
    return _bottleneck("IOBottleneck", records, "io_wait", limits, patience, advice)


def low_gpu_utilization(
    records: Records,
    *,
    threshold_p95: float = 70.0,
    threshold_p5: float = 10.0,
    window: int = 500,
    patience: int = 1000,
) -> Verdict:
    """A GPU is under-used: its 95th percentile is below threshold_p95; or it fluctuates: the 5th is below threshold_p5
    (AWS).

    Ours: the last `window` points of each GPU are judged.
    """
    rule = "LowGPUUtilization"
    rows, skipped, unable = _judged(rule, records, patience, window)
    if unable:
        return unable
    gpus = each(records.system["gpu"], rows)
    for number, column in enumerate(gpus):
        high, low = p95(column), float(np.percentile(column, 5))
        said = f"GPU {number} is at {high:.0f} % (95th percentile) and {low:.0f} % (5th){skipped}"
        if high < threshold_p95:
            advice = "raise batch_size; where steps wait for data (the profile says so), mend that first"
            return issues(rule, len(rows), said, advice, value=high, threshold=threshold_p95)
        if low < threshold_p5:
            advice = "look in the profile for what it waits for: data, checkpoints or evaluation"
            return issues(rule, len(rows), said, advice, value=low, threshold=threshold_p5)
    least = min(map(p95, gpus))
    return fine(rule, len(rows), f"The 95th percentile of each GPU is at least {least:.0f} %{skipped}")


def gpu_memory_increase(records: Records, *, increase: float = 5.0, patience: int = 1000, window: int = 10) -> Verdict:
    """The moving average of a GPU's memory rises by more than `increase` points of % (AWS).

    Ours: averages of `window` points are compared with those of the `window` points before them.
    """
    rule = "GPUMemoryIncrease"
    rows, skipped, unable = _judged(rule, records, patience, needed=2 * window)
    if unable:
        return unable
    rises = []
    for column in each(records.system["gpu_memory_share"], rows):
        averages = np.convolve(column, np.full(window, 1 / window), "valid")
        rises.append(float((averages[window:] - averages[:-window]).max(initial=0.0)))
    gpu = int(np.argmax(rises))
    said = f"The memory of GPU {gpu} rises by at most {rises[gpu]:.1f} points of % from {window} looks to the next"
    if rises[gpu] > increase:
        advice = "look for tensors that are kept from step to step: losses without .item(), lists of outputs"
        return issues(rule, len(rows), said + skipped, advice, value=rises[gpu], threshold=increase)
    return fine(rule, len(rows), said + skipped)


def load_balancing(records: Records, *, threshold: float = 0.5, patience: int = 1000) -> Verdict:
    """The histograms of utilisation of two GPUs are further apart than `threshold` (AWS).

    Ours: the distance is half the sum of the differences of 10 bins: 0 is alike, 1 has nothing in common.
    """
    rule = "LoadBalancing"
    rows, skipped, unable = _judged(rule, records, patience)
    if unable:
        return unable
    shares = [np.histogram(column, BINS, (0, 100))[0] / len(rows) for column in each(records.system["gpu"], rows)]
    if len(shares) < 2:
        return missing(rule, "One GPU was seen: there is nothing to balance", "train on an instance of several GPUs")
    pairs = combinations(range(len(shares)), 2)
    most, one, other = max((float(np.abs(shares[a] - shares[b]).sum()) / 2, a, b) for a, b in pairs)
    said = f"The histograms of GPUs {one} and {other} lie furthest apart: {most:.2f} of 1{skipped}"
    if most > threshold:
        advice = "give each process as many pictures, and leave what only the first one does to the end"
        return issues(rule, len(rows), said, advice, value=most, threshold=threshold)
    return fine(rule, len(rows), said)


def overall_system_usage(records: Records) -> Verdict:
    """Percentiles of the whole machine's use; it never fires (AWS)."""
    rule = "OverallSystemUsage"
    rows = np.arange(len(records.system["ended"]))
    unable = _unwatched(rule, len(rows), FEWEST)
    if unable:
        return unable
    system = records.system
    shown = {"CPU": system["cpu"], "memory": system["memory_used_share"], "I/O wait": system["io_wait"]}
    parts = [f"{name} {p95(column):.0f} %" for name, column in shown.items()]
    parts += [f"GPU {number} {p95(column):.0f} %" for number, column in enumerate(each(system["gpu"], rows))]
    return fine(rule, len(rows), f"95th percentiles: {', '.join(parts)}")


def each(column: NDArray[Any], rows: NDArray[np.int64]) -> list[Numbers]:
    """A row of numbers for each GPU or core; one that a look missed (a driver that was slow) counts as 0 there."""
    table = np.zeros((max((len(column[row]) for row in rows), default=0), len(rows)))
    for place, row in enumerate(rows):
        table[: len(column[row]), place] = column[row]
    return list(table)


def p95(column: NDArray[Any]) -> float:
    return float(np.percentile(column, 95))


def _bottleneck(
    rule: str, records: Records, column: str, limits: tuple[float, float, float], patience: int, advice: str
) -> Verdict:
    threshold, gpu_threshold, high = limits
    rows, skipped, unable = _judged(rule, records, patience)
    if unable:
        return unable
    idle = np.mean(each(records.system["gpu"], rows), axis=0) < gpu_threshold
    share = 100 * float((idle & (records.system[column][rows] > high)).mean())
    name = {"cpu": "The CPU", "io_wait": "I/O wait"}[column]
    said = f"{name} is above {high:.0f} % while the GPUs are below {gpu_threshold:.0f} % in {share:.0f} % of the points"
    if share > threshold:
        return issues(rule, len(rows), said + skipped, advice, value=share, threshold=threshold)
    return fine(rule, len(rows), said + skipped)


def _judged(
    rule: str, records: Records, patience: int, window: int | None = None, needed: int = FEWEST
) -> tuple[NDArray[np.int64], str, Verdict | None]:
    """Rows after the first `patience` ones, the last `window` of them; what to say where the job is short; and why they
    say nothing of a GPU."""
    points = len(records.system["ended"])
    short = points < 4 * patience
    skipped = points // 4 if short else patience
    rows = np.arange(skipped, points)[-(window or points) :]
    said = f" (the first {skipped} points are left out instead of {patience}: the job is short)"
    unable = _unwatched(rule, len(rows), needed)
    if len(rows) and not any(len(records.system["gpu"][row]) for row in rows):
        advice = "train on an instance with a GPU; of a CPU, the profile's data wait and CPU use say the same"
        unable = missing(rule, "No GPU was seen", advice, len(rows))
    return rows, said if short else "", unable


def _unwatched(rule: str, points: int, needed: int) -> Verdict | None:
    if points >= max(needed, FEWEST):
        return None
    said = f"The machine was looked at {points} times after its start, {max(needed, FEWEST)} are needed"
    seconds = max(needed, FEWEST) * 2 / 3 + 1
    return missing(rule, said, f"let the job run for at least {seconds:.0f} seconds, on Linux", points)
