"""Convolutions of small maps give what torch's own give."""

from __future__ import annotations

import copy
from itertools import product

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models import get_model
from training import convolutions

CPU = torch.device("cpu")
FORMS = [
    form for form in product((1, 2, 3, 4), (1, 2, 3, 5, 7), (1, 2, 3), (0, 1, 2, 3)) if form[0] + 2 * form[3] >= form[1]
]


def both(make: nn.Module) -> tuple[nn.Module, nn.Module]:
    ours = copy.deepcopy(make)
    convolutions.prepare(ours, CPU)
    return make, ours


def gradients(network: nn.Module, pictures: Tensor, lower: bool = False) -> tuple[Tensor, list[Tensor]]:
    """Outputs, and the gradients of pictures and parameters."""
    given = pictures.clone().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16, enabled=lower):
        out = network(given)
    weights = torch.linspace(-1, 1, out[0].numel()).view(out[0].shape)
    (out.float() * weights).sum().backward()
    found = [given.grad, *(parameter.grad for parameter in network.parameters())]
    return out, [each for each in found if each is not None]


@pytest.mark.parametrize("form", FORMS, ids=str)
def test_a_convolution_of_any_form_and_its_gradients_are_torchs(form: tuple[int, int, int, int]) -> None:
    side, kernel, stride, padding = form
    torch.manual_seed(0)
    theirs, ours = both(nn.Conv2d(5, 4, (kernel, 1), (stride, 1), (padding, 0)))
    pictures = torch.randn(3, 5, side, 2)
    (expected, wanted), (out, found) = gradients(theirs, pictures), gradients(ours, pictures)
    torch.testing.assert_close(out, expected)
    assert len(found) == len(wanted) == 3
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("lower", (False, True), ids=("float32", "bfloat16"))
def test_a_network_at_32_px_learns_what_it_learnt(lower: bool) -> None:
    torch.manual_seed(0)
    theirs, ours = both(get_model("resnet18", num_classes=3).to(memory_format=torch.channels_last))
    pictures = torch.randn(8, 3, 32, 32).to(memory_format=torch.channels_last)
    (expected, wanted), (out, found) = gradients(theirs, pictures, lower), gradients(ours, pictures, lower)
    assert out.dtype == expected.dtype
    exact = copy.deepcopy(theirs)
    exact.zero_grad()
    _, right = gradients(exact, pictures)
    for one, other, truth in zip(found, wanted, right, strict=True):
        assert one.stride() == other.stride() or not lower
        if lower:  # each is as far from the truth as bfloat16 is
            assert F.cosine_similarity(one.flatten(), truth.flatten(), 0) > 0.9 * F.cosine_similarity(
                other.flatten(), truth.flatten(), 0
            )
        else:
            torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)


def test_what_is_no_plain_convolution_stays_what_it_is() -> None:
    layers = [
        nn.Conv2d(4, 4, 3, groups=2),
        nn.Conv2d(4, 4, 3, dilation=2),
        nn.Conv2d(4, 4, 3, padding="same"),
        nn.Conv2d(4, 4, 3, padding=1, padding_mode="reflect"),
        nn.ConvTranspose2d(4, 4, 3),
        nn.Conv1d(4, 4, 3),
    ]
    network = nn.Sequential(*layers, nn.Conv2d(4, 4, 3))
    convolutions.prepare(network, torch.device("cuda"))
    assert type(network[-1]) is nn.Conv2d
    convolutions.prepare(network, CPU)
    assert [type(layer) for layer in network] == [*map(type, layers), convolutions.Convolution]


def test_large_maps_frozen_weights_and_wrong_pictures_go_torchs_way() -> None:
    _, ours = both(nn.Conv2d(3, 4, 3, padding=1, bias=False))
    small, large = torch.randn(2, 3, 2, 2), torch.randn(2, 3, 16, 16)
    assert type(ours(small).grad_fn).__name__ == "_ConvolvedBackward"
    assert type(ours(large).grad_fn).__name__ == "ConvolutionBackward0"
    with pytest.raises(RuntimeError, match="channels"):
        ours(torch.randn(2, 5, 2, 2))
    ours.weight.requires_grad_(False)
    assert type(ours(small.requires_grad_()).grad_fn).__name__ == "ConvolutionBackward0"


def test_an_exported_or_copied_network_has_its_weights() -> None:
    theirs, ours = both(get_model("resnet18", num_classes=3))
    assert list(ours.state_dict()) == list(theirs.state_dict())
    twin = copy.deepcopy(ours).eval()
    pictures = torch.randn(2, 3, 32, 32)
    with torch.inference_mode():
        assert torch.equal(twin(pictures), theirs.eval()(pictures))
