"""The same training by Lightning's Trainer in bfloat16, with its bar, log files and checkpoints off.

    PYTHON benchmarks/loops/lightning_loop.py FOLDER SIDE BATCH

PYTHON is one that has lightning; it needs nothing of ours. Two epochs; prints the second one's figures as JSON. Waiting
is what lies between two steps, with Trainer's own work there.
"""

import json
import logging
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import lightning
import torch
import torchvision
from pictures_in_memory import CLASSES, loader
from torch.nn import functional as F


class Classifier(lightning.LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.network = torchvision.models.resnet18(num_classes=CLASSES)
        self.seconds = self.within = 0.0

    def training_step(self, batch: tuple[torch.Tensor, torch.Tensor], _: int) -> torch.Tensor:
        pictures, labels = batch
        loss = F.cross_entropy(self.network(pictures), labels, label_smoothing=0.1)
        self.log("train_loss", loss)
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4)

    def on_train_epoch_start(self) -> None:
        self.within, self.began = 0.0, time.perf_counter()

    def on_train_epoch_end(self) -> None:
        self.seconds = time.perf_counter() - self.began

    def on_train_batch_start(self, *_: Any) -> None:
        self.step_began = time.perf_counter()

    def on_train_batch_end(self, *_: Any) -> None:
        self.within += time.perf_counter() - self.step_began


def main(folder: Path, side: int, batch: int) -> None:
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore")
    shown, learner = loader(folder, side, batch), Classifier()
    off = ("logger", "enable_progress_bar", "enable_checkpointing", "enable_model_summary")
    quiet = dict.fromkeys(off, False)
    trainer = lightning.Trainer(max_epochs=2, accelerator="cpu", precision="bf16-mixed", **quiet)
    trainer.fit(learner, shown)
    speed, waiting = len(shown.dataset) / learner.seconds, 1 - learner.within / learner.seconds
    print("\n" + json.dumps({"speed": speed, "waiting": waiting, "precision": "bfloat16"}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), *map(int, sys.argv[2:]))
