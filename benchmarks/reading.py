"""Reading for training: milliseconds an image for batches of random crops, from shards in the page cache, on one core.

    python benchmarks/reading.py [ROUNDS=7]

The reference, in the same round: numpy's fancy index into one array in memory that holds the crops already. `read` is
what Split.crops takes (uint8 crops from anywhere in the stored margin), `batch` all of Batches.shuffled (mirrored,
float, normalised). Batches of 64 in random order. The pictures are gradients with noise, as heavy as photos in JPEG.
"""

import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

if hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
os.environ["OMP_NUM_THREADS"] = "1"

import drawn  # and finds the entry points' folder for the imports below
import numpy as np
import torch
from data import Split
from drawn import Form
from numpy.typing import NDArray
from training.batches import Batches, corners

BATCH = 64
PIXELS = NDArray[np.uint8]


class Case(NamedTuple):
    form: Form
    count: int
    limit: float  # ms an image, from the issue


CASES = (
    Case(Form("raw", 64, 73), 4096, 0.1),
    Case(Form("raw", 224, 256), 1024, 0.6),
    Case(Form("jpeg", 224, 256), 1024, 0.6),
)


def reference(crops: PIXELS, order: NDArray[np.int64]) -> None:
    for start in range(0, len(order), BATCH):
        crops[order[start : start + BATCH]]


def read(split: Split, order: NDArray[np.int64], random: torch.Generator) -> None:
    for start in range(0, len(order), BATCH):
        tops, lefts = corners(BATCH, split.margin, "flip", random).numpy()
        split.crops(order[start : start + BATCH], tops, lefts, split.image_size)


def batch(split: Split, random: torch.Generator) -> None:
    for _ in Batches(split, torch.device("cpu")).shuffled(BATCH, "flip", random):
        pass


def milliseconds(work: Callable[[], None], count: int) -> float:
    start = time.perf_counter()
    work()
    return (time.perf_counter() - start) / count * 1000


def measured(case: Case, split: Split, rounds: int) -> tuple[list[float], list[float], list[float]]:
    crops = split.centred(0, case.count)
    random = torch.Generator().manual_seed(0)
    rows = []
    for number in range(rounds + 1):  # the first round fills the page cache
        order = np.random.default_rng(number).permutation(case.count)
        works = (
            lambda order=order: reference(crops, order),
            lambda order=order: read(split, order, random),
            lambda: batch(split, random),
        )
        rows.append([milliseconds(work, case.count) for work in works])
    references, reads, batches = zip(*rows[1:], strict=True)
    return list(references), list(reads), list(batches)


def main(rounds: int = 7) -> None:
    torch.set_num_threads(1)
    print(
        f"{platform.platform()}, 1 of {os.cpu_count()} cores, Python {platform.python_version()}, torch"
        f" {torch.__version__}, n={rounds}, load {os.getloadavg()[0]:.2f}\n"
    )
    print("| shards | pictures | MB | numpy's index, ms | read, ms | ratio | batch, ms | limit |\n" + "|---" * 8 + "|")
    for case in CASES:
        with tempfile.TemporaryDirectory(prefix="darkroom-bench-") as folder:
            split = drawn.split(Path(folder, "train"), case.form, case.count)
            references, reads, batches = measured(case, split, rounds)
            size = sum(shard["bytes"] for shard in split.manifest["shards"]) / 1e6
        ratio = statistics.median(own / base for own, base in zip(reads, references, strict=True))
        print(
            f"| {case.form.encoding}, {case.form.stored_size} → {case.form.image_size} px | {case.count} | {size:.0f}"
            f" | {statistics.median(references):.4f} | {statistics.median(reads):.4f} | {ratio:.1f}"
            f" | {statistics.median(batches):.4f} | {case.limit} |",
            flush=True,
        )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
