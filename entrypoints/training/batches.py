"""Batches on the device: uint8 until they are there, then one augmentation and one normalisation for all of a batch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

import numpy as np
import torch
from data import Split
from numpy.typing import NDArray
from refusal import Refusal
from torch import Tensor

from training import sampling
from training.distributed import ALONE, World

SHIFT = 1 / 10  # of the side, in each direction, where the stored squares have no margin
AUGMENTATIONS = ("none", "shift", "flip")
EVALUATION_BATCH = 256
Read = TypeVar("Read")
Lap = Callable[[str], None]  # a clock's: all that passed since the one before belongs to this part


def unclocked(part: str) -> None:
    """The lap of a loop without a clock."""


class Batches:
    """`mean` and `deviation` are those of the training split, in 0…1 units, from the manifest."""

    def __init__(self, split: Split, device: torch.device, world: World = ALONE) -> None:
        self.split = split
        self.device = device
        self.world = world
        self.labels = torch.from_numpy(split.labels).to(device)
        # One value for each of a row of pixels: 0.33 ms a picture of 224 px, 0.45 where three are spread over them.
        self.mean = torch.tensor(split.manifest["mean"], device=device).mul(255).repeat(split.image_size)
        deviation = torch.tensor(split.manifest["deviation"], device=device)
        self.scale = deviation.mul(255).reciprocal().repeat(split.image_size)

    def shuffled(
        self,
        size: int,
        augment: str,
        random: torch.Generator,
        sampled: str = "shuffled",
        first: int = 0,
        lap: Lap = unclocked,
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """One epoch: of each batch of `size`, what belongs to this rank, as if one process drew it and shared it out.

        The rest that fills no batch is left to another epoch: batch norm dislikes small batches. A resumed training
        goes on at batch `first`: what comes before it is drawn as ever, and not read. `lap` is a clock's: the way to
        the device is a part of its own, all else here is waiting for data.
        """
        count, side = len(self.split), self.split.image_size
        size = min(size, count)
        own = self.world.own(size)
        order = sampling.order(self.split.labels, sampled, random)
        reading = (
            self._reading(order[start : start + size], augment, random, own if start >= first * size else slice(0))
            for start in range(0, count - size + 1, size)
        )
        for number, (pixels, indices) in enumerate(_one_ahead(reading)):
            offsets, mirrored = drawn(size, side, augment, self.split.margin > 0, random)
            if number >= first:
                changes = None if offsets is None else offsets[:, own], None if mirrored is None else mirrored[own]
                lap("data_wait")
                there, labels = self._on_device(pixels), self.labels[indices.to(self.device, non_blocking=True)]
                lap("transfer")
                yield self._normalised(augmented(there, *changes)), labels

    def in_order(self) -> Iterator[tuple[Tensor, Tensor]]:
        """The centres of this rank's part of all pictures."""
        own = self.world.own(len(self.split))
        starts = range(own.start, own.stop, EVALUATION_BATCH)
        reading = (partial(self._centred, start, min(start + EVALUATION_BATCH, own.stop)) for start in starts)
        for start, pixels in zip(starts, _one_ahead(reading), strict=True):
            yield self._normalised(self._on_device(pixels)), self.labels[start : start + len(pixels)]

    def steps(self, size: int) -> int:
        return max(1, len(self.split) // size)

    def _reading(
        self, indices: Tensor, augment: str, random: torch.Generator, own: slice
    ) -> Callable[[], tuple[Tensor, Tensor]]:
        """Draws its crops now, reads when it is called."""
        tops, lefts = corners(len(indices), self.split.margin, augment, random).numpy()
        return lambda: (
            self._ready(self.split.crops(indices[own].numpy(), tops[own], lefts[own], self.split.image_size)),
            indices[own],
        )

    def _centred(self, start: int, stop: int) -> Tensor:
        return self._ready(self.split.centred(start, stop))

    def _ready(self, pixels: NDArray[np.uint8]) -> Tensor:
        """Where a GPU can fetch them while the program goes on: from other memory, a copy first waits for the GPU."""
        read = torch.from_numpy(pixels)
        return read.pin_memory() if self.device.type == "cuda" else read

    def _on_device(self, pixels: Tensor) -> Tensor:
        """(n, 3, H, W) views of (n, H, W, 3) memory: channels_last without a copy."""
        return pixels.to(self.device, non_blocking=True).permute(0, 3, 1, 2)

    def _normalised(self, pictures: Tensor) -> Tensor:
        pixels = pictures.permute(0, 2, 3, 1)
        rows = pixels.reshape(-1, len(self.mean)).float().sub_(self.mean).mul_(self.scale)
        return rows.view(pixels.shape).permute(0, 3, 1, 2)


def class_weights(wanted: str, training: Split, device: torch.device) -> Tensor | None:
    """balanced: those that PrepareData counted, n / (classes * n of the class); the loss is a weighted mean of a batch.

    A class without pictures has no say there, whatever its weight is.
    """
    if wanted == "none":
        return None
    weights = torch.tensor(training.manifest["class_weights"], device=device)
    missing = np.setdiff1d(training.labels, np.flatnonzero(training.manifest["class_weights"]))
    if len(missing):
        raise Refusal(
            f"{training.folder}: class {training.classes[missing[0]]!r} has pictures and the weight 0 in the manifest: "
            "run PrepareData again, or set class_weights to none"
        )
    return weights


def corners(count: int, margin: int, augment: str, random: torch.Generator) -> Tensor:
    """(2, count) tops and lefts of the crops: the centre for none, else anywhere within the margin."""
    if augment == "none" or margin == 0:
        return torch.full((2, count), margin // 2)
    return torch.randint(0, margin + 1, (2, count), generator=random)


def drawn(
    count: int, side: int, augment: str, cropped: bool, random: torch.Generator
) -> tuple[Tensor | None, Tensor | None]:
    """For `augmented`: shifts down and right, (2, count, 1), and which pictures to mirror; None: no such change.

    `random` is a CPU generator: CPU and GPU draw the same. What was cropped at random is not shifted as well.
    """
    if augment not in AUGMENTATIONS:
        raise ValueError(f"unknown augmentation {augment!r}")
    reach = max(1, round(SHIFT * side))
    shifts = augment != "none" and not cropped
    offsets = torch.randint(-reach, reach + 1, (2, count, 1), generator=random) if shifts else None
    return offsets, torch.rand(count, generator=random) < 0.5 if augment == "flip" else None


def augmented(pictures: Tensor, offsets: Tensor | None, mirrored: Tensor | None) -> Tensor:
    """`pictures` may be changed."""
    if offsets is not None:
        pictures = _shifted(pictures, offsets)
    if mirrored is not None:
        chosen = torch.nonzero(mirrored)[:, 0].to(pictures.device, non_blocking=True)
        pictures[chosen] = pictures[chosen].flip(-1)
    return pictures


def _shifted(pictures: Tensor, offsets: Tensor) -> Tensor:
    """A shift repeats the edges where it uncovers them."""
    count, _, height, width = pictures.shape
    rows = (torch.arange(height) + offsets[0]).clamp_(0, height - 1).to(pictures.device, non_blocking=True)
    columns = (torch.arange(width) + offsets[1]).clamp_(0, width - 1).to(pictures.device, non_blocking=True)
    each = torch.arange(count, device=pictures.device)[:, None, None]
    return pictures.permute(0, 2, 3, 1)[each, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def _one_ahead(reading: Iterable[Callable[[], Read]]) -> Iterator[Read]:
    """Reads the next batch while this one is worked on; draws stay in the order of the batches."""
    with ThreadPoolExecutor(1, thread_name_prefix="reading") as reader:
        ahead = None
        for work in reading:
            ready, ahead = ahead, reader.submit(work)
            if ready is not None:
                yield ready.result()
        if ahead is not None:
            yield ahead.result()
