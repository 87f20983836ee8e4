"""Batches on the device: uint8 until they are there, then one augmentation and one normalisation for all of a batch."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from data import Split
from numpy.typing import NDArray
from torch import Tensor

SHIFT = 1 / 10  # of the side, in each direction
EVALUATION_BATCH = 256


class Batches:
    """`mean` and `deviation` are those of the training split, in 0…1 units, from the manifest."""

    def __init__(self, split: Split, device: torch.device) -> None:
        self.split = split
        self.device = device
        self.labels = torch.from_numpy(split.labels).to(device)
        self.mean = torch.tensor(split.manifest["mean"], device=device).mul(255).view(1, 3, 1, 1)
        self.scale = torch.tensor(split.manifest["deviation"], device=device).mul(255).reciprocal().view(1, 3, 1, 1)

    def shuffled(self, size: int, augment: str, random: torch.Generator) -> Iterator[tuple[Tensor, Tensor]]:
        """One epoch. The rest that fills no batch is left to another epoch: batch norm dislikes small batches."""
        count = len(self.split)
        size = min(size, count)
        order = torch.randperm(count, generator=random)
        for start in range(0, count - size + 1, size):
            indices = order[start : start + size]
            pictures = augmented(self._pictures(indices.numpy()), augment, random)
            yield self._normalised(pictures), self.labels[indices.to(self.device)]

    def in_order(self) -> Iterator[tuple[Tensor, Tensor]]:
        for start in range(0, len(self.split), EVALUATION_BATCH):
            indices = np.arange(start, min(start + EVALUATION_BATCH, len(self.split)))
            yield self._normalised(self._pictures(indices)), self.labels[start : start + len(indices)]

    def steps(self, size: int) -> int:
        return max(1, len(self.split) // size)

    def _pictures(self, indices: NDArray[np.int64]) -> Tensor:
        """(n, 3, H, W) views of (n, H, W, 3) memory: channels_last without a copy."""
        return torch.from_numpy(self.split.take(indices)).to(self.device, non_blocking=True).permute(0, 3, 1, 2)

    def _normalised(self, pictures: Tensor) -> Tensor:
        return pictures.float().sub_(self.mean).mul_(self.scale)


def augmented(pictures: Tensor, augment: str, random: torch.Generator) -> Tensor:
    """`random` is a CPU generator: CPU and GPU draw the same. A shift repeats the edges where it uncovers them."""
    match augment:
        case "none":
            return pictures
        case "flip":
            flipped = (torch.rand(len(pictures), generator=random) < 0.5).to(pictures.device)
            return torch.where(flipped[:, None, None, None], pictures.flip(-1), pictures)
        case "shift":
            return _shifted(pictures, random)
        case _:
            raise ValueError(f"unknown augmentation {augment!r}")


def _shifted(pictures: Tensor, random: torch.Generator) -> Tensor:
    count, _, height, width = pictures.shape
    reach = max(1, round(SHIFT * height))
    offsets = torch.randint(-reach, reach + 1, (2, count, 1), generator=random)
    rows = (torch.arange(height) + offsets[0]).clamp_(0, height - 1).to(pictures.device)
    columns = (torch.arange(width) + offsets[1]).clamp_(0, width - 1).to(pictures.device)
    each = torch.arange(count, device=pictures.device)[:, None, None]
    return pictures.permute(0, 2, 3, 1)[each, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)
