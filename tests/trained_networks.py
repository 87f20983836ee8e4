"""Small networks, really trained under the recorder: sound ones, and one for each illness. What rules are tried on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from health.recording import records
from health.recording.recorder import Recorder
from health.rules.judging import Setting, judged, opened
from health.rules.parameters import Value
from health.rules.scaling import Job
from health.verdicts import Verdict
from health.view import Records
from torch import Tensor, nn

CLASSES, WIDTH, BATCH, EPOCHS = 4, 16, 16, 6
Run = tuple[Records, Job]


def data(count: int, seed: int, shuffled: bool = False) -> tuple[Tensor, Tensor]:
    """Points around as many centres as there are classes."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % CLASSES
    centres = torch.eye(CLASSES).repeat_interleave(WIDTH // CLASSES, 1) * 2
    points = centres[labels] + torch.randn(count, WIDTH, generator=generator)
    return points, labels[torch.randperm(count, generator=generator)] if shuffled else labels


def trained(
    folder: Path,
    network: nn.Module,
    lr: float = 0.1,
    shuffled: bool = False,
    epochs: int = EPOCHS,
    every: int = 2,
    rare: int | None = None,
) -> Run:
    """`every`: 0 records losses alone, as trials do; `rare`: a class of which few pictures are kept."""
    points, labels = data(160, 0, shuffled)
    if rare is not None:
        kept = (labels != rare) | (torch.arange(len(labels)) % 80 == rare)
        points, labels = points[kept], labels[kept]
    judged_points, judged_labels = data(80, 1)
    optimizer = torch.optim.SGD(network.parameters(), lr=lr, momentum=0.9)
    steps = -(-len(points) // BATCH) * epochs
    recorder = Recorder(folder, network, CLASSES, every=every)
    generator = torch.Generator().manual_seed(2)
    step = 0
    for epoch in range(1, epochs + 1):
        network.train()
        for rows in torch.randperm(len(points), generator=generator).split(BATCH):
            recorder.begins(step)
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(network(points[rows]), labels[rows])
            loss.backward()
            recorder.shown(labels[rows])
            recorder.gradients()
            optimizer.step()
            recorder.stepped()
            recorder.step(epoch, loss, lr, len(rows), {"seconds": 0.01, "ended": float(step)})
            step += 1
        recorder.trained(epoch)
        with torch.no_grad():
            network.eval()
            scores = network(judged_points)
            recorder.judged(scores, judged_labels)
            judged_loss = nn.functional.cross_entropy(scores, judged_labels).item()
            accuracy = (scores.argmax(1) == judged_labels).double().mean().item()
        recorder.validated(epoch, judged_loss, accuracy, len(judged_labels), {"seconds": 0.01, "ended": float(step)})
    recorder.close()
    return records.read(folder), Job(steps, epochs, every, CLASSES, len(points) * epochs)


def verdict(name: str, run: Run, given: Mapping[str, Value] = {}) -> Verdict:
    """As train.py judges a rule that was asked for with these parameters."""
    setting = Setting(name, given)
    return judged(setting, opened(setting), *run)


def stack(activation: Callable[[], nn.Module], depth: int) -> nn.Sequential:
    torch.manual_seed(0)
    layers = [layer for _ in range(depth) for layer in (nn.Linear(WIDTH, WIDTH), activation())]
    return nn.Sequential(*layers, nn.Linear(WIDTH, CLASSES))


def begun_at(std: float, depth: int = 5) -> nn.Sequential:
    """A stack of ReLUs whose weights were drawn with this deviation, whatever suits them."""
    network = stack(nn.ReLU, depth)
    for layer in network[::2]:
        nn.init.normal_(layer.weight, std=std)
    return network


def of_dead_units() -> nn.Sequential:
    """The second of its ReLUs lies far below zero."""
    network = stack(nn.ReLU, 2)
    nn.init.constant_(network[2].bias, -100.0)
    return network


def of_saturated_units() -> nn.Sequential:
    network = stack(nn.Tanh, 1)
    nn.init.normal_(network[0].weight, std=20.0)
    return network
