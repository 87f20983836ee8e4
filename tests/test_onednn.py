"""The network as the server runs it on CPUs: other layers, the same words."""

from __future__ import annotations

from contextlib import redirect_stderr
from io import StringIO

import model
import pytest
import torch
from serving import onednn
from torch import Tensor, nn


def stirred(network: nn.Module) -> nn.Module:
    """In evaluation mode, with statistics and weights of batch norm that a training could have left."""
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.running_mean.normal_(0, 0.3)  # type: ignore[union-attr]
            layer.running_var.uniform_(0.5, 2)  # type: ignore[union-attr]
            nn.init.uniform_(layer.weight, 0.5, 1.5)
            nn.init.normal_(layer.bias, 0, 0.3)
    return network.eval().to(memory_format=torch.channels_last)


def pictures(count: int = 3, side: int = 32) -> Tensor:
    return torch.randn(count, side, side, 3).permute(0, 3, 1, 2)


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


def left(network: nn.Module, *kinds: type[nn.Module]) -> list[str]:
    return [name for name, layer in network.named_modules() if type(layer) in kinds]


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v3_small", "mobilenet_v2", "squeezenet1_1", "densenet121"])
@torch.inference_mode()
def test_a_rewritten_network_says_the_same_of_one_picture_and_of_several(name: str) -> None:
    network, asked = stirred(model.build(name, 5)), pictures(side=64)
    before = network.state_dict()
    other, expected = onednn.rewritten(network, asked[:1]), network(asked)
    assert left(other, onednn.Layer)
    for count in (1, 3):
        assert torch.allclose(other(asked[:count]), expected[:count], rtol=1e-4, atol=1e-5)
    assert torch.equal(network(asked), expected)
    assert network.state_dict().keys() == before.keys()


@torch.inference_mode()
def test_batch_norm_sums_and_activations_of_a_residual_network_go_into_its_convolutions() -> None:
    other = onednn.rewritten(stirred(model.build("resnet18", 5)), pictures(1))
    assert len(left(other, onednn.Layer)) == 20
    assert left(other, nn.Conv2d, nn.BatchNorm2d, nn.ReLU) == []


class Twice(nn.Module):
    """A convolution called twice, one whose map is used twice, and a sum of maps of two sizes."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.third = (nn.Conv2d(3, 3, 3, padding=1) for _ in range(3))
        self.norm, self.pool = nn.BatchNorm2d(3), nn.AdaptiveAvgPool2d(1)

    def forward(self, maps: Tensor) -> Tensor:
        maps = self.first(self.first(maps))
        maps = self.norm(maps) + maps
        maps = self.second(maps).relu() + self.third(maps[:, :, :1, :1])
        return self.pool(maps).flatten(1)


@torch.inference_mode()
def test_what_is_used_twice_or_of_two_sizes_stays_right() -> None:
    network, asked = stirred(Twice()), pictures()
    assert torch.allclose(onednn.rewritten(network, asked[:1])(asked), network(asked), rtol=1e-4, atol=1e-6)


class Looking(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(3, 2, 32)

    def forward(self, maps: Tensor) -> Tensor:
        return self.layer(maps).flatten(1) if maps.mean() < 9 else maps


class Noisy(Looking):
    def forward(self, maps: Tensor) -> Tensor:
        return self.layer(maps).flatten(1) + torch.randn(2)


class Learning(Looking):
    """Whose batch norm goes on learning, whatever it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(2)

    def forward(self, maps: Tensor) -> Tensor:
        return self.norm(self.layer(maps)).flatten(1)

    def train(self, mode: bool = True) -> Learning:
        self.norm.train()
        return self


CANNOT = {Looking: "as torch has it: TraceError", Noisy: "do not say the same", Learning: "AssertionError"}


@pytest.mark.parametrize(("kind", "words"), CANNOT.items())
def test_a_network_that_cannot_be_rewritten_is_kept_and_the_log_says_why(kind: type[nn.Module], words: str) -> None:
    network = stirred(kind())
    with redirect_stderr(StringIO()) as log:
        assert onednn.fastest(network, pictures(2)) is network
    assert words in log.getvalue()


def slower(network: nn.Module, by: float, threads: list[int] | None = None) -> onednn.Clock:
    """A clock by which this very network takes so many times as long as any other."""

    def clock(timed: nn.Module, asked: Tensor) -> float:
        assert len(asked) == 1
        if threads is not None:
            threads.append(torch.get_num_threads())
        return by if timed is network else 1.0

    return clock


@pytest.mark.parametrize(("by", "kept"), [(1.2, False), (1.0, True), (0.8, True)])
def test_the_rewritten_network_is_taken_where_it_is_faster(by: float, kept: bool) -> None:
    network = stirred(Twice())
    found = onednn.fastest(network, pictures(2), clock=slower(network, by))
    assert (found is network) is kept
    assert bool(left(found, onednn.Layer)) is not kept


@pytest.mark.parametrize("asked", [1, 2])
def test_it_is_made_for_so_many_threads_and_the_callers_are_what_they_were(asked: int) -> None:
    network, threads, before = stirred(Twice()), [], torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        onednn.fastest(network, pictures(2), asked, slower(network, 1.0, threads))
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)
    assert set(threads) == {asked}
