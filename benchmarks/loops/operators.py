"""Where an epoch of train.py goes, by groups of operators.

    python benchmarks/loops/operators.py FOLDER SIDE BATCH

Two epochs; the second one is recorded by torch.profiler, and oneDNN tells its own times beside it: torch shows both
gradients of a convolution as one operator, so their sum is divided as oneDNN's primitives divide theirs. Prints JSON:
seconds of the epoch, and seconds of each group. Recording itself costs a little; training.py prints how much.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ["KINETO_LOG_LEVEL"] = "5"  # read when torch is imported: it would tell each time that there is no GPU

import own
import torch
from torch.autograd.profiler_util import FunctionEvent
from training.batches import Batches

DATA = "next batch"
COPIES = ("aten::copy_", "aten::to", "aten::_to_copy", "aten::contiguous", "aten::clone", "ToCopyBackward")
FORWARD = ("aten::conv2d", "aten::convolution", "aten::_convolution", "aten::mkldnn_convolution", "_Convol")
SIMPLE = ("relu", "threshold", "clamp_min", "pool", "aten::add", "AddBackward", "aten::mean", "MeanBackward")
HEAD = ("addmm", "aten::mm", "linear", "softmax", "cross_entropy", "nll", "LogSoftmax", "Addmm")
BOTH = "both gradients of convolutions"


def main(folder: Path, _: int, batch: int) -> None:
    epochs: list[Epoch] = []

    class Recorded(Batches):
        def shuffled(self, *args: Any, **options: Any) -> own.Shown:
            epochs.append(Epoch())
            source = super().shuffled(*args, **options)
            return epochs[1].recorded(source) if len(epochs) == 2 else source

    own.trained(folder, ["--epochs=2", f"--batch_size={batch}"], Recorded)
    epoch = epochs[1]
    groups: Counter[str] = Counter()
    for event in epoch.profiler.events():
        groups[group(event)] += event.self_cpu_time_total / 1e6
    groups["Python between operators"] = max(0.0, epoch.seconds - sum(groups.values()))
    print("\n" + json.dumps({"seconds": epoch.seconds, "pictures": epoch.pictures, "groups": groups}))


class Epoch:
    def __init__(self) -> None:
        self.profiler = torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], acc_events=True)
        self.seconds, self.pictures = 0.0, 0

    def recorded(self, source: own.Shown) -> own.Shown:
        """oneDNN prints a line for each primitive; training.py reads them."""
        with torch.backends.mkldnn.verbose(torch.backends.mkldnn.VERBOSE_ON), self.profiler:
            began = time.perf_counter()
            while True:
                with torch.profiler.record_function(DATA):
                    item = next(source, None)
                if item is None:
                    break
                self.pictures += len(item[1])
                yield item
            self.seconds = time.perf_counter() - began


def group(event: FunctionEvent) -> str:
    names = list(lineage(event))
    if DATA in names:
        return "data: waiting, mirroring, normalising"
    if any(name.startswith("Optimizer.") for name in names):
        return "optimizer"
    if any(name.startswith(COPIES) for name in names):
        return "casts and copies"
    if any("convolution_backward" in name for name in names):
        return BOTH
    if any("Convol" in name and "Backward" in name for name in names):
        return "weight gradients of convolutions, as products"
    if any(name.startswith(FORWARD) for name in names):
        return "convolutions, forward"
    if any("batch_norm" in name or "BatchNorm" in name for name in names):
        return "batch norm"
    if any(mark in name for name in names for mark in SIMPLE):
        return "ReLU, pooling, sums"
    if any(mark in name for name in names for mark in HEAD):
        return "head and loss"
    return "other operators"


def lineage(event: FunctionEvent) -> Iterator[str]:
    at: FunctionEvent | None = event
    while at is not None:
        yield at.name
        at = at.cpu_parent


if __name__ == "__main__":
    main(Path(sys.argv[1]), *map(int, sys.argv[2:]))
