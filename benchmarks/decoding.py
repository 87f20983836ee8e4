"""Decode, resize, encode JPEGs: what PrepareData does against a plain Pillow loop, then two processes against one.

python benchmarks/decoding.py [--rounds N] [--small N] [--large N]

Each contestant has a process of its own, since what one does to the allocator would help the other; rounds alternate,
and ratios are of wall seconds (CPU seconds beside them) of the same round.
"""

from __future__ import annotations

import argparse
import io
import multiprocessing
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

import numpy as np
import PIL
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "entrypoints"))

SIZE = 256
QUALITY = 90
SEED = 20261120
REPEATED = 10  # each file in staging: enough for the start of processes not to count


def photo(random: np.random.Generator, width: int, height: int) -> bytes:
    """A gradient, soft blobs and grain: about as many bits a pixel as a photo has."""
    down, across = np.mgrid[0:height, 0:width].astype(np.float32)
    slopes = random.uniform(20, 150, (3, 2))
    base = np.stack([down / height * one + across / width * other for one, other in slopes], axis=-1)
    coarse = random.normal(128, 45, (max(2, height // 16), max(2, width // 16), 3)).clip(0, 255).astype(np.uint8)
    blobs = np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC), np.float32) - 128
    grain = random.standard_normal((height, width, 3), dtype=np.float32) * 6
    buffer = io.BytesIO()
    Image.fromarray((base + blobs + grain).clip(0, 255).astype(np.uint8)).save(buffer, "JPEG", quality=92)
    return buffer.getvalue()


def small(random: np.random.Generator) -> bytes:
    return photo(random, *(int(side) for side in random.integers(300, 501, 2)))


def large(random: np.random.Generator) -> bytes:
    return photo(random, 2000, 1500)


def pillow_loop(content: bytes) -> None:
    """What everybody writes first: open, convert, short side to 256, save."""
    picture = Image.open(io.BytesIO(content)).convert("RGB")
    shortest = min(picture.size)
    sides = [max(SIZE, round(side * SIZE / shortest)) for side in picture.size]
    picture = picture.resize((sides[0], sides[1]), Image.Resampling.BILINEAR)
    picture.save(io.BytesIO(), "JPEG", quality=QUALITY)


def ours(content: bytes) -> None:
    import images

    images.jpeg(images.picture(content, SIZE).pixels, QUALITY)


class Lap(NamedTuple):
    wall: float
    cpu: float


def contestant(work: Callable[[bytes], None], files: list[bytes], orders: Connection) -> None:
    """One process: a round for each order, its seconds as the answer."""
    if work is ours:
        import torch

        torch.set_num_threads(1)
    for content in files[:3]:
        work(content)
    while orders.recv():
        wall, cpu = time.perf_counter(), time.process_time()
        for content in files:
            work(content)
        orders.send(Lap(time.perf_counter() - wall, time.process_time() - cpu))


class Process:
    """A contestant's process, from here."""

    def __init__(self, work: Callable[[bytes], None], files: list[bytes]) -> None:
        self.orders, theirs = multiprocessing.Pipe()
        context = multiprocessing.get_context("spawn")
        self.process = context.Process(target=contestant, args=(work, files, theirs), daemon=True)
        self.process.start()

    def lap(self) -> Lap:
        self.orders.send(True)
        return self.orders.recv()

    def end(self) -> None:
        self.orders.send(False)
        self.process.join()


def against_pillow(name: str, files: list[bytes], rounds: int) -> str:
    loop, mine = Process(pillow_loop, files), Process(ours, files)
    laps = [(loop.lap(), mine.lap()) if turn % 2 else (mine.lap(), loop.lap())[::-1] for turn in range(rounds + 1)][1:]
    loop.end()
    mine.end()
    return row(name, "Pillow loop", "ours", len(files), laps)


def one_against_two(folder: Path, rounds: int) -> str:
    """The whole of staging, with digests, fingerprints, JPEGs in scratch files and the start of the processes."""
    import torchvision.io  # noqa: F401  # the parent's import, which every child would wait for
    from preparation import staging
    from preparation.items import Item, Source

    files = sorted(folder.iterdir())
    count = REPEATED * len(files)
    items = [Item(f"{number:06d}.jpg", 0) for number in range(count)]
    source = Source("x", ("photo",), items, lambda index: files[index % len(files)].read_bytes(), None, (), "")

    def lap(processes: int) -> Lap:
        with tempfile.TemporaryDirectory() as scratch:
            wall, cpu = time.perf_counter(), sum(os.times()[2:4])
            staging.stage(source, Path(scratch), SIZE, raw_limit=0, processes=processes)
            return Lap(time.perf_counter() - wall, sum(os.times()[2:4]) - cpu)

    laps = [(lap(1), lap(2)) if turn % 2 else (lap(2), lap(1))[::-1] for turn in range(rounds + 1)][1:]
    return row("staging, 300 to 500 px", "one process", "two processes", count, laps)


def row(what: str, reference: str, name: str, count: int, laps: list[tuple[Lap, Lap]]) -> str:
    base, mine = (
        [statistics.median(1000 * lap[side][kind] / count for lap in laps) for kind in (0, 1)] for side in (0, 1)
    )
    ratios = sorted(lap[0].wall / lap[1].wall for lap in laps)
    spent = statistics.median(lap[0].cpu / lap[1].cpu for lap in laps)
    return (
        f"| {what} | {count} | {reference} {base[0]:.2f} ({base[1]:.2f}) | {name} {mine[0]:.2f} ({mine[1]:.2f}) "
        f"| **{statistics.median(ratios):.2f}** ({ratios[0]:.2f} to {ratios[-1]:.2f}) | {spent:.2f} |"
    )


def main() -> None:
    import torch
    import torchvision

    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--small", type=int, default=300, help="pictures of 300 to 500 px")
    parser.add_argument("--large", type=int, default=24, help="pictures of 2000 x 1500 px")
    args = parser.parse_args()
    random = np.random.default_rng(SEED)
    sets = {
        "300 to 500 px": [small(random) for _ in range(args.small)],
        "2000 x 1500 px": [large(random) for _ in range(args.large)],
    }
    print(
        f"{platform.platform()}, {os.cpu_count()} cores, Python {platform.python_version()}, Pillow {PIL.__version__},"
        f" torch {torch.__version__}, torchvision {torchvision.__version__}, {args.rounds} rounds,"
        f" load {os.getloadavg()[0]:.2f}\n"
    )
    print("| what | pictures | ms a picture (CPU): reference | and | ratio, wall (lowest to highest) | CPU |")
    print("|---|---|---|---|---|---|")
    for name, files in sets.items():
        print(against_pillow(f"decode, resize, encode, {name}", files, args.rounds), flush=True)
    with tempfile.TemporaryDirectory() as folder:
        for number, content in enumerate(sets["300 to 500 px"]):
            Path(folder, f"{number:05d}.jpg").write_bytes(content)
        print(one_against_two(Path(folder), args.rounds), flush=True)


if __name__ == "__main__":
    main()
