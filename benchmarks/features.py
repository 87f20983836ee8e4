"""Training a head alone, 10 epochs of ResNet18 at 64 px: from pictures, from features computed first, from found ones.

    python benchmarks/features.py [ROUNDS=3] [PICTURES=4000] [EPOCHS=10]

Each round runs the three one after another, on one thread: the frozen network on every batch (without gradients, which
it would not need); features computed into an empty folder, then the head on them; a later trial, which finds them.
Each begins with open splits and a built network, and ends with the last epoch's validation; a fourth of the pictures
more is for that. CPU seconds of this process and wall seconds; ratios are to the first of the same round.
"""

import os
import platform
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

os.environ["OMP_NUM_THREADS"] = "1"
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "entrypoints"))

import model
import numpy as np
import torch
from data import Split, open_split
from pictures import split as write_split
from torch import nn
from torch.nn import functional as F
from training import features, freezing, precision
from training.batches import Batches

SIZE, CLASSES, BATCH = 64, 10, 64
CPU = torch.device("cpu")


class Run(NamedTuple):
    cpu: float
    wall: float
    weights: torch.Tensor


def written(folder: Path, numbers: range) -> Split:
    labels = [number % CLASSES for number in numbers]
    return open_split(
        write_split(folder, np.stack([drawn(number) for number in numbers]), labels, list(map(str, range(CLASSES))))
    )


def drawn(number: int) -> np.ndarray:
    """Noise around a colour that tells the class."""
    colour = np.random.default_rng(number % CLASSES).integers(60, 196, 3)
    noise = np.random.default_rng(number).normal(0, 40, (SIZE, SIZE, 3))
    return np.clip(colour + noise, 0, 255).astype(np.uint8)


def run(splits: tuple[Split, Split], epochs: int, folder: str | None) -> Run:
    """`folder` None: from pictures."""
    torch.manual_seed(0)
    network = model.build("resnet18", CLASSES).to(memory_format=torch.channels_last)
    freezing.freeze(network, 0)
    dtype = precision.chosen("auto", network, SIZE, CPU)
    cpu, wall = time.process_time(), time.perf_counter()
    if folder is None:
        shown, check = (Batches(split, CPU) for split in splits)
        learner = network
    else:
        learner = model.head(network)
        assert features.suit((network, learner), SIZE, CPU)
        env = {features.FOLDER: folder}
        shown, check = (features.Features(s, features.of(s, (network, learner), CPU, dtype, env), CPU) for s in splits)
    learn(learner, shown, check, epochs, dtype)
    return Run(time.process_time() - cpu, time.perf_counter() - wall, model.head(network).weight.detach())


def learn(learner: nn.Module, shown: Batches, check: Batches, epochs: int, dtype: torch.dtype) -> None:
    """What train.py does with its defaults, in short."""
    trained = [weight for weight in learner.parameters() if weight.requires_grad]
    optimizer = torch.optim.SGD(trained, lr=0.05, momentum=0.9, weight_decay=0.0005, nesterov=True, fused=True)
    autocast = torch.autocast("cpu", torch.bfloat16, enabled=dtype is not torch.float32)
    random = torch.Generator().manual_seed(0)
    for _ in range(epochs):
        freezing.train_mode(learner)
        for inputs, labels in shown.shuffled(BATCH, "none", random):
            with autocast:
                scores = learner(inputs)
            F.cross_entropy(scores.float(), labels, label_smoothing=0.1).backward()
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        learner.eval()
        with torch.inference_mode():
            for inputs, labels in check.in_order():
                with autocast:
                    scores = learner(inputs)
                F.cross_entropy(scores.float(), labels, reduction="sum").item()


def main(rounds: int = 3, pictures: int = 4000, epochs: int = 10) -> None:
    torch.set_num_threads(1)
    rows: list[tuple[Run, Run, Run]] = []
    with tempfile.TemporaryDirectory(prefix="darkroom-bench-") as folder:
        more = range(pictures, pictures + pictures // 4)
        splits = written(Path(folder, "train"), range(pictures)), written(Path(folder, "check"), more)
        for number in range(rounds):
            cache = str(Path(folder, f"features-{number}"))
            rows.append((run(splits, epochs, None), run(splits, epochs, cache), run(splits, epochs, cache)))
    apart = max(float((first.weights - other.weights).abs().max()) for first, *others in rows for other in others)
    dtype = str(precision.chosen("auto", model.build("resnet18", CLASSES), SIZE, CPU)).removeprefix("torch.")
    print(
        f"\n{platform.platform()}, 1 thread of {os.cpu_count()} cores, torch {torch.__version__}, {dtype}, n={rounds},"
        f" load {os.getloadavg()[0]:.2f}\n{pictures} pictures for training, {pictures // 4} for validation, {epochs}"
        f" epochs; the heads' weights differ by {apart:.1e} at most\n"
    )
    print(
        "| head learns from | CPU s | wall s | ratio, CPU | ratio, wall | least of the CPU ratios |\n"
        + "|---" * 6
        + "|"
    )
    for name, column in zip(
        ("pictures", "features, computed first", "features, found"), zip(*rows, strict=True), strict=True
    ):
        cpu = [base.cpu / own.cpu for (base, *_), own in zip(rows, column, strict=True)]
        wall = [base.wall / own.wall for (base, *_), own in zip(rows, column, strict=True)]
        print(
            f"| {name} | {statistics.median(own.cpu for own in column):.2f} | "
            f"{statistics.median(own.wall for own in column):.2f} | {statistics.median(cpu):.1f} | "
            f"{statistics.median(wall):.1f} | {min(cpu):.1f} |"
        )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
