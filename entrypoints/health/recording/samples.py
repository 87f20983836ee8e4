"""What is taken of tensors where they lie: what needs all elements, and a sample for the rest; and its way to the CPU.

Over all elements: how many there are, how many are NaN or infinite, and the smallest and the largest of the others.
From the sample, the same elements each time and evenly spread: the rest. Of a normal distribution 1,024 elements know a
mean of |x| to 2.4%, a deviation to 2.2%, a share to 1.6 points at most; what they take for the 5th percentile has 5% of
the tensor below it, give or take 0.7 points. Of longer tails they know less: docs/health.md has what was measured. A
tensor of up to 1,024 elements is its own sample. Everything is computed in float32, whatever a tensor holds.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from health.recording.statistics import FIGURES, Floats, ends
from health.view import SAMPLE

PLACES = 256  # of a layer's maps, in which its channels are looked at


class Taken(NamedTuple):
    """Of one tensor, on its device. Figures: smallest and largest finite value, how many are not finite, are NaN;
    numbers on the CPU, else float64 on the device; None where the sample is all of it, and tells them as well."""

    size: int
    figures: tuple[float, ...] | Tensor | None
    sample: Tensor
    places: Tensor | None  # (places, units)


class Arriving(NamedTuple):
    """A tensor of float32, on its way to the CPU."""

    content: Tensor
    arrival: torch.cuda.Event | None

    def floats(self) -> Floats:
        """Waits for what has not arrived."""
        if self.arrival is not None:
            self.arrival.synchronize()
        floats: Floats = self.content.numpy()
        return floats


class Copy(NamedTuple):
    """Of several tensors, on its way to the CPU, all in one tensor of float32: figures from a device (float64, as two
    float32 each with the same bits), samples, in how many of its places each unit is above 0."""

    counts: NDArray[np.int64]
    known: NDArray[np.bool_]  # of which of them there are figures
    here: list[tuple[float, ...]]  # these, where none are in `content`
    sizes: list[int]  # of the samples
    places: dict[int, tuple[int, int]]  # number of the tensor → places, units
    content: Arriving


class Fetched(NamedTuple):
    """Of several tensors, on the CPU: (tensors, FIGURES), and samples one after another."""

    counts: NDArray[np.int64]
    figures: NDArray[np.float64]
    sizes: NDArray[np.int64]
    content: Floats
    active: dict[int, Floats]  # number of the tensor → share of places in which each unit is above 0


def take(tensor: Tensor, units: bool = False, kept: bool = False) -> Taken:
    """Waits for no GPU. `units`: those of an activation's output are looked at. Shares no memory with `tensor`, but
    where that is `kept` as it is until all is `sent`: so a small one need not be copied twice.

    Between the layers of a network each operation finds the CPU's caches cold, and takes 30 µs: no more than needed.
    """
    tensor = tensor.detach()
    flat, figures = flattened(tensor), None
    if flat.numel() > SAMPLE or flat.dtype is torch.float64:  # whose sample is float32 later on
        figures = _extremes(flat) if flat.device.type == "cpu" else _extremes_there(flat)
    sample = sampled(flat)
    if sample is flat and not kept:
        sample = flat.clone()
    return Taken(flat.numel(), figures, sample, _places(tensor) if units and tensor.dim() > 1 else None)


def rectified(given: Taken, output: Tensor, most: float) -> Taken:
    """What `take` would find in the output of a ReLU that gives at most `most`, by what it was `given`.

    On a GPU, and where not all was finite, nobody knows: `output` is looked at.
    """
    if isinstance(given.figures, Tensor) or (given.figures is not None and given.figures[2]):
        return take(output, units=True)
    figures = given.figures and (*(min(max(end, 0.0), most) for end in given.figures[:2]), 0, 0)
    places = _places(output.detach()) if output.dim() > 1 else None
    return Taken(given.size, figures, given.sample.clamp(0, most), places)


def sent(taken: Sequence[Taken]) -> Copy:
    """By one copy; nothing waits for it here."""
    there = [each.figures for each in taken if isinstance(each.figures, Tensor)]
    here = [each.figures for each in taken if isinstance(each.figures, tuple)]
    figures = [torch.cat(there).view(torch.float32)] if there else []
    known = np.array([each.figures is not None for each in taken], dtype=bool)
    samples = [each.sample for each in taken]
    looked_at = _alike_in_shape({number: each.places for number, each in enumerate(taken) if each.places is not None})
    active = [_positive([places for _, places in group]) for group in looked_at]
    shapes = {number: (places.shape[0], places.shape[1]) for group in looked_at for number, places in group}
    counts = np.array([each.size for each in taken], dtype=np.int64)
    content = together([*figures, *samples, *active])
    return Copy(counts, known, here, [sample.numel() for sample in samples], shapes, content)


def together(pieces: Sequence[Tensor]) -> Arriving:
    """1-d tensors, one after another; no memory is shared with them. At least one."""
    content = torch.cat([each if each.dtype is torch.float32 else each.float() for each in pieces])
    if content.device.type != "cuda":
        return Arriving(content, None)
    content = content.to("cpu", non_blocking=True)  # to pinned memory
    arrival = torch.cuda.Event()  # type: ignore[no-untyped-call]
    arrival.record()
    return Arriving(content, arrival)


def fetched(copy: Copy) -> Fetched:
    """Waits for what has not arrived."""
    content = copy.content.floats()
    split = 0 if copy.here else 2 * FIGURES * int(copy.known.sum())
    sizes, end = np.array(copy.sizes, dtype=np.int64), split + sum(copy.sizes)
    samples = content[split:end]
    figures = ends(samples, sizes)
    if copy.known.any():
        figures[copy.known] = copy.here or content[:split].view(np.float64).reshape(-1, FIGURES)
    active: dict[int, Floats] = {}
    for number, (places, units) in copy.places.items():
        active[number] = np.divide(content[end : end + units], max(1, places), dtype=np.float32)
        end += units
    return Fetched(copy.counts, figures, sizes, samples, active)


def flattened(tensor: Tensor) -> Tensor:
    """In the order of memory: anything else would copy, or be read five times as slowly."""
    if tensor.dim() == 1:
        return tensor
    if tensor.dim() == 4 and tensor.is_contiguous(memory_format=torch.channels_last):
        tensor = tensor.permute(0, 2, 3, 1)
    return tensor.reshape(-1)


def sampled(flat: Tensor) -> Tensor:
    """Of what is 1-d; a small one is its own sample."""
    count = flat.numel()  # a tensor's len() is Python's, and takes 3 µs
    return flat.index_select(0, chosen(count, SAMPLE, flat.device)) if count > SAMPLE else flat


@lru_cache(maxsize=1024)
def chosen(count: int, size: int, device: torch.device) -> Tensor:
    """`size` of `count` places, one of each stretch, drawn once and for ever; nobody else's generator moves."""
    draws = np.random.default_rng(count).random(size)
    places = np.floor((np.arange(size) + draws) * (count / size)).astype(np.int64)
    return torch.from_numpy(np.minimum(places, count - 1)).to(device)


def _extremes(flat: Tensor) -> tuple[float, float, int, int]:
    """One pass over a tensor whose values are all finite."""
    if not flat.numel():
        return math.nan, math.nan, 0, 0
    ends = torch.aminmax(flat)
    low, high = ends.min.item(), ends.max.item()
    if math.isfinite(low) and math.isfinite(high):
        return low, high, 0, 0
    finite = flat[flat.isfinite()]
    low, high = (each.item() for each in torch.aminmax(finite)) if len(finite) else (math.nan, math.nan)
    return low, high, len(flat) - len(finite), int(flat.isnan().sum())


def _extremes_there(flat: Tensor) -> Tensor:
    """On a GPU looking whether all are finite would wait for it, and passes cost next to nothing."""
    finite = flat.isfinite()
    counts = [(~finite).sum(), flat.isnan().sum()]
    if not len(flat):
        return torch.tensor([math.nan, math.nan, 0.0, 0.0], dtype=torch.float64, device=flat.device)
    low = flat.where(finite, math.inf).amin()
    high = flat.where(finite, -math.inf).amax()
    none = low > high
    ends = [end.double().where(~none, math.nan) for end in (low, high)]
    return torch.stack([*ends, *(count.double() for count in counts)])


def _places(output: Tensor) -> Tensor:
    """Up to 256 pictures and places of the maps, with all units: channels, or what stands in their place."""
    units = output.movedim(1 if output.dim() in (2, 4, 5) else -1, -1)
    rows = units.reshape(units.shape[:-1].numel(), units.shape[-1])  # there may be no units
    count = rows.shape[0]
    return rows.index_select(0, chosen(count, PLACES, rows.device)) if count > PLACES else rows.clone()


def _alike_in_shape(places: Mapping[int, Tensor]) -> list[list[tuple[int, Tensor]]]:
    groups: dict[tuple[Any, ...], list[tuple[int, Tensor]]] = {}
    for number, each in places.items():
        groups.setdefault((each.shape, each.dtype), []).append((number, each))
    return list(groups.values())


def _positive(places: Sequence[Tensor]) -> Tensor:
    """Of places of several layers with as many units, one layer after another.

    Bits of a positive number are a positive number, and compared ten times as fast as bfloat16 on a CPU.
    """
    every = torch.stack(list(places))
    bits = every.view(torch.int16) if every.element_size() == 2 else every
    return (bits > 0).sum(1, dtype=torch.int32).flatten()
