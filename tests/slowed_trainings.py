"""train.py, slowed down on purpose by what it is given: pictures that are hard to decode, networks that idle.

Nothing of ours is replaced. The data set's own files are slow, as those of a stranger might be, and so are the networks
of a stranger: one is heavy to save, one idles in evaluation, one has the garbage collector look at many objects.
"""

from __future__ import annotations

import io
from collections.abc import Set
from pathlib import Path
from typing import Any

import numpy as np
import pictures
import torch
import train
from health.recording import records
from health.view import Records
from numpy.typing import NDArray
from PIL import Image
from preparation import shards
from training import sampling

SIDE, SEEN = 256, 32  # pixels of what is stored, and of what the network is shown
COUNT, BATCH = 80, 2
SCANS = 160  # of a picture that is hard to read: decoding goes through all of it so many times
CLASSES = ["a", "b"]
LOOKER = """
import gc, time
from torch import nn, zeros


class Looker(nn.Module):
    \"\"\"Looks at the mean colour of each picture.\"\"\"

    def __init__(self, num_classes):
        super().__init__()
        self.head = nn.Linear(3, num_classes)
        self.times = 0
{begins}

    def forward(self, pictures):
        self.times += self.training == {training}
{does}
        return self.head(pictures.mean((2, 3)))


def build(num_classes):
    return Looker(num_classes)
"""
SLOW_TO_SAVE = LOOKER.format(
    training=True, begins="        self.register_buffer('ballast', zeros(20_000_000))", does=""
)
SLOW_TO_JUDGE = LOOKER.format(
    training=False,
    begins="",
    does="        if not self.training and self.times % 16 == 15:\n            time.sleep(0.6)",
)
COLLECTING = LOOKER.format(
    training=True,
    begins="        self.objects = [[number] for number in range(800_000)]",
    does="        if self.training and self.times % 24 == 23:\n            gc.collect()",
)
# 5 ms of CPU time a step; for a second sixteen others work beside it, which costs far more than to start them
CROWDED = LOOKER.format(
    training=True,
    begins="",
    does="""
        if self.training and self.times == 150:
            import subprocess, sys
            work = "import os, time; [os.fork() for _ in range(4)]; ends = time.time() + 1"
            work += "\\nwhile time.time() < ends: pass"
            self.others = [subprocess.Popen([sys.executable, "-ISc", work])]
        ends = time.thread_time() + 0.005
        while time.thread_time() < ends:
            pass""",
)
STEADY = LOOKER.format(training=True, begins="", does="        time.sleep(0.004)")  # more than reading takes


class Pictures:
    """Stands in for staging.Staged: the `heavy` ones are noise in many scans, the others of one grey."""

    size, encoding = SIDE, "jpeg"

    def __init__(self, heavy: Set[int]) -> None:
        noise = np.random.default_rng(0).integers(
            0, 256, (SIDE, SIDE, 1), np.uint8
        )  # grey, or it fills Pillow's buffer
        self.noise = _in_many_scans(_encoded(noise.repeat(3, 2), quality=100, progressive=True))
        self.grey = _encoded(np.full((SIDE, SIDE, 3), 90, np.uint8))
        self.heavy = heavy

    def jpeg(self, index: int) -> bytes:
        return self.noise if index in self.heavy else self.grey

    def pixels(self, indices: NDArray[np.int64]) -> NDArray[np.uint8]:
        return np.full((len(indices), SIDE, SIDE, 3), 90, np.uint8)


def splits(root: Path, heavy: Set[int] = frozenset()) -> Path:
    """COUNT pictures to train on, a few to validate on."""
    for name, count, slow in (("train", COUNT, heavy), ("validation", 2, frozenset())):
        (root / name).mkdir(parents=True)
        items = [pictures.Named(f"{index}.jpg", index % 2) for index in range(count)]
        files, sums = shards.write_split(root / name, Pictures(slow), np.arange(count), items)
        body = {"split": name, "classes": CLASSES, "count": count, "image_size": SEEN, "stored_size": SIDE}
        body |= {"square": "crop", "encoding": "jpeg", "mean": sums.mean(), "deviation": sums.deviation()}
        body |= {"class_weights": [1.0, 1.0], "source": {"kind": "test", "digest": "0"}}
        shards.publish(root / name, files, body)
    return root


def heavy_steps(heavy: Set[int], epochs: int) -> list[int]:
    """Steps of the job whose batch holds one of them: the order is drawn once more."""
    order, found = torch.Generator().manual_seed(0), []
    labels = np.arange(COUNT) % 2
    for epoch in range(epochs):
        batches = sampling.order(labels, "shuffled", order).split(BATCH)
        found += [epoch * len(batches) + place for place, rows in enumerate(batches) if heavy & set(rows.tolist())]
    return found


def run(splits: Path, root: Path, network: str, epochs: int, *more: str) -> tuple[Records, dict[str, Any], list[Any]]:
    """What the job recorded, its profile, and the rules' verdicts."""
    said = judged(splits, root, network, epochs, *more)
    health = root / "output/data/health"
    profile: Any = pictures.json_of(health / "profile.json")
    return records.read(health), profile, said


def judged(splits: Path, root: Path, network: str, epochs: int, *more: str) -> list[Any]:
    """The rules' verdicts."""
    output = root / "output/data"
    output.mkdir(parents=True)
    (root / "net.py").write_text(network)
    where = ["--train-dir", splits / "train", "--validation-dir", splits / "validation"]
    where += ["--model-dir", root / "model", "--output-data-dir", output, "--model_file", root / "net.py"]
    told = ["--batch_size", BATCH, "--epochs", epochs, "--precision", "float32", "--profile", "true"]
    told += ["--health_rules", "StepOutlier+OverallSystemUsage", *more]
    assert train.main([str(each) for each in (*where, *told)], {}) == 0
    body: Any = pictures.json_of(output / "health" / "health.json")
    said: list[Any] = body["rules"]
    return said


def _encoded(pixels: NDArray[np.uint8], **options: Any) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", **options)
    return buffer.getvalue()


def _in_many_scans(jpeg: bytes) -> bytes:
    """The largest scan of a progressive file many times: the same picture, and a word of the decoder on stderr."""
    at, first, last = 2, 0, 0
    while jpeg[at + 1] != 0xD9:
        end = at + 2 + int.from_bytes(jpeg[at + 2 : at + 4], "big")
        if jpeg[at + 1] == 0xDA:
            while jpeg[end] != 0xFF or jpeg[end + 1] == 0:
                end += 1
            first, last = max((first, last), (at, end), key=lambda scan: scan[1] - scan[0])
        at = end
    return jpeg[:last] + jpeg[first:last] * SCANS + jpeg[last:]
