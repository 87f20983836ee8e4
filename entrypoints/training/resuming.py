"""Where a training stands, and its way into a checkpoint and back: it goes on as if it had never been interrupted."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

import manifest
import neighbours
import torch
from torch import Tensor

from training import checkpoints, hyperparameters, progress
from training.distributed import World
from training.interruption import Interrupted, Interruption
from training.progress import Epoch

ASKED_EVERY = 10  # steps between two questions to the first rank, whose answer all others have to wait for


class Part(Protocol):
    def state_dict(self) -> Any: ...
    def load_state_dict(self, state_dict: Any) -> Any: ...


class Position(NamedTuple):
    """Of the step that comes next: `step` of `epoch`, with the epoch's losses so far and the epochs before it."""

    epoch: int
    step: int
    total: Tensor
    epochs: list[Epoch]


class Resumable:
    """`parts` are loaded in place. `order` is replayed from its epoch's beginning, as batches are drawn ahead."""

    def __init__(
        self,
        args: argparse.Namespace,
        parts: Mapping[str, Part],
        generators: tuple[torch.Generator, torch.Generator],
        world: World,
        interruption: Interruption,
    ) -> None:
        """`generators`: of the order, and of mixing."""
        self.interruption = interruption
        self.leaving = False
        self.folder = args.checkpoint_dir
        self.world = world
        self.mark = _fingerprint(args, world.size) if self.folder else {}
        self.passed = checkpoints.every(args.checkpoint_minutes)
        self.asked = 0
        self.parts = dict(parts)
        self.order, self.mixing = generators
        self.begun = self.order.get_state()

    def resume(self, device: torch.device) -> Position:
        """The first step of all when there is no checkpoint of this very training."""
        found = self.world.agreed(lambda: checkpoints.resume(self.folder, self.mark))
        if found is None:
            return Position(1, 0, torch.zeros((), device=device), [])
        for name, part in self.parts.items():
            part.load_state_dict(found[name])
        checkpoints.set_random_states(found["random"][self.world.rank], order=self.order, mixing=self.mixing)
        self.begun = self.order.get_state()
        return Position(
            found["epoch"], found["step"], found["total"].to(device), [Epoch(**row) for row in found["epochs"]]
        )

    def begin(self) -> None:
        """At the beginning of each epoch, before anything is drawn."""
        self.begun = self.order.get_state()
        self.interruption.waits = True

    def due(self) -> bool:
        """At each step, and the same on all ranks. An interruption ends the training: at once, or in `save`."""
        self.asked += 1
        if not self.folder:
            self.interruption.end()
            return False
        if self.world.size > 1 and self.asked % ASKED_EVERY:
            return False
        self.leaving, due = self.world.agreed(lambda: (self.interruption.came, self.passed()))
        return self.leaving or due

    def save(self, position: Position) -> None:
        """Between two steps of the optimiser: gradients are not kept. All ranks call it, and the first one writes."""
        if not self.folder:
            return
        random = checkpoints.random_states(order=self.order, mixing=self.mixing)
        random["generators"]["order"] = self.begun
        every = self.world.gathered([random])
        if self.world.first:
            self._write(position, every)
        if self.leaving:
            progress.say(f"interrupted by SIGTERM: the checkpoint is of epoch {position.epoch}, step {position.step}")
            self.world.agreed(lambda: None)  # nobody leaves before it is written
            raise Interrupted

    def _write(self, position: Position, random: list[dict[str, Any]]) -> None:
        state = {**position._asdict(), "epochs": [row._asdict() for row in position.epochs], "random": random}
        parts = {name: part.state_dict() for name, part in self.parts.items()}
        checkpoints.save(self.folder, self.mark, {**state, **parts})

    def remove(self) -> None:
        checkpoints.remove(self.folder)


def _fingerprint(args: argparse.Namespace, world: int) -> dict[str, str]:
    settings = {name: getattr(args, name) for name in hyperparameters.NAMES}
    data = {"train": args.train_dir / manifest.NAME, "validation": args.validation_dir / manifest.NAME}
    for channel in filter(None, (args.weights_dir, args.warm_start_dir)):
        files = sorted(channel.iterdir()) if channel.is_dir() else [channel]
        data |= {f"to start from: {path.name}": path for path in files if path.is_file()}
    data |= {f"own network: {name}": path for name, path in neighbours.files().items()}
    return checkpoints.fingerprint(settings, data, world)
