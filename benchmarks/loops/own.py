"""train.py as a job starts it; the time that its batches take is measured around their iterator.

    python benchmarks/loops/own.py FOLDER SIDE BATCH

Two epochs; prints the second one's figures as JSON.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "entrypoints"))

import train
from torch import Tensor
from training import features
from training.batches import Batches
from waiting import Waiting

Shown = Iterator[tuple[Tensor, Tensor]]


def folders(folder: Path) -> list[str]:
    data = [f"--{name}-dir={folder / name}" for name in ("train", "validation")]
    return [*data, f"--model-dir={folder / 'model'}", f"--output-data-dir={folder / 'output'}"]


def trained(folder: Path, options: list[str], batches: type[Batches]) -> dict[str, Any]:
    """What training.json says of a training that is given its pictures by `batches`."""
    features.Batches = batches  # type: ignore[misc]
    if train.main([*folders(folder), "--lr=0.01", "--augment=flip", *options], {}):
        raise SystemExit("train.py refused")
    report: dict[str, Any] = json.loads((folder / "output/report/training.json").read_text(encoding="utf-8"))
    return report


def main(folder: Path, _: int, batch: int) -> None:
    waiters: list[Waiting] = []

    class Watched(Batches):
        def shuffled(self, *args: Any, **options: Any) -> Shown:
            waiters.append(Waiting())
            return waiters[-1].over(super().shuffled(*args, **options))

    report = trained(folder, ["--epochs=2", f"--batch_size={batch}"], Watched)
    seconds, count = report["epochs"][1]["train_seconds"], report["pictures"]["train"] // batch * batch
    figures = {"speed": count / seconds, "waiting": waiters[1].seconds / seconds, "precision": report["precision"]}
    print(json.dumps(figures))


if __name__ == "__main__":
    main(Path(sys.argv[1]), *map(int, sys.argv[2:]))
