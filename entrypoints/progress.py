"""What a training says of itself: a line an epoch, metrics.jsonl, where the time went, which versions it ran on."""

from __future__ import annotations

import json
import platform
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import PIL
import torch
import torchvision


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


def log(epoch: Epoch, path: Path) -> None:
    """The line that the metric definitions match, in one write: SageMaker may split what is written in two."""
    figures = {name: f"{value:.4f}" for name, value in epoch._asdict().items() if name.startswith(("train_l", "valid"))}
    del figures["validation_seconds"]
    sys.stdout.write(" ".join([f"epoch={epoch.epoch}", *(f"{k}={v}" for k, v in figures.items())]) + "\n")
    sys.stdout.flush()
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(epoch._asdict()) + "\n")


def seconds(epochs: list[Epoch], total: float, saving: float) -> dict[str, float]:
    training = sum(epoch.train_seconds for epoch in epochs)
    validation = sum(epoch.validation_seconds for epoch in epochs)
    others = total - training - validation - saving
    parts = {"total": total, "training": training, "validation": validation, "saving": saving, "others": others}
    return {name: round(value, 3) for name, value in parts.items()}


def versions() -> dict[str, str]:
    own = {"python": platform.python_version(), "torch": torch.__version__, "torchvision": torchvision.__version__}
    return {**own, "numpy": np.__version__, "pillow": PIL.__version__}
