"""PrepareData as a whole: CIFAR-10 at full size against torchvision, and 5,000 to 80,000 generated pictures.

    python benchmarks/preparing.py cifar [ROUNDS=5]      synthetic pickles of exactly the real files' form and size
    python benchmarks/preparing.py scale [COUNT ...]     folders of JPEG files of 64 x 64

Everything runs in a child of its own, so that its peak memory is its own. torchvision's share of the pages that
are mapped from files counts into nobody's peak.
"""

import hashlib
import os
import pickle
import platform
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
BATCHES = [*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"]
CLASSES = 10
SIDE = 64


class Python2Pickler(pickle._Pickler):
    """Writes bytes as Python 2 wrote its str: the real files hold BINSTRINGs."""

    dispatch = dict(pickle._Pickler.dispatch)

    def save_bytes(self, content: bytes) -> None:
        short = len(content) < 256
        self.write(b"U" + bytes([len(content)]) if short else b"T" + struct.pack("<i", len(content)))
        self.write(content)
        self.memoize(content)

    dispatch[bytes] = save_bytes


def write_cifar(folder: Path) -> None:
    folder.mkdir(parents=True)
    random = np.random.default_rng(0)
    for batch in BATCHES:
        low = random.integers(0, 256, (10000, 4, 4, 3), dtype=np.uint8)
        pixels = low.repeat(8, 1).repeat(8, 2) ^ random.integers(0, 16, (10000, 32, 32, 3), dtype=np.uint8)
        rows = np.ascontiguousarray(pixels.transpose(0, 3, 1, 2)).reshape(10000, 3072)
        names = [b"%s_%05d.png" % (batch.encode(), row) for row in range(10000)]
        body = {b"batch_label": batch.encode(), b"labels": random.integers(0, CLASSES, 10000).tolist()}
        _dump({**body, b"data": rows, b"filenames": names}, folder / batch)
    meta = {b"num_cases_per_batch": 10000, b"label_names": [b"c%d" % label for label in range(CLASSES)]}
    _dump({**meta, b"num_vis": 3072}, folder / "batches.meta")


def _dump(body: dict[bytes, object], path: Path) -> None:
    with path.open("wb") as file:
        Python2Pickler(file, 2).dump(body)


TORCHVISION = """
import sys, time, torchvision
from torchvision.datasets import CIFAR10
class Ours(CIFAR10):
    train_list, test_list, meta = {train!r}, {test!r}, {meta!r}
began = time.perf_counter()
kept = [Ours({root!r}, train=train) for train in (True, False)]
print(time.perf_counter() - began)
"""
OURS = """
import sys, time
sys.path.insert(0, {entrypoints!r})
import prepare
from preparation import doctor, drawings
from pathlib import Path
apart = [0.0]
def timed(module, name):
    work = getattr(module, name)
    def wrapped(*arguments):
        began = time.perf_counter()
        try:
            return work(*arguments)
        finally:
            apart[0] += time.perf_counter() - began
    setattr(module, name, wrapped)
timed(doctor, "examine")
timed(drawings, "draw")
began = time.perf_counter()
code = prepare.main(["--kind", "cifar10", "--image-size", "32", "--validation-fraction", "0.1", "--input-dir", {root!r},
                     "--output-dir", {out!r}, "--message-file", {out!r} + "/message"])
print(time.perf_counter() - began - apart[0], apart[0])
sys.exit(code)
"""


def measured(code: str) -> tuple[list[float], float]:
    """The numbers in the last line that a child prints, and its peak memory in MiB."""
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    printed = child.stdout.read()
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise SystemExit(f"the child ended with {child.returncode}")
    return [float(word) for word in printed.splitlines()[-1].split()], usage.ru_maxrss / 1024


def cifar(rounds: int) -> None:
    with tempfile.TemporaryDirectory(prefix="darkroom-bench-") as folder:
        root = Path(folder, "in")
        write_cifar(root / "cifar-10-batches-py")
        sums = {
            path.name: hashlib.md5(path.read_bytes()).hexdigest() for path in (root / "cifar-10-batches-py").iterdir()
        }
        reference = TORCHVISION.format(
            train=[[name, sums[name]] for name in BATCHES[:5]],
            test=[["test_batch", sums["test_batch"]]],
            meta={"filename": "batches.meta", "key": "label_names", "md5": sums["batches.meta"]},
            root=str(root),
        )
        ours = OURS.format(entrypoints=str(ROOT / "entrypoints"), root=str(root), out=folder + "/out")
        rows = [(measured(reference), measured(ours)) for _ in range(rounds)]
    ratio = statistics.median(own[0][0] / other[0][0] for other, own in rows)
    print("| what | median s | peak MiB | ratio to torchvision |\n|---|---|---|---|")
    load, peak = (statistics.median(value) for value in zip(*((r[0][0][0], r[0][1]) for r in rows), strict=True))
    print(f"| torchvision.datasets.CIFAR10, verify and load both splits | {load:.2f} | {peak:.0f} | 1 |")
    own, peak = (statistics.median(value) for value in zip(*((r[1][0][0], r[1][1]) for r in rows), strict=True))
    print(f"| prepare.py, doctor and pictures apart | {own:.2f} | {peak:.0f} | {ratio:.2f} |")
    print(f"| its doctor and pictures | {statistics.median(r[1][0][1] for r in rows):.2f} | | |")


def write_folder(folder: Path, count: int) -> None:
    random = np.random.default_rng(0)
    for label in range(CLASSES):
        (folder / f"class{label}").mkdir(parents=True)
    for number in range(count):
        low = Image.fromarray(random.integers(0, 256, (8, 8, 3), dtype=np.uint8))
        path = folder / f"class{number % CLASSES}" / f"{number:06d}.jpg"
        low.resize((SIDE, SIDE), Image.Resampling.BICUBIC).save(path, quality=90)


def scale(counts: list[int]) -> None:
    print("| pictures | seconds | ms each | peak MiB of the process | of its largest worker |\n|---|---|---|---|---|")
    for count in counts:
        with tempfile.TemporaryDirectory(prefix="darkroom-bench-") as folder:
            write_folder(Path(folder, "in"), count)
            places = ["--input-dir", f"{folder}/in", "--output-dir", f"{folder}/out", "--message-file", f"{folder}/m"]
            command = ["--kind", "imagefolder", "--image-size", "56", *places]
            code = (
                f"import json, resource, sys; sys.path.insert(0, {str(ROOT / 'entrypoints')!r}); import prepare\n"
                f"code = prepare.main({command!r})\n"
                "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024)\nsys.exit(code)"
            )
            began = time.perf_counter()
            (workers,), peak = measured(code)
            seconds = time.perf_counter() - began
        print(f"| {count:,} | {seconds:.1f} | {seconds / count * 1000:.2f} | {peak:.0f} | {workers:.0f} |", flush=True)


def main(what: str, *numbers: str) -> None:
    machine = f"{platform.platform()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    print(f"{machine}, load {os.getloadavg()[0]:.2f}\n")
    match what:
        case "cifar":
            cifar(int(numbers[0]) if numbers else 5)
        case "scale":
            scale([int(number) for number in numbers] or [5000, 20000, 80000])
        case _:
            raise SystemExit("cifar or scale")


if __name__ == "__main__":
    main(*sys.argv[1:])
