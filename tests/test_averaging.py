"""The moving average follows the weights, and comes back from a checkpoint."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from training import averaging


def network(value: float) -> nn.Module:
    layers = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    for tensor in layers.state_dict().values():
        tensor.fill_(value)
    return layers


def test_without_decay_it_is_the_network_itself() -> None:
    latest = network(1)
    average = averaging.Average(latest, 0)
    average.update(latest)
    assert average.network is latest
    assert average.state_dict() == {}


def test_the_first_updates_follow_fast_and_later_ones_by_the_decay() -> None:
    average, latest = averaging.Average(network(0), 0.9), network(1)
    expected = 0.0
    for update in range(1, 201):
        average.update(latest)
        expected += (1 - expected) * (1 - min(0.9, (1 + update) / (10 + update)))
        if update in (1, 2, 50, 200):
            assert average.network[0].weight[0, 0].item() == pytest.approx(expected, rel=1e-5)
    assert expected > 0.999


def test_statistics_are_averaged_and_counts_are_copied() -> None:
    average = averaging.Average(network(0), 0.5)
    average.update(network(10))
    norm = average.network[1]
    assert norm.running_mean.tolist() == pytest.approx([10 * 9 / 11] * 2)
    assert norm.num_batches_tracked.item() == 10


def test_the_average_is_a_copy_that_no_gradient_reaches() -> None:
    latest = network(1)
    average = averaging.Average(latest, 0.5)
    assert not any(parameter.requires_grad for parameter in average.network.parameters())
    assert all(parameter.requires_grad for parameter in latest.parameters())
    with torch.no_grad():
        latest[0].weight.zero_()
    assert average.network[0].weight[0, 0].item() == 1


def test_a_restored_average_goes_on_as_if_never_interrupted() -> None:
    whole, broken = averaging.Average(network(0), 0.9), averaging.Average(network(0), 0.9)
    for number in range(6):
        whole.update(network(number))
        broken.update(network(number))
        if number == 2:
            state, broken = broken.state_dict(), averaging.Average(network(99), 0.9)
            broken.load_state_dict(state)
    assert torch.equal(whole.network[0].weight, broken.network[0].weight)
