"""The steps of torchvision's references/classification/train.py: float32, two metrics read back after each step.

    python benchmarks/loops/reference.py FOLDER SIDE BATCH

Two epochs; prints the second one's figures as JSON.
"""

import json
import sys
import time
from pathlib import Path

import torch
import torchvision
from pictures_in_memory import CLASSES, loader
from torch import nn
from waiting import Waiting


def main(folder: Path, side: int, batch: int) -> None:
    shown = loader(folder, side, batch)
    network = torchvision.models.resnet18(num_classes=CLASSES)
    criterion = nn.CrossEntropyLoss(label_smoothing=0.1)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4)
    for _ in range(2):
        network.train()
        began, waiter = time.perf_counter(), Waiting()
        for pictures, labels in waiter.over(iter(shown)):
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
    count = len(shown.dataset)
    print(json.dumps({"speed": count / seconds, "waiting": waiter.seconds / seconds, "precision": "float32"}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), *map(int, sys.argv[2:]))
