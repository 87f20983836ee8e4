"""Statistics of tensors: what needs all elements is taken where a tensor lies, the rest from a sample, on the CPU.

Over all elements: how many there are, how many are NaN or infinite, and the smallest and the largest of the others.
From the sample, the same elements each time and evenly spread: the rest. A sample of 4,096 knows a mean of |x| to about
1.2% (of a normal distribution), a share to 0.8%; a tensor of up to 4,096 elements is its own sample. Values that are
not finite are counted and belong to no other figure. Everything is computed in float32, whatever a tensor holds.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

SAMPLE = 4096  # elements
PLACES = 256  # of a layer's maps, in which its channels are looked at
FIGURES = 5  # what is taken of a tensor besides its sample
EPSILON = 1e-9  # WeightUpdateRatio's
RTOL, ATOL = 1e-5, 1e-8  # UnchangedTensor's
Floats = NDArray[np.float32]
Described = dict[str, NDArray[np.float64]]


class Taken(NamedTuple):
    """Of one tensor, on its device. Figures: smallest and largest finite value, not finite, NaN, share of idle units;
    numbers on the CPU, else float64 on the device."""

    size: int
    figures: tuple[float, ...] | Tensor
    sample: Tensor


class Copy(NamedTuple):
    """Of several tensors, on its way to the CPU: their figures, as pairs of float32 with the same bits, and samples."""

    counts: NDArray[np.int64]
    sizes: list[int]  # of the samples
    content: Tensor
    arrival: torch.cuda.Event | None


class Fetched(NamedTuple):
    """Of several tensors, on the CPU."""

    counts: NDArray[np.int64]
    figures: NDArray[np.float64]  # (tensors, FIGURES)
    samples: list[Floats]  # and those that were sent alone


@torch.no_grad()
def take(tensor: Tensor, active: float | None = None) -> Taken:
    """Shares no memory with `tensor`, and waits for no GPU.

    `active`: the share of places in which a unit of an activation's output has to be above 0, or it is idle.
    """
    tensor = tensor.detach()
    flat = flattened(tensor)
    extremes = _extremes(flat) if flat.device.type == "cpu" else _extremes_there(flat)
    idle = math.nan if active is None or not len(flat) else idle_share(tensor, active)
    if isinstance(extremes, Tensor):
        last = torch.as_tensor(idle, dtype=torch.float64, device=flat.device).view(1)
        return Taken(len(flat), torch.cat([extremes, last]), sampled(flat))
    return Taken(len(flat), (*extremes, float(idle)), sampled(flat))


def sent(taken: Sequence[Taken], alone: Sequence[Tensor] = ()) -> Copy:
    """By one copy; nothing waits for it here. `alone`: samples of tensors of which nothing else is wanted."""
    samples = [*(each.sample for each in taken), *alone]
    there = [each.figures for each in taken if isinstance(each.figures, Tensor)]
    here = [each.figures for each in taken if isinstance(each.figures, tuple)]
    figures = torch.cat(there) if there else torch.tensor(here, dtype=torch.float64).flatten()
    content = torch.cat([figures.view(torch.float32), *samples])
    arrival = None
    if content.device.type == "cuda":
        content = content.to("cpu", non_blocking=True)  # to pinned memory
        arrival = torch.cuda.Event()  # type: ignore[no-untyped-call]
        arrival.record()
    counts = np.array([each.size for each in taken], dtype=np.int64)
    return Copy(counts, [len(sample) for sample in samples], content, arrival)


def fetched(copy: Copy) -> Fetched:
    """Waits for what has not arrived."""
    if copy.arrival is not None:
        copy.arrival.synchronize()
    split = 2 * FIGURES * len(copy.counts)
    figures = copy.content[:split].view(torch.float64).numpy().reshape(-1, FIGURES)
    ends = np.cumsum([split, *copy.sizes])
    samples = [copy.content[start:end].numpy() for start, end in itertools.pairwise(ends.tolist())]
    return Fetched(copy.counts, figures, samples)


def flattened(tensor: Tensor) -> Tensor:
    """In the order of memory: anything else would copy, or be read five times as slowly."""
    if tensor.dim() == 4 and tensor.is_contiguous(memory_format=torch.channels_last):
        tensor = tensor.permute(0, 2, 3, 1)
    return tensor.reshape(-1)


def sampled(flat: Tensor) -> Tensor:
    """In float32, and a copy. `flat` is 1-d."""
    if len(flat) > SAMPLE:
        return flat.index_select(0, chosen(len(flat), SAMPLE, flat.device)).float()
    return flat.to(torch.float32, copy=True)


@lru_cache(maxsize=1024)
def chosen(count: int, size: int, device: torch.device) -> Tensor:
    """`size` of `count` places, one of each stretch, drawn once and for ever; nobody else's generator moves."""
    draws = np.random.default_rng(count).random(size)
    places = np.floor((np.arange(size) + draws) * (count / size)).astype(np.int64)
    return torch.from_numpy(np.minimum(places, count - 1)).to(device)


def idle_share(output: Tensor, active: float) -> Tensor:
    """Share of units (of maps: channels) above 0 in less than this share of up to 256 places and pictures."""
    if output.dim() == 0:
        return torch.full((), math.nan)
    channel = 1 if output.dim() in (2, 4, 5) else -1
    units = output.movedim(channel, -1)
    rows = units.reshape(-1, units.shape[-1])
    if len(rows) > PLACES:
        rows = rows.index_select(0, chosen(len(rows), PLACES, rows.device))
    return ((rows > 0).sum(0) < active * len(rows)).double().mean()


def described(fetched: Fetched) -> Described:
    """A column of the table for each statistic."""
    low, high, non_finite, nan, idle = fetched.figures.T
    columns = {"count": fetched.counts, "min": low, "max": high, "non_finite": non_finite, "nan": nan}
    found = {name: np.full(len(low), math.nan) for name in ("mean", "mean_abs", "std", "p5", "p95", "zero_share")}
    for rows, matrix in _alike(fetched.samples):
        for name, values in _moments(matrix).items():
            found[name][rows] = values
    _nearly_zero(found["zero_share"], columns)
    return {**columns, **found, "idle_share": idle}


def ratio(before: Floats, after: Floats) -> float:
    """Length of the update to length of the weights."""
    known = np.isfinite(before) & np.isfinite(after)
    was, now = before[known].astype(np.float64), after[known].astype(np.float64)
    return float(np.linalg.norm(now - was) / (np.linalg.norm(was) + EPSILON)) if len(was) else math.nan


def change(before: Floats | None, after: Floats) -> float:
    """The largest of |x - before| / (atol + rtol |before|): at most 1 where numpy.allclose would say equal."""
    if before is None or len(before) != len(after) or not len(after):
        return math.nan
    with np.errstate(invalid="ignore", over="ignore"):
        moved = np.abs(after - before) / (np.float32(ATOL) + np.float32(RTOL) * np.abs(before))
    moved[np.isnan(moved)] = 0 if np.array_equal(before, after, equal_nan=True) else math.inf
    return float(moved.max())


def share(sample: Floats, low: float, high: float) -> tuple[float, float]:
    """Of the finite values: below `low`, above `high`."""
    values = sample[np.isfinite(sample)]
    return (float((values < low).mean()), float((values > high).mean())) if len(values) else (math.nan, math.nan)


def _extremes(flat: Tensor) -> tuple[float, float, int, int]:
    """One pass over a tensor whose values are all finite."""
    if not len(flat):
        return math.nan, math.nan, 0, 0
    low, high = (each.item() for each in torch.aminmax(flat))
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


def _alike(samples: list[Floats]) -> list[tuple[list[int], Floats]]:
    """Samples with equally many finite values as rows of one matrix, with their numbers."""
    groups: dict[int, list[int]] = {}
    finite = [sample if np.isfinite(sample).all() else sample[np.isfinite(sample)] for sample in samples]
    for number, sample in enumerate(finite):
        groups.setdefault(len(sample), []).append(number)
    return [(rows, np.stack([finite[row] for row in rows])) for size, rows in groups.items() if size]


def _moments(matrix: Floats) -> Described:
    """Of each row. Rows are scaled to at most 1: squares of float32 neither overflow nor vanish."""
    matrix.sort(axis=1)
    count = matrix.shape[1]
    scale = np.maximum(-matrix[:, 0], matrix[:, -1])
    scale[scale == 0] = 1
    zero = np.count_nonzero(matrix == 0, axis=1) / count
    p5, p95 = (_percentile(matrix, part) for part in (0.05, 0.95))
    matrix /= scale[:, None]
    ones = np.full(count, 1 / count, dtype=np.float32)
    mean = matrix @ ones
    matrix_abs = np.abs(matrix) @ ones
    matrix -= mean[:, None]
    deviation = np.sqrt(np.einsum("ij,ij->i", matrix, matrix) / count)
    return {
        "mean": mean * scale, "mean_abs": matrix_abs * scale, "std": deviation * scale, "p5": p5, "p95": p95,
        "zero_share": zero,
    }  # fmt: skip


def _percentile(rows: Floats, part: float) -> NDArray[np.float64]:
    """Of sorted rows, between two elements as numpy.percentile does it."""
    place = part * (rows.shape[1] - 1)
    lower = math.floor(place)
    upper = min(lower + 1, rows.shape[1] - 1)
    first, second = rows[:, lower].astype(np.float64), rows[:, upper].astype(np.float64)
    return first + (second - first) * (place - lower)


def _nearly_zero(share: NDArray[np.float64], columns: Described) -> None:
    """Where the extremes know of another value, a sample of zeros is not the whole tensor."""
    other = (share == 1) & ((columns["min"] < 0) | (columns["max"] > 0))
    share[other] = np.minimum(1 - 1 / columns["count"][other], 1 - 2.0**-24)
