"""The doctor apart from decoding: fingerprint, search and findings for each picture; the search as pictures grow many.

    python benchmarks/doctor.py [ROUNDS=5]

Pictures are random scenes, 2,000 of 32 x 32 and 200 of 400 x 400; one in twenty is a re-lit copy of another, so that
pixels are compared as well. To reach: 150 µs a picture at 32 px, 1 ms at 400 px. The search runs over 5,000, 20,000
and 80,000 random hashes, one in ten a copy with up to three bits turned; and over as many in one dense heap, all within
three bits of one centre.
"""

import os
import platform
import statistics
import sys
import time
import tracemalloc
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "entrypoints"))
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["OPENBLAS_NUM_THREADS"] = "1"

import numpy as np
import scenes
from preparation import doctor, fingerprints, near
from preparation.items import Item, Source

LIMITS = {32: 150, 400: 1000}  # µs a picture
COUNTS = {32: 2000, 400: 200}


class Staged:
    """What the doctor reads of staging.Staged, with pixels in memory."""

    def __init__(self, pixels: np.ndarray, hashes: np.ndarray) -> None:
        count, side = pixels.shape[:2]
        self.width = self.height = np.full(count, side, dtype=np.int32)
        self.digest = np.random.default_rng(0).integers(0, 256, (count, 32), dtype=np.uint8)
        self.problem = [""] * count
        self.hash = hashes
        self.pixels = pixels.__getitem__


def pictures(side: int) -> np.ndarray:
    pixels = scenes.scenes(COUNTS[side], side, seed=0)
    pixels[::20] = scenes.changed(pixels[1::20], "brighter_5")
    return pixels


def timed(pixels: np.ndarray) -> tuple[float, float]:
    """µs a picture for fingerprints, and for search and findings."""
    count, side = pixels.shape[:2]
    items = [Item(f"{row % 10}/{row:06d}.png", row % 10) for row in range(count)]
    source = Source("imagefolder", tuple("0123456789"), items, None, None, (), "0")
    splits = np.random.default_rng(1).choice(np.array([0, 0, 0, 1, 2], dtype=np.int8), count)
    settings = doctor.Settings(conflicting_labels="warn")
    start = time.perf_counter()
    hashes = fingerprints.of(pixels)
    middle = time.perf_counter()
    found = doctor.examine(source, Staged(pixels, hashes), splits, settings, side).findings
    end = time.perf_counter()
    assert found[0]["count"] > count / 20, found[:1]  # of 20 pictures two show the same
    return (middle - start) / count * 1e6, (end - middle) / count * 1e6


def each_picture(rounds: int) -> None:
    print("| pictures | fingerprint µs | search and findings µs | together, µs a picture | to reach |")
    print("|---|---|---|---|---|")
    for side, limit in LIMITS.items():
        pixels = pictures(side)
        timed(pixels)
        parts = [timed(pixels) for _ in range(rounds)]
        hashed, examined = (statistics.median(part) for part in zip(*parts, strict=True))
        total = statistics.median(map(sum, parts))
        print(f"| {len(pixels)} of {side} px | {hashed:.0f} | {examined:.0f} | {total:.0f} | {limit} |")


def hashes_of(kind: str, count: int) -> np.ndarray:
    random = np.random.default_rng(2)
    found = random.integers(0, 2**63, count, dtype=np.uint64)
    copies = count // 10
    if kind == "heap":
        found[:], copies = found[0], count
    else:
        found[:copies] = found[-copies:]
    for _ in range(3):
        found[:copies] ^= np.uint64(1) << random.integers(0, 63, copies, dtype=np.uint64)
    return found


def search(hashes: np.ndarray) -> tuple[float, int, float]:
    """Seconds, pairs, and from a second search, which tracing slows down, the peak of what it allocates in MB."""
    start = time.perf_counter()
    pairs = near.candidates(hashes)
    seconds = time.perf_counter() - start
    tracemalloc.start()
    near.candidates(hashes)
    peak = tracemalloc.get_traced_memory()[1] / 2**20
    tracemalloc.stop()
    return seconds, len(pairs), peak


def many(rounds: int) -> None:
    print("\n| hashes | median s | µs a hash | pairs | peak MB |\n|---|---|---|---|---|")
    for kind, words in (("random", "random, 10 % copies"), ("heap", "one dense heap")):
        for count in (5_000, 20_000, 80_000):
            answers = [search(hashes_of(kind, count)) for _ in range(rounds)]
            seconds, pairs, peak = (statistics.median(column) for column in zip(*answers, strict=True))
            print(f"| {count:,} {words} | {seconds:.3f} | {seconds / count * 1e6:.1f} | {pairs:,.0f} | {peak:.0f} |")


def main(rounds: int = 5) -> None:
    print(
        f"{platform.platform()}, {os.cpu_count()} cores, one thread, Python {platform.python_version()},"
        f" NumPy {np.__version__}, n={rounds}, load {os.getloadavg()[0]:.2f}\n"
    )
    each_picture(rounds)
    many(rounds)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
