"""What was recorded of a job → the figures of its profile, as profile.json has them: pure functions of tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from health.profiling import gains, outliers
from health.view import Columns, Records

TRAIN = ("transfer", "forward", "backward", "optimizer")
EVALUATION = ("evaluation",)
BEFORE, AFTER = ("download", "start_up"), ("export",)
BINS = 40
WIDE = 8  # times the shortest: from there on a logarithmic scale
POINTS = 240  # of a curve: more cannot be told apart on a page
SHOWN = 40  # outliers
PERCENTILES = {"max": 100, "p99": 99, "p95": 95, "p50": 50, "min": 0}
SOURCES = {
    "download": "from the service's writing of its configuration to the program's start",
    "start_up": "from the start of the process (/proc/self/stat) to the first step",
    "data_wait": "clock, until a batch is read, augmented and normalised",
    "transfer": "clock, around the copy of each batch to the device",
    "logging": "clock, of every step: records of tensors, rules, lines",
    "profiling": "around torch.profiler's start and stop",
    "export": "clock, after the last step",
    "collector": "gc.callbacks, pauses of the training thread",
    "other": "clock, what no lap names",
}
METRICS = {  # column → name, unit
    "cpu": ("CPU", "%"),
    "memory_used_share": ("memory", "%"),
    "memory_mb": ("memory", "MB"),
    "io_wait": ("I/O wait", "%"),
    "read_mb_s": ("disk, read", "MB/s"),
    "write_mb_s": ("disk, written", "MB/s"),
    "received_mb_s": ("network, received", "MB/s"),
    "sent_mb_s": ("network, sent", "MB/s"),
}
LISTS = {"gpu": ("GPU", "%"), "gpu_memory_share": ("memory of GPU", "%"), "gpu_memory_mb": ("memory of GPU", "MB")}


def figures(
    records: Records,
    job: Mapping[str, Any],
    operators: Mapping[str, Any] | None = None,
    machine: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """`job` is what `Clock.close` gave, `operators` what `Window.close` gave, `machine` is `Machine.facts()`."""
    parts = _parts(job)
    durations = _durations(records.steps)
    usual = outliers.durations(records.steps).usual
    found = outliers.found(records.steps, usual)
    return {
        "job": _job(records.steps, job, parts),
        "framework": _framework(parts),
        "durations": durations,
        "outliers": _outliers(records.steps["seconds"][usual], found),
        "validation": _durations(records.steps, "validation"),
        "system": _system(records.system, job),
        "machine": dict(machine or {}),
        "operators": dict(operators) if operators else None,
        "advice": gains.advice(records, parts, durations, found),
    }


def _parts(job: Mapping[str, Any]) -> list[dict[str, Any]]:
    """In the order of a job; whole nanoseconds, which sum to those of the job."""
    nanoseconds = {**job["parts_ns"], "collector": job["collector_ns"]}
    nanoseconds["other"] -= job["collector_ns"]  # the clock counts the pauses there
    download = job.get("download_seconds")
    if download is not None:
        nanoseconds["download"] = round(download * 1e9)
    whole = sum(nanoseconds.values())
    order = ("download", "start_up", *outliers.PARTS[:-1], "profiling", "export", "collector", "other")
    return [
        {
            "part": part,
            "ns": nanoseconds[part],
            "seconds": nanoseconds[part] / 1e9,
            "share": nanoseconds[part] / whole if whole else 0.0,
            "source": SOURCES.get(part, f"clock, {part} of every step"),
        }
        for part in order
        if part in nanoseconds
    ]


def _job(steps: Columns, job: Mapping[str, Any], parts: list[dict[str, Any]]) -> dict[str, Any]:
    whole = sum(part["ns"] for part in parts)
    stages = {
        "initialisation": sum(part["seconds"] for part in parts if part["part"] in BEFORE),
        "loop": sum(part["seconds"] for part in parts if part["part"] not in BEFORE + AFTER),
        "finalisation": sum(part["seconds"] for part in parts if part["part"] in AFTER),
    }
    train = steps["mode"] == "train"
    timed = train & np.isfinite(steps["seconds"])
    seconds = float(steps["seconds"][timed].sum())
    examples = int(steps["examples"][timed].sum())
    return {
        "started": job["started"],
        "ended": job["ended"],
        "wall_ns": whole,
        "seconds": whole / 1e9,
        "download_known": job.get("download_seconds") is not None,
        "parts": parts,
        "stages": stages,
        "steps": int(train.sum()),
        "epochs": len(np.unique(steps["epoch"])),
        "examples_a_second": examples / seconds if seconds else None,
    }


def _framework(parts: list[dict[str, Any]]) -> dict[str, Any]:
    """As AWS's report had it: TRAIN, EVAL and OTHERS; and what OTHERS is made of."""
    groups: dict[str, list[dict[str, Any]]] = {"train": [], "evaluation": [], "others": []}
    for part in parts:
        name = "train" if part["part"] in TRAIN else "evaluation" if part["part"] in EVALUATION else "others"
        groups[name].append({key: part[key] for key in ("part", "seconds", "share")})
    return {
        name: {
            "seconds": sum(part["seconds"] for part in own),
            "share": sum(part["share"] for part in own),
            "parts": sorted(own, key=lambda part: -part["seconds"]),
        }
        for name, own in groups.items()
    }


def _durations(steps: Columns, mode: str = "train") -> dict[str, Any]:
    """Of usual steps; the warm-up and what torch.profiler slowed down stand apart."""
    rows = outliers.durations(steps, mode)
    seconds = steps["seconds"][rows.usual]
    if not len(seconds):
        return {"steps": 0}
    median = float(np.median(seconds))
    counts, edges = np.histogram(seconds, _edges(seconds))
    warm = steps["seconds"][rows.warm_up]
    shown = np.sort(np.concatenate([rows.warm_up, rows.usual, rows.profiled]))
    return {
        "steps": len(seconds),
        "mean": float(seconds.mean()),
        "median": median,
        "std": float(seconds.std()),
        **{name: float(np.percentile(seconds, at)) for name, at in {**PERCENTILES, "p5": 5}.items()},
        "parts": {part: float(np.nan_to_num(steps[part][rows.usual]).mean()) for part in outliers.PARTS},
        "warm_up": {"steps": len(warm), "seconds": float(warm.sum()), "extra": float((warm - median).clip(0).sum())},
        "profiled": [int(step) for step in steps["step"][rows.profiled]],
        "histogram": {"edges": edges.tolist(), "counts": counts.tolist()},
        "curve": _curve(steps["step"][shown].astype(float), steps["seconds"][shown]),
    }


def _edges(seconds: NDArray[np.float64]) -> NDArray[np.floating[Any]]:
    """Evenly spaced, on a logarithmic scale where outliers would leave one bin for all others."""
    low, high = max(float(seconds.min()), 1e-9), max(float(seconds.max()), 2e-9)
    wide = high > WIDE * low
    edges = np.geomspace(low, high, BINS + 1) if wide else np.linspace(0.0, high, BINS + 1)
    edges[0], edges[-1] = min(edges[0], low), high
    return edges


def _curve(at: NDArray[np.float64], values: NDArray[np.float64]) -> list[list[float]]:
    """(x, highest, lowest) of each of at most POINTS stretches: a peak of one step stays to be seen."""
    if not len(at):
        return []
    parts = np.array_split(np.arange(len(at)), min(POINTS, len(at)))
    return [[float(at[part[0]]), float(values[part].max()), float(values[part].min())] for part in parts]


def _outliers(usual: NDArray[np.float64], found: list[outliers.Outlier]) -> dict[str, Any]:
    causes = outliers.by_cause(found)
    return {
        "threshold": outliers.threshold(usual) if len(usual) else None,
        "steps": len(found),
        "seconds": sum(one.excess for one in found),
        "by_cause": causes,
        "largest": [one._asdict() for one in _largest(found, [row["cause"] for row in causes])],
    }


def _largest(found: list[outliers.Outlier], causes: list[str]) -> list[outliers.Outlier]:
    """SHOWN of them in the order of steps: the longest of each cause by turns, or one cause would hide the others."""
    ranked = sorted(found, key=lambda one: (-one.excess, one.step))
    place = dict.fromkeys(causes, 0)
    turns = []
    for one in ranked:
        turns.append((place[one.cause], causes.index(one.cause)))
        place[one.cause] += 1
    chosen = sorted(range(len(ranked)), key=lambda number: turns[number])[:SHOWN]
    return sorted((ranked[number] for number in chosen), key=lambda one: one.step)


def _system(system: Columns, job: Mapping[str, Any]) -> dict[str, Any]:
    """`at` of curves: seconds since the program's start."""
    if not len(system["ended"]):
        return {"points": 0, "rows": [], "curves": []}
    series = [(*name, system[column].astype(float)) for column, name in METRICS.items()]
    for column, (name, unit) in LISTS.items():
        numbers = sorted({len(row) for row in system[column]})
        for gpu in range(numbers[-1]):
            values = np.array([row[gpu] if gpu < len(row) else np.nan for row in system[column]], dtype=float)
            series.append((f"{name} {gpu}", unit, values))
    at = system["ended"] - float(job["started"])
    rows, curves = [], []
    for name, unit, values in series:
        known = np.isfinite(values) & np.isfinite(at)
        if known.any():
            figures = {label: float(np.percentile(values[known], share)) for label, share in PERCENTILES.items()}
            rows.append({"metric": name, "unit": unit, **figures})
            curves.append({"metric": name, "unit": unit, "points": _curve(at[known], values[known])})
    return {"points": len(at), "rows": rows, "curves": curves, "cores": _cores(system)}


def _cores(system: Columns) -> list[float]:
    """The mean of each core."""
    most = max(len(row) for row in system["cpu_each"])
    whole = [row for row in system["cpu_each"] if len(row) == most]
    return np.mean(whole, axis=0).astype(float).tolist() if most else []
