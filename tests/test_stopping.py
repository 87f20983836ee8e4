"""Early stopping waits as long as it was told, and gives back the best epoch's weights."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from training import stopping


def epochs(patience: int, losses: list[float]) -> tuple[int, int, float]:
    """Epochs that were run, the epoch that was kept, and its weight: the epoch's own number."""
    best, network = stopping.Best(patience), nn.Linear(1, 1)
    for epoch, loss in enumerate(losses, start=1):
        nn.init.constant_(network.weight, epoch)
        if best.stops(epoch, loss, network):
            break
    return epoch, best.restore(network), network.weight.item()


def test_patience_0_runs_to_the_end_and_keeps_the_last() -> None:
    assert epochs(0, [1, 5, 9]) == (3, 3, 3.0)


@pytest.mark.parametrize(
    ("patience", "losses", "expected"),
    [
        (1, [3, 2, 2.5, 1], (3, 2, 2.0)),
        (2, [3, 2, 2.5, 1], (4, 4, 4.0)),
        (2, [3, 2, 2, 2, 1], (4, 2, 2.0)),
        (5, [3, 1, 2], (3, 2, 2.0)),
        (1, [3, math.nan, 1], (2, 1, 1.0)),
    ],
)
def test_the_best_epoch_is_kept_and_patience_counts_from_it(
    patience: int, losses: list[float], expected: tuple[int, int, float]
) -> None:
    assert epochs(patience, losses) == expected


def test_a_restored_one_remembers_the_best() -> None:
    first, second, network = stopping.Best(2), stopping.Best(2), nn.Linear(1, 1)
    nn.init.constant_(network.weight, 7)
    first.stops(1, 0.5, network)
    second.load_state_dict(first.state_dict())
    nn.init.constant_(network.weight, 8)
    assert not second.stops(2, 0.6, network)
    assert second.stops(3, 0.6, network)
    assert second.restore(network) == 1
    assert torch.equal(network.weight, torch.full((1, 1), 7.0))
