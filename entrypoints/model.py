"""Builds a classifier by name, and moves its weights to and from a file without running code in it."""

from __future__ import annotations

import difflib
import pickle
import struct
import warnings
import zipfile
from functools import partial
from pathlib import Path

import torch
from refusal import Refusal
from torch import Tensor, nn
from torch.nn import functional as F

STEMS = ("torchvision", "small")
# Without their auxiliary outputs, which only help very deep training from scratch and need a loop of their own. The
# pictures are shifted as torchvision's weights for these two expect; harmless where training starts from nothing.
PLAIN = {"aux_logits": False, "transform_input": True, "init_weights": True}
AUXILIARY = {"googlenet": PLAIN, "inception_v3": PLAIN}
# What torch.load was seen to raise on 20,000 torn and forged files, besides its own UnpicklingError.
UNREADABLE = (zipfile.BadZipFile, struct.error, OSError, EOFError, MemoryError)
BROKEN = (RuntimeError, ValueError, TypeError, LookupError, AttributeError, AssertionError, ArithmeticError)


def build(name: str, num_classes: int, stem: str = "torchvision", dropout: float = 0.0) -> nn.Module:
    """`stem="small"` keeps a ResNet's resolution (3 x 3, stride 1, no pooling): for 32 px, about 9 times the cost.

    `dropout` acts before the last layer, in place of the family's own there; 0 leaves torchvision's network as it is.
    """
    import torchvision.models  # half of what importing torch takes, and a network of one's own does without

    known = torchvision.models.list_models(module=torchvision.models)
    if name not in known:
        near = difflib.get_close_matches(name, known, n=3)
        hint = f"did you mean {' or '.join(near)}?" if near else "take a torchvision classifier, such as resnet18"
        raise Refusal(f"model {name!r} is not in torchvision: {hint}")
    if stem not in STEMS:
        raise Refusal(f"stem {stem!r}: take one of {', '.join(STEMS)}")
    more = AUXILIARY.get(name, {})
    network: nn.Module = torchvision.models.get_model(name, weights=None, num_classes=num_classes, **more)
    if stem == "small":
        if not isinstance(getattr(network, "maxpool", None), nn.MaxPool2d) or not isinstance(network.conv1, nn.Conv2d):
            raise Refusal(f"model {name!r} has no small stem: set stem to torchvision, or take a resnet")
        network.conv1 = nn.Conv2d(3, network.conv1.out_channels, kernel_size=3, stride=1, padding=1, bias=False)
        nn.init.kaiming_normal_(network.conv1.weight, mode="fan_out", nonlinearity="relu")
        network.maxpool = nn.Identity()
    if dropout:
        drop_before_head(network, dropout)
    return network


def head_name(network: nn.Module) -> str:
    """The last linear layer or convolution, in order of registration: every torchvision classifier ends with it."""
    names = [name for name, layer in network.named_modules() if isinstance(layer, nn.Linear | nn.Conv2d)]
    if not names:
        raise Refusal("the network has no linear layer and no convolution, so none is its head: end it with nn.Linear")
    return str(names[-1])


def head(network: nn.Module) -> nn.Module:
    """The layer whose outputs are the classes: nn.Linear, in SqueezeNet nn.Conv2d. Calling it drops out as well."""
    return network.get_submodule(head_name(network))


def outputs(network: nn.Module) -> int:
    layer = head(network)
    return int(layer.out_features if isinstance(layer, nn.Linear) else layer.out_channels)  # type: ignore[arg-type]


def drop_before_head(network: nn.Module, dropout: float) -> None:
    """A hook of the head, so that its weights are called the same with dropout and without; draws no random number."""
    place, _, _ = head_name(network).rpartition(".")
    siblings = list(network.get_submodule(place).children())
    for before in siblings[: siblings.index(head(network))][-1:]:
        if isinstance(before, nn.Dropout):
            before.p = 0.0
    head(network).register_forward_pre_hook(partial(_dropped, share=dropout))


def save_weights(network: nn.Module, path: Path) -> None:
    """Contiguous CPU tensors, so that the file neither depends on the device nor on the memory layout of training."""
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    torch.save(state, path)


def load_weights(network: nn.Module, path: Path) -> None:
    """Raises Refusal, with the first layers that differ, when the file belongs to another network."""
    state = read_state(path, "train again")
    own = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    theirs = {name: tuple(tensor.shape) for name, tensor in state.items()}
    different = sorted(name for name in own.keys() | theirs.keys() if own.get(name) != theirs.get(name))
    if different:
        raise Refusal(f"{path}: weights of another network; these layers differ: {', '.join(different[:5])}")
    known = network.state_dict()
    known.update(state)  # keeps the network's own versions of each module, which MNASNet asks for
    network.load_state_dict(known)


def read_state(path: Path, mend: str) -> dict[str, Tensor]:
    """A state dict of plain tensors; no code in the file is run, and a packed file cannot grow beyond its size."""
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as entries:
                if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries.infolist()):
                    raise Refusal(f"{path}: its entries are compressed, which torch.save never does: {mend}")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns about its own old formats, which are read as well
            state = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:  # its own words advise to read the file without this protection
        raise Refusal(f"{path}: no readable weights (damaged, or more than tensors and their names): {mend}") from None
    except (*UNREADABLE, *BROKEN) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise Refusal(f"{path}: no readable weights ({reason}): {mend}") from None
    if not isinstance(state, dict):
        raise Refusal(f"{path}: holds a {type(state).__name__} and no state dict: {mend}")
    for name, tensor in state.items():
        if not isinstance(name, str) or not _plain(tensor):
            what = name if isinstance(name, str) else f"a {type(name).__name__}"
            raise Refusal(f"{path}: {what} is no name of a plain tensor, so this is no state dict: {mend}")
    return state


def device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def _dropped(layer: nn.Module, inputs: tuple[Tensor, ...], share: float) -> Tensor:
    return F.dropout(inputs[0], share, layer.training)


def _plain(value: object) -> bool:
    return (
        isinstance(value, Tensor)
        and value.layout == torch.strided
        and value.device.type == "cpu"
        and not (value.is_quantized or value.is_complex())
    )
