"""What a training says of itself: a line an epoch, metrics.jsonl, where the time went, which versions it ran on."""

from __future__ import annotations

import argparse
import json
import math
import platform
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import PIL
import torch
import torchvision
from data import Split

from training import hyperparameters

METRICS = "metrics.jsonl"


class Epoch(NamedTuple):
    """One line of metrics.jsonl. Losses are means per picture; validation has no label smoothing, no mixing and no
    class weights, so that trials with different ones can be compared."""

    epoch: int
    train_loss: float
    validation_loss: float
    validation_accuracy: float
    lr: float
    train_seconds: float
    validation_seconds: float


def resumed(epochs: list[Epoch], folder: Path, writes: bool = True) -> list[Epoch]:
    """metrics.jsonl begins with the epochs that an interrupted job has trained and logged; a copy of them."""
    if writes:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / METRICS).write_text("".join(_row(epoch) for epoch in epochs), encoding="utf-8")
    return list(epochs)


def say(sentence: str) -> None:
    """On stderr: nothing there is taken for a metric."""
    print(sentence, file=sys.stderr, flush=True)


def log(epoch: Epoch, folder: Path) -> None:
    """The line that the metric definitions match, in one write: SageMaker may split what is written in two."""
    shown = {name: f"{value:.4f}" for name, value in epoch._asdict().items() if name.startswith(("train_l", "valid"))}
    del shown["validation_seconds"]
    sys.stdout.write(" ".join([f"epoch={epoch.epoch}", *(f"{k}={v}" for k, v in shown.items())]) + "\n")
    sys.stdout.flush()
    with (folder / METRICS).open("a", encoding="utf-8") as file:
        file.write(_row(epoch))


def figures(epoch: Epoch) -> dict[str, float]:
    """Without those that are no number, such as the first validation loss of a network that has yet to settle."""
    return {name: value for name, value in epoch._asdict().items() if math.isfinite(value)}


def _row(epoch: Epoch) -> str:
    return json.dumps(figures(epoch)) + "\n"


def seconds(epochs: list[Epoch], total: float, apart: Mapping[str, float]) -> dict[str, float]:
    """Where the job's time went. `apart`: what was measured besides the epochs, such as `features`, the computing or
    finding of what a frozen network gives its head, and `temperature`, for which validation is looked at once more."""
    training = sum(epoch.train_seconds for epoch in epochs)
    validation = sum(epoch.validation_seconds for epoch in epochs)
    parts = {"training": training, "validation": validation, **apart}
    parts = {"total": total, **parts, "others": total - sum(parts.values())}
    return {name: round(value, 3) for name, value in parts.items()}


def settings(args: argparse.Namespace, training: Split, validation: Split) -> dict[str, Any]:
    """What was asked for, of how much."""
    return {
        "hyperparameters": {name: getattr(args, name) for name in hyperparameters.NAMES},
        "classes": len(training.classes),
        "pictures": {"train": len(training), "validation": len(validation)},
    }


def versions() -> dict[str, str]:
    own = {"python": platform.python_version(), "torch": torch.__version__, "torchvision": torchvision.__version__}
    return {**own, "numpy": np.__version__, "pillow": PIL.__version__}
