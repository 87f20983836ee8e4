"""Grad-CAM finds the place that decided, in networks that have one, and says nothing of others."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from evaluation import gradcam
from torch import Tensor, nn
from torchvision.models import get_model

ZERO = np.zeros(2, np.int64)


class Brightness(nn.Sequential):
    """Class 0 for what is bright anywhere, by one convolution that is known."""

    def __init__(self, weight: float = 1.0, bias: float = 0.0) -> None:
        convolution, head = nn.Conv2d(3, 1, 3, padding=1), nn.Linear(1, 2)
        nn.init.constant_(convolution.weight, weight)
        nn.init.constant_(convolution.bias, bias)
        nn.init.ones_(head.weight)
        super().__init__(convolution, nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d(1), nn.Flatten(), head)


def spot(row: int, column: int) -> Tensor:
    picture = torch.zeros(3, 16, 16)
    picture[:, row : row + 3, column : column + 3] = 1
    return picture


def test_the_map_is_hottest_where_the_evidence_is() -> None:
    found = gradcam.maps(Brightness(), torch.stack([spot(2, 10), spot(11, 3)]), ZERO)
    assert found is not None
    hottest = [np.unravel_index(int(cells.argmax()), cells.shape) for cells in found.cells if cells is not None]
    assert hottest == [(3, 11), (12, 4)]
    assert all(cells.min() == 0 and cells.max() == 1 for cells in found.cells if cells is not None)


@pytest.mark.parametrize(
    ("network", "picture"),
    [
        (Brightness(), torch.zeros(3, 16, 16)),  # nothing to see
        (Brightness(weight=0.0, bias=1.0), spot(2, 2)),  # the same everywhere
        (Brightness(weight=-1.0), spot(2, 2)),  # evidence against alone
        (Brightness(weight=float("nan")), spot(2, 2)),
    ],
)
def test_a_map_without_a_place_is_none(network: nn.Module, picture: Tensor) -> None:
    found = gradcam.maps(network, picture[None], ZERO[:1])
    assert found is not None
    assert found.cells == [None]
    assert found.size is None


@pytest.mark.parametrize(
    ("name", "size", "layer", "cells"),
    [
        ("resnet18", 128, "layer4", [4, 4]),  # with the sum and the ReLU that follow the last convolution
        ("resnet18", 32, "layer2", [4, 4]),  # what comes later has fewer than 4 cells
        ("mobilenet_v3_small", 128, "features", [4, 4]),  # not the squeezed 1 x 1 maps inside
        ("squeezenet1_1", 96, None, [5, 5]),
        ("shufflenet_v2_x0_5", 128, "conv5", [4, 4]),
    ],
)
def test_the_last_convolution_is_found(name: str, size: int, layer: str | None, cells: list[int]) -> None:
    torch.manual_seed(0)
    network = get_model(name, weights=None, num_classes=3).eval()
    found = gradcam.maps(network, torch.rand(2, 3, size, size), ZERO)
    assert found is not None
    assert layer in (None, found.layer)
    assert found.size in (cells, None)


def test_a_vision_transformer_has_no_last_convolution() -> None:
    network = get_model("vit_b_32", weights=None, num_classes=3, image_size=128).eval()
    assert gradcam.maps(network, torch.rand(1, 3, 128, 128), ZERO[:1]) is None


def test_a_network_without_convolutions_and_one_that_sees_too_coarsely_have_none() -> None:
    dense = nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 16, 2))
    coarse = nn.Sequential(nn.Conv2d(3, 2, 8, stride=8), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    for network in (dense, coarse):
        assert gradcam.maps(network, torch.rand(2, 3, 16, 16), ZERO) is None


def test_the_map_is_the_papers_formula() -> None:
    """Each channel counts by its mean gradient, here the head's own weights; what speaks against the class is cut."""
    torch.manual_seed(1)
    head = nn.Linear(4 * 6 * 6, 2)
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Flatten(), head)
    picture = torch.randn(1, 3, 6, 6)
    found = gradcam.maps(network, picture, np.array([1]))
    assert found is not None
    with torch.no_grad():
        weights = head.weight[1].view(4, 6, 6).mean((1, 2))
        whole = (weights[:, None, None] * network[0](picture)[0]).sum(0)
    assert whole.min() < 0 < whole.max()
    assert np.allclose(found.cells[0], (whole.relu() / whole.max()).numpy(), atol=1e-5)


def test_patches_that_become_a_sequence_are_no_last_convolution() -> None:
    """As in an MLP-mixer, which has no attention."""
    patches = nn.Sequential(
        nn.Conv2d(3, 4, 4, stride=4), nn.Flatten(2), nn.Linear(16, 8), nn.Flatten(), nn.Linear(32, 2)
    )
    assert gradcam.maps(patches, torch.rand(1, 3, 16, 16), ZERO[:1]) is None


def test_frozen_layers_are_followed_and_the_network_is_left_as_it_was() -> None:
    network = Brightness().requires_grad_(False)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    found = gradcam.maps(network, spot(4, 4)[None], ZERO[:1])
    assert found is not None
    assert found.cells[0] is not None
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())
    assert all(parameter.grad is None for parameter in network.parameters())
    assert not any(module._forward_hooks for module in network.modules())


class InPlace(Brightness):
    """Works without gradients, and changes the very pictures that it is given."""

    def forward(self, pictures: Tensor) -> Tensor:
        return super().forward(pictures.mul_(2))


def test_a_network_may_change_its_input_in_place() -> None:
    pictures = spot(4, 4)[None]
    found = gradcam.maps(InPlace(), pictures, ZERO[:1])
    assert found is not None
    assert found.cells[0] is not None
    assert torch.equal(pictures, spot(4, 4)[None])


class Closed(Brightness):
    def forward(self, pictures: Tensor) -> Tensor:
        with torch.no_grad():
            return super().forward(pictures)


def test_a_network_that_lets_no_gradient_through_has_no_map() -> None:
    assert gradcam.maps(Closed(), spot(4, 4)[None], ZERO[:1]) is None


def test_more_pictures_than_fit_at_once_get_a_map_each() -> None:
    spots = torch.stack([spot(row, 5) for row in range(gradcam.AT_ONCE + 3)])
    found = gradcam.maps(Brightness(), spots, np.zeros(len(spots), np.int64))
    assert found is not None
    assert [int(cells.sum(1).argmax()) for cells in found.cells if cells is not None] == [
        n + 1 for n in range(len(spots))
    ]


@pytest.mark.parametrize("shape", [(4, 4), (16, 16), (40, 40), (3, 7)])
def test_an_overlay_is_red_where_it_is_hot_and_has_the_pictures_size(shape: tuple[int, int]) -> None:
    cells = np.zeros(shape, np.float32)
    cells[: (shape[0] + 3) // 4, : (shape[1] + 3) // 4] = 1
    mixed = gradcam.overlay(np.full((16, 16, 3), 128, np.uint8), cells).astype(int)
    assert mixed.shape == (16, 16, 3)
    assert mixed[0, 0, 0] > mixed[0, 0, 2]
    assert mixed[15, 15, 2] > mixed[15, 15, 0]
