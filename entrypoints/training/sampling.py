"""The order in which an epoch shows the pictures."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def order(labels: NDArray[np.int64], sampling: str, random: torch.Generator) -> Tensor:
    """As many indices as there are labels. shuffled: each once. balanced: each class equally often, give or take one.

    A large class then shows a part of its pictures, others in each epoch; a small one shows all of them before any
    comes again.
    """
    match sampling:
        case "shuffled":
            return torch.randperm(len(labels), generator=random)
        case "balanced":
            return _balanced(labels, random)
        case _:
            raise ValueError(f"unknown sampling {sampling!r}")


def _balanced(labels: NDArray[np.int64], random: torch.Generator) -> Tensor:
    """Classes without pictures take no part. Those that get one more are drawn."""
    members = [torch.from_numpy(np.flatnonzero(labels == label)) for label in np.unique(labels)]
    quota, rest = divmod(len(labels), len(members))
    favoured = set(torch.randperm(len(members), generator=random)[:rest].tolist())
    shown = [_drawn(group, quota + (number in favoured), random) for number, group in enumerate(members)]
    drawn = torch.cat(shown)
    return drawn[torch.randperm(len(drawn), generator=random)]


def _drawn(group: Tensor, count: int, random: torch.Generator) -> Tensor:
    rounds = -(-count // len(group))
    return torch.cat([group[torch.randperm(len(group), generator=random)] for _ in range(rounds)])[:count]
