"""Builds a torchvision classifier by name, and moves its weights to and from a file without running code in it."""

from __future__ import annotations

import difflib
import pickle
from pathlib import Path

import torch
from refusal import Refusal
from torch import nn
from torchvision.models import get_model, list_models

STEMS = ("torchvision", "small")


def build(name: str, num_classes: int, stem: str = "torchvision") -> nn.Module:
    """`stem="small"` keeps a ResNet's resolution (3 x 3, stride 1, no pooling): for 32 px, about 9 times the cost."""
    if name not in list_models(module=_classification()):
        near = difflib.get_close_matches(name, list_models(module=_classification()), n=3)
        hint = f"did you mean {' or '.join(near)}?" if near else "take a torchvision classifier, such as resnet18"
        raise Refusal(f"model {name!r} is not in torchvision: {hint}")
    if stem not in STEMS:
        raise Refusal(f"stem {stem!r}: take one of {', '.join(STEMS)}")
    network: nn.Module = get_model(name, weights=None, num_classes=num_classes)
    if stem == "small":
        if not isinstance(getattr(network, "maxpool", None), nn.MaxPool2d) or not isinstance(network.conv1, nn.Conv2d):
            raise Refusal(f"model {name!r} has no small stem: set stem to torchvision, or take a resnet")
        network.conv1 = nn.Conv2d(3, network.conv1.out_channels, kernel_size=3, stride=1, padding=1, bias=False)
        nn.init.kaiming_normal_(network.conv1.weight, mode="fan_out", nonlinearity="relu")
        network.maxpool = nn.Identity()
    return network


def save_weights(network: nn.Module, path: Path) -> None:
    """Contiguous CPU tensors, so that the file neither depends on the device nor on the memory layout of training."""
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    torch.save(state, path)


def load_weights(network: nn.Module, path: Path) -> None:
    """Raises Refusal, with the first layers that differ, when the file belongs to another network."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise Refusal(f"{path}: no readable weights ({str(error).splitlines()[0]}): train again") from None
    if not isinstance(state, dict):
        raise Refusal(f"{path}: holds a {type(state).__name__} and no state dict: train again")
    own = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    theirs = {name: tuple(getattr(tensor, "shape", ())) for name, tensor in state.items()}
    different = sorted(name for name in own.keys() | theirs.keys() if own.get(name) != theirs.get(name))
    if different:
        raise Refusal(f"{path}: weights of another network; these layers differ: {', '.join(different[:5])}")
    network.load_state_dict(state)


def _classification() -> object:
    import torchvision.models

    return torchvision.models


def device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
