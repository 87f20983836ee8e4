"""Starts a network from weights that somebody made: torchvision's, or those of an earlier model archive."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import archive
import model
import torch
from refusal import Refusal, harmless
from torch import Tensor, nn
from torchvision.models import GoogLeNet, Inception3

MEND = "take a file that torch.save wrote of a state_dict"
SHOWN = 5  # layers that a refusal names
# torchvision's published files of DenseNet and ViT have the names of earlier versions (their _load_state_dict and
# MLPBlock._load_from_state_dict, torchvision 0.27).
RENAMED = (
    (re.compile(r"(denselayer\d+\.(?:norm|conv))\.([12]\.)"), r"\1\2"),
    (re.compile(r"mlp\.linear_1\."), "mlp.0."),
    (re.compile(r"mlp\.linear_2\."), "mlp.3."),
)


def load_pretrained(network: nn.Module, source: Path) -> str:
    """`source`: a state dict, or the folder with one. Says in one sentence what was loaded.

    The head is loaded when it has as many classes; else it starts anew, as every head of 1000 classes should.
    """
    path = _only(source, (".pt", ".pth"), "weights")
    state = _renamed(network, model.read_state(path, MEND))
    with_head = _head_fits(network, state)
    count = _adopt(network, state, path, with_head)
    return f"weights: {count} tensors of {harmless(path.name)}; {_told(network, state, with_head)}"


def warm_start(network: nn.Module, source: Path, architecture: Mapping[str, Any], classes: Sequence[str]) -> str:
    """`source`: a model.tar.gz, or the folder with one; nothing in it is run. Says in one sentence what was loaded.

    `architecture` is what this training will write into its card; but for num_classes, and the digests of somebody's
    own network, the earlier card has the same.
    The head is loaded when the classes are the same in the same order.
    """
    path = _only(source, (".tar.gz",), "warm_start")
    with tempfile.TemporaryDirectory() as folder:
        archive.unpack(path, Path(folder))
        card = _card(Path(folder), path)
        _refuse_another(card["architecture"], architecture, path)
        file = Path(folder) / Path(card["weights"]["file"]).name
        if not file.is_file() or archive.sha256(file) != card["weights"].get("sha256"):
            raise Refusal(f"{path}: its weights are missing or not those that its card describes: take another archive")
        state = model.read_state(file, "take another archive")
    with_head = card["classes"] == list(classes) and _head_fits(network, state)
    count = _adopt(network, state, path, with_head)
    why = "" if with_head or len(card["classes"]) != len(classes) else ", as the classes are others"
    return f"warm start: {count} tensors of {harmless(path.name)}; {_told(network, state, with_head)}{why}"


def _only(source: Path, endings: tuple[str, ...], channel: str) -> Path:
    if source.is_file():
        return source
    found = sorted(path for path in source.glob("*") if path.name.endswith(endings) and path.is_file())
    if len(found) != 1:
        kinds = " or ".join(f"*{ending}" for ending in endings)
        names = f" ({', '.join(path.name for path in found[:3])})" if found else ""
        raise Refusal(f"{source}: {len(found)} files {kinds}{names}: channel {channel!r} has to hold exactly one")
    return found[0]


def _renamed(network: nn.Module, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """With today's names, and without the auxiliary outputs that model.build leaves out."""
    own = network.state_dict().keys()
    new = {}
    for name, tensor in state.items():
        for pattern, replacement in RENAMED:
            if name not in own and (today := pattern.sub(replacement, name)) in own:
                name = today
        new[name] = tensor
    if isinstance(network, GoogLeNet | Inception3):
        return {name: tensor for name, tensor in new.items() if not name.startswith(("aux1.", "aux2.", "AuxLogits."))}
    return new


def _head_fits(network: nn.Module, state: Mapping[str, Tensor]) -> bool:
    prefix = f"{model.head_name(network)}."
    own = {name: tensor.shape for name, tensor in model.head(network).state_dict(prefix=prefix).items()}
    return all(name in state and state[name].shape == shape for name, shape in own.items())


def _adopt(network: nn.Module, state: Mapping[str, Tensor], path: Path, with_head: bool) -> int:
    """Every tensor or none: raises Refusal with the first layers that differ before any is copied."""
    own = network.state_dict()
    prefix = f"{model.head_name(network)}."
    wanted = {name for name in own if with_head or not name.startswith(prefix)}
    offered = {name: tensor for name, tensor in state.items() if with_head or not name.startswith(prefix)}
    # Files of before torch 0.4.1 do not count batches; the count matters to momentum=None only.
    missing = {name for name in wanted - offered.keys() if not name.endswith(".num_batches_tracked")}
    wrong = [f"{name} is missing" for name in own if name in missing]
    wrong += [f"{name} is too much" for name in offered if name not in wanted]
    wrong += [
        f"{name} has {tuple(tensor.shape)}, not {tuple(own[name].shape)}"
        for name, tensor in offered.items()
        if name in wanted and tensor.shape != own[name].shape
    ]
    if wrong:
        more = f" and {len(wrong) - SHOWN} more" if len(wrong) > SHOWN else ""
        raise Refusal(
            f"{path}: weights of another network; these layers differ: {'; '.join(wrong[:SHOWN])}{more}: set model and "
            "stem to what the weights were trained with, or take other weights"
        )
    for name, tensor in offered.items():
        if tensor.is_floating_point() != own[name].is_floating_point():
            raise Refusal(f"{path}: layer {name} is {tensor.dtype}, not {own[name].dtype}: take other weights")
        if not torch.isfinite(tensor.float()).all():
            raise Refusal(f"{path}: layer {name} holds infinite numbers or NaN: take other weights")
    own.update(offered)  # keeps the network's own versions of each module, which MNASNet asks for
    network.load_state_dict(own)
    return len(offered)


def _told(network: nn.Module, state: Mapping[str, Tensor], with_head: bool) -> str:
    name, own = model.head_name(network), model.outputs(network)
    if with_head:
        return f"the head ({name}) of {own} classes is among them"
    theirs = state.get(f"{name}.weight")
    there = f" of {len(theirs)} classes" if theirs is not None and theirs.ndim else ""
    return f"the head ({name}){there} is left out, and one of {own} starts anew"


def _card(folder: Path, path: Path) -> dict[str, Any]:
    card = archive.read_card(folder)
    well = isinstance(card["architecture"], dict) and isinstance(card["weights"], dict)
    if not (well and isinstance(card["classes"], list) and isinstance(card["weights"].get("file"), str)):
        raise Refusal(f"{path}: its {archive.CARD} is not as TrainModel writes it: take another archive")
    return card


def _refuse_another(theirs: Mapping[str, Any], ours: Mapping[str, Any], path: Path) -> None:
    # The code of somebody's own network may have changed: its layers' names and shapes decide.
    for key in sorted((ours.keys() | theirs.keys()) - {"num_classes", "sha256"}):
        if theirs.get(key) != ours.get(key):
            raise Refusal(
                f"{path}: its {key} is {theirs.get(key)}, and this training's is "
                f"{ours.get(key)}: set it the same, or take another archive"
            )
