"""Records what a training shows of its health: losses of every step, statistics of tensors of every n-th step.

    recorder = Recorder(folder, learner, classes, every=default_every(total_steps))
    for step, (pictures, labels) in enumerate(batches):
        recorder.begins(step)
        loss = criterion(network(pictures), labels)
        loss.backward()
        recorder.gradients()
        optimizer.step()
        recorder.stepped()
        recorder.step(epoch, loss, lr, len(labels), clock.step()._asdict())
    recorder.close()

It changes no weight, no gradient and no random state: training with it is the same training, bit for bit.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.amp.grad_scaler import GradScaler

from health.recording import recorded, records, samples
from health.recording.layers import Layers, class_of
from health.recording.recorded import Limits, Record, Row
from health.recording.records import ClassesWriter, Writer
from health.recording.statistics import Floats

EVERY = 100  # steps between two records, at most
RECORDS = 20  # of a job, at least
GATHERED = 10  # steps whose losses are fetched from a GPU at once
CONFUSED = 256  # classes up to which a confusion matrix is kept


def default_every(total_steps: int) -> int:
    """Of optimiser steps in the whole job: the 20th record is of the last step at the latest."""
    return max(1, min(EVERY, (total_steps - 1) // (RECORDS - 1)))


class Recorder:
    """Of what learns: the network itself, not what DistributedDataParallel or torch.compile made around it.

    Weights, gradients and updates are the first rank's, which are everybody's; inputs and outputs are each rank's own.
    """

    def __init__(
        self,
        folder: Path,
        network: nn.Module,
        classes: int,
        every: int,
        rank: int = 0,
        resumed_at: int | None = None,
        limits: Limits = Limits(),  # noqa: B008  # never changes
    ) -> None:
        """`every`: steps between two records; 0: losses only. `resumed_at`: the step that a resumed training does next.

        Rows that the files have of that step and later ones are dropped.
        """
        self.device = next(network.parameters()).device
        self.every = every
        self.limits = limits
        self.layers = Layers(network)
        self.weights = list(_trained(network)) if rank == 0 else []
        self.steps = Writer(records.path(folder, "steps", rank), records.STEPS, resumed_at)
        self.tensors = Writer(records.path(folder, "tensors", rank), records.TENSORS, resumed_at)
        self.classes = ClassesWriter(records.path(folder, "classes", rank), resumed_at)
        self.recording = False
        self.now = (resumed_at or 0) - 1
        self.stepping: Record | None = None  # whose gradients were taken, before the optimiser's step
        self.sent: list[Record] = []
        self.before: Floats | None = None  # samples of the weights in the latest record
        self.losses: list[tuple[Mapping[str, Any], Tensor]] = []
        self.counts = torch.zeros(classes, dtype=torch.int64, device=self.device)
        self.confusion = torch.zeros(classes * classes if classes <= CONFUSED else 0, dtype=torch.int64)
        self.confusion = self.confusion.to(self.device)
        self.threshold = limits.bytes // 2

    def begins(self, step: int) -> bool:
        """Before each forward pass; of the parts of one step, the first is looked at. Is this step recorded?"""
        if step != self.now:
            self.now = step
            self.recording = self.every > 0 and step % self.every == 0
            if self.recording:
                self.layers.look()
        return self.recording

    def gradients(self, scaler: GradScaler | None = None) -> None:
        """After the last backward pass of a step, before anything is clipped, unscaled or stepped."""
        if not self.recording:
            return
        self.layers.rest()
        learning = [(names, weight, weight.grad) for names, weight in self.weights if weight.grad is not None]
        rows = [Row("weight", *names) for names, _ in self.weights] + [
            Row("gradient", *names) for names, *_ in learning
        ]
        taken = [samples.take(weight, kept=True) for _, weight in self.weights]
        taken += [samples.take(gradient, kept=True) for *_, gradient in learning]
        rows, taken = rows + [row for row, _ in self.layers.seen], taken + [each for _, each in self.layers.seen]
        self.layers.seen = []
        if rows:
            self.stepping = Record(self.now, rows, _scale(scaler), samples.sent(taken))

    def stepped(self) -> None:
        """After the optimiser's step."""
        if self.stepping is None:
            return
        stepped = [samples.sampled(samples.flattened(weight.detach())) for _, weight in self.weights]
        after = samples.together(stepped) if stepped else None
        self.sent.append(self.stepping._replace(after=after))
        self.stepping = None
        if self.device.type == "cpu":
            self._receive()

    def shown(self, labels: Tensor) -> None:
        """Of a batch, or of a part of it."""
        self.counts.index_add_(0, labels, torch.ones_like(labels))  # bincount would wait for a GPU

    def step(self, epoch: int, loss: Tensor, lr: float, examples: int, timing: Mapping[str, Any]) -> None:
        """At the end of a step; nothing waits for a GPU but every tenth time. `timing`: the columns of times."""
        row = {"step": self.now, "epoch": epoch, "mode": "train", "lr": lr, "accuracy": math.nan, "examples": examples}
        row = {**row, **timing, "recorded": self.recording}
        if self.device.type == "cpu":
            self.steps.add({**row, "loss": loss.item()})
            return
        self.losses.append((row, loss.detach()))
        if len(self.losses) >= GATHERED:
            self._receive()

    def trained(self, epoch: int) -> None:
        """At the end of an epoch: how often each class was shown."""
        self.classes.add({"step": self.now, "epoch": epoch, "mode": "train", "shown": self.counts.tolist()})
        self.counts.zero_()

    def judged(self, scores: Tensor, labels: Tensor) -> None:
        """Of a batch in validation."""
        self.shown(labels)
        if len(self.confusion):
            self.confusion.index_add_(0, labels * len(self.counts) + scores.argmax(1), torch.ones_like(labels))

    def validated(self, epoch: int, loss: float, accuracy: float, examples: int, timing: Mapping[str, Any]) -> None:
        row = {"step": self.now, "epoch": epoch, "mode": "validation"}
        self._receive()
        self.steps.add({**row, **timing, "loss": loss, "accuracy": accuracy, "lr": math.nan, "examples": examples})
        matrix = {"confusion": self.confusion.view(len(self.counts), -1).tolist()} if len(self.confusion) else {}
        self.classes.add({**row, "shown": self.counts.tolist(), **matrix})
        self.counts.zero_()
        self.confusion.zero_()

    def flush(self) -> None:
        """Now `records.read` sees everything."""
        self._receive()
        self.steps.flush()
        self.tensors.flush()

    def close(self) -> None:
        """Also after an error: a step that began to be recorded, and was not taken, is in the tables."""
        self.layers.rest()
        if self.stepping is not None:
            self.sent.append(self.stepping)
        self._receive()
        for writer in (self.steps, self.tensors, self.classes):
            writer.close()

    def _receive(self) -> None:
        """What is on its way from a GPU."""
        if self.losses:
            values = torch.stack([loss for _, loss in self.losses]).tolist()
            for (row, _), value in zip(self.losses, values, strict=True):
                self.steps.add({**row, "loss": value})
            self.losses = []
        for record in self.sent:
            table, self.before = recorded.columns(record, self.limits, self.before)
            self.tensors.extend(table)
        if self.sent:
            self.sent = []
            self._thin_out()

    def _thin_out(self) -> None:
        """Not at all any more when 1/64 of the limit is left, after seven times the steps that the first half took."""
        written = self.tensors.bytes()
        while self.every and written > self.threshold:
            left = self.limits.bytes - self.threshold
            self.every = 2 * self.every if left > self.limits.bytes // 64 else 0
            self.threshold += left // 2


def _scale(scaler: GradScaler | None) -> float:
    return scaler.get_scale() if scaler is not None and scaler.is_enabled() else 1.0


def _trained(network: nn.Module) -> list[tuple[tuple[str, str], nn.Parameter]]:
    """Name and class of the layer of each parameter that learns; one that layers share has its first name."""
    owners = {id(weight): class_of(layer) for layer in network.modules() for weight in layer.parameters(recurse=False)}
    return [((name, owners[id(weight)]), weight) for name, weight in network.named_parameters() if weight.requires_grad]
