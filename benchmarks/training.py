"""Training: pictures a second of train.py's own loop against torchvision's reference loop, on the same pictures.

    python benchmarks/training.py [ROUNDS=3] [PICTURES=1280]

ResNet18, batch 128, random crops and mirror images, SGD; pictures in memory, made up here. In each round both run one
after the other, each two epochs in a process of its own; the second epoch counts. The reference does the steps of
torchvision's references/classification/train.py: a transform a picture with PIL, a loader without worker processes,
float32, two metrics read back after each step. The share of time waiting for data is what the loop's own iterator
takes.
"""

import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "entrypoints"))

import numpy as np
import torch
from pictures import split as write_split

BATCH = 128
CLASSES = 10
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Case(NamedTuple):
    side: int
    threads: int
    wanted: float  # ratio, from the issue


CASES = (Case(32, 2, 1.5), Case(64, 1, 1.8))


class Figures(NamedTuple):
    pictures_a_second: float
    waiting: float  # share of the epoch


def main(rounds: int = 3, count: int = 1280) -> None:
    print(
        f"{platform.platform()}, {os.cpu_count()} cores, Python {platform.python_version()}, torch {torch.__version__},"
        f" ResNet18, batch {BATCH}, {count} pictures, n={rounds}, load {os.getloadavg()[0]:.2f}\n"
    )
    print("| pictures | threads | reference, pictures/s | waiting | ours, pictures/s | waiting | ratio | wanted |")
    print("|---" * 8 + "|")
    for case in CASES:
        with tempfile.TemporaryDirectory(prefix="darkroom-bench-") as folder:
            prepared(Path(folder), case.side, count)
            pairs = [(measured("reference", folder, case), measured("ours", folder, case)) for _ in range(rounds)]
        reference, ours = (median([pair[place] for pair in pairs]) for place in (0, 1))
        ratio = statistics.median(own.pictures_a_second / base.pictures_a_second for base, own in pairs)
        print(
            f"| {case.side} px | {case.threads} | {reference.pictures_a_second:.0f} | {reference.waiting:.1%}"
            f" | {ours.pictures_a_second:.0f} | {ours.waiting:.1%} | {ratio:.2f} | {case.wanted} |",
            flush=True,
        )


def median(runs: list[Figures]) -> Figures:
    return Figures(*map(statistics.median, zip(*runs, strict=True)))


def measured(loop: str, folder: str, case: Case) -> Figures:
    """In a process of its own, with the threads of the case."""
    command = [sys.executable, __file__, loop, folder, str(case.side)]
    environment = {**os.environ, "OMP_NUM_THREADS": str(case.threads)}
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return Figures(**json.loads(done.stdout.splitlines()[-1]))


def prepared(folder: Path, side: int, count: int) -> None:
    """Noise as pixels.npy for the reference, and stored with a margin of 4 px on each side as shards for ours."""
    pixels = np.random.default_rng(0).integers(0, 256, (count, side + 8, side + 8, 3), dtype=np.uint8)
    np.save(folder / "pixels.npy", pixels[:, 4:-4, 4:-4])
    for name, part in (("train", pixels), ("validation", pixels[:BATCH])):
        labels = [index % CLASSES for index in range(len(part))]
        scales = {"mean": list(MEAN), "deviation": list(DEVIATION)}
        write_split(folder / name, part, labels, [str(label) for label in range(CLASSES)], image_size=side, **scales)


def reference(folder: Path, side: int) -> Figures:
    import torchvision
    from PIL import Image
    from torch import nn
    from torchvision import transforms

    pixels = np.load(folder / "pixels.npy")
    steps = [transforms.RandomCrop(side, padding=4), transforms.RandomHorizontalFlip(), transforms.PILToTensor()]
    steps += [transforms.ConvertImageDtype(torch.float), transforms.Normalize(MEAN, DEVIATION)]
    transform = transforms.Compose(steps)

    class Pictures(torch.utils.data.Dataset):
        def __len__(self) -> int:
            return len(pixels)

        def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
            return transform(Image.fromarray(pixels[index])), index % CLASSES

    loader = torch.utils.data.DataLoader(Pictures(), batch_size=BATCH, shuffle=True)
    network = torchvision.models.resnet18(num_classes=CLASSES)
    criterion = nn.CrossEntropyLoss(label_smoothing=0.1)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4)
    for _ in range(2):
        network.train()
        began, waiter = time.perf_counter(), Waiting()
        for pictures, labels in waiter.over(iter(loader)):
            output = network(pictures)
            loss = criterion(output, labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            with torch.inference_mode():
                right = output.topk(5, 1)[1].t().eq(labels[None])
                [right[:k].flatten().sum(dtype=torch.float32).item() for k in (1, 5)]
            loss.item()
        seconds = time.perf_counter() - began
    return Figures(len(pixels) / seconds, waiter.seconds / seconds)


def ours(folder: Path, _: int) -> Figures:
    """train.py as a job starts it; the time that its batches take is measured around their iterator."""
    import train
    from training import batches

    waiters: list[Waiting] = []

    class Watched(batches.Batches):
        def shuffled(self, *args: object, **options: object) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
            waiters.append(Waiting())
            return waiters[-1].over(super().shuffled(*args, **options))

    from training import features

    features.Batches = Watched  # type: ignore[misc]
    folders = [f"--train-dir={folder / 'train'}", f"--validation-dir={folder / 'validation'}"]
    folders += [f"--model-dir={folder / 'model'}", f"--output-data-dir={folder / 'output'}"]
    more = ["--epochs=2", f"--batch_size={BATCH}", "--lr=0.01", "--augment=flip"]
    if train.main([*folders, *more], {}):
        raise SystemExit("train.py refused")
    report = json.loads((folder / "output/report/training.json").read_text(encoding="utf-8"))
    seconds = report["epochs"][1]["train_seconds"]
    seen = report["pictures"]["train"] // BATCH * BATCH
    return Figures(seen / seconds, waiters[1].seconds / seconds)


class Waiting:
    def __init__(self) -> None:
        self.seconds = 0.0

    def over(self, source: Iterator[tuple[torch.Tensor, torch.Tensor]]) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        while True:
            began = time.perf_counter()
            try:
                item = next(source)
            except StopIteration:
                return
            finally:
                self.seconds += time.perf_counter() - began
            yield item


if __name__ == "__main__":
    if sys.argv[1:2] in (["reference"], ["ours"]):
        loop = {"reference": reference, "ours": ours}[sys.argv[1]]
        print(json.dumps(loop(Path(sys.argv[2]), int(sys.argv[3]))._asdict()))
    else:
        main(*map(int, sys.argv[1:]))
