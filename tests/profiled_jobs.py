"""Small networks, really trained with a clock in their loop: what the tests of the profile look at."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch
from health.profiling import profile
from health.profiling.operators import Window
from health.profiling.timers import Clock
from health.view import Records
from torch import Tensor, nn

BATCH, CLASSES = 32, 4


class Job(NamedTuple):
    records: Records
    clock: dict[str, Any]
    operators: dict[str, Any] | None = None

    def figures(self) -> dict[str, Any]:
        return profile.figures(self.records, self.clock, self.operators)


def train(
    folder: Path,
    steps: int = 300,
    epochs: int = 1,
    stall: Callable[[int], float] = lambda step: 0.0,
    saves: Callable[[int], float] = lambda step: 0.0,
    between: Callable[[int], None] = lambda step: None,
    profiled: int = 0,
) -> Job:
    """`stall`: seconds that the loader sleeps before a step; `saves`: at least so many that its checkpoint takes.

    `between` is called where no lap is; `profiled` is how many steps torch.profiler watches.
    """
    torch.manual_seed(1)
    network = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 64, CLASSES))
    optimizer = torch.optim.SGD(network.parameters(), 0.05)  # imports much of torch, the first time
    clock, window = Clock(), Window(torch.device("cpu"), steps=profiled)
    rows: list[dict[str, Any]] = []
    clock.lap("start_up")
    for epoch in range(1, epochs + 1):
        for step, (pictures, labels) in enumerate(_batches(steps, stall), (epoch - 1) * steps):
            clock.lap("data_wait")
            slowed = window.at(step)
            clock.lap("profiling")
            loss = nn.functional.cross_entropy(network(pictures), labels)
            clock.lap("forward")
            loss.backward()
            clock.lap("backward")
            optimizer.step()
            optimizer.zero_grad()
            clock.lap("optimizer")
            if pause := saves(step):
                torch.save(network.state_dict(), folder / "checkpoint.pt")
                time.sleep(pause)
            clock.lap("checkpoint")
            between(step)
            timing = clock.step(profiled=slowed)._asdict()
            rows.append({"step": step, "epoch": epoch, "mode": "train", "examples": BATCH, **timing})
        with torch.inference_mode():
            network(torch.rand(64, 3, 8, 8))
        clock.lap("evaluation")
        timing = clock.step("validation")._asdict()
        rows.append({"step": step, "epoch": epoch, "mode": "validation", "examples": 64, **timing})
    torch.save(network.state_dict(), folder / "model.pt")
    clock.lap("export")
    closed = clock.close()
    return Job(Records.of(steps=columns(rows)), closed, window.close(folder))


def clocked(steps: int, parts: Callable[[int], dict[str, float]]) -> Job:
    """A job on a clock of its own, which nothing on this machine disturbs: seconds of each part of each step."""
    now = 0

    def look() -> int:
        return now

    gc.disable()
    clock, rows = Clock(now=look), []
    for step in range(steps):
        for part, seconds in parts(step).items():
            now += round(seconds * 1e9)
            clock.lap(part)
        rows.append({"step": step, "mode": "train", "examples": 10, **clock.step()._asdict()})
    job = clock.close()
    gc.enable()
    return Job(Records.of(steps=columns(rows)), job)


def seldom(share: float, part: str, every: int = 20) -> Callable[[int], dict[str, float]]:
    """Steps of 1 s in which training is steady, while `part` takes `share` of all time, at each `every`th step."""
    usual = {"forward": 0.3, "backward": 0.5, "optimizer": 0.2}
    rare = share / (1 - share) * every
    return lambda step: {**usual, part: rare if step % every == every - 1 else 0.0}


def columns(rows: list[dict[str, Any]]) -> dict[str, list[Any]]:
    return {name: [row[name] for row in rows] for name in rows[0]}


def _batches(steps: int, stall: Callable[[int], float]) -> Iterator[tuple[Tensor, Tensor]]:
    random = torch.Generator().manual_seed(1)
    for step in range(steps):
        if pause := stall(step):
            time.sleep(pause)
        yield torch.rand(BATCH, 3, 8, 8, generator=random), torch.randint(CLASSES, (BATCH,), generator=random)
