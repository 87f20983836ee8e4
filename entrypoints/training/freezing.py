"""Says which layers of a network are trained: the head, and so many blocks from the top."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from model import head
from refusal import Refusal
from torch import nn

# Children with these names are lists of blocks, in torchvision's families and in networks written like them.
LISTS = {"features", "layers", "blocks", "classifier", "trunk_output", "encoder", "heads"}
NORMS = (nn.modules.batchnorm._BatchNorm, nn.modules.instancenorm._InstanceNorm, nn.LayerNorm, nn.GroupNorm)


class Block(NamedTuple):
    """What `trainable_layers` counts: a stage with the normalisation after it and the downsampling before it."""

    name: str
    parameters: tuple[nn.Parameter, ...]


def blocks(network: nn.Module) -> list[Block]:
    """From the top, without the head; together they hold every other parameter of the network.

    A ResNet has five: layer4 to layer1, and conv1 with bn1. A VGG or AlexNet has one for each layer with weights, a
    ViT one for each encoder layer and one for its patches, a Swin, ConvNeXt, DenseNet or RegNet one for each stage
    and one for its stem, an EfficientNet, MobileNet, SqueezeNet or GoogLeNet one for each module of its list.
    """
    seen = {id(parameter) for parameter in head(network).parameters()}
    found: list[Block] = []
    lead: Block | None = None
    loose: list[nn.Parameter] = []
    for name, unit in _units(network, "", seen):
        own = _fresh([unit] if isinstance(unit, nn.Parameter) else unit.parameters(), seen)
        if not own:
            continue
        if isinstance(unit, nn.Parameter):
            loose += own
        elif _leads(unit):
            found += [lead] if lead else []
            lead = Block(name, own)
        elif found and lead is None and _only_norms(unit):
            found[-1] = _joined(found[-1], Block(name, own))
        else:
            found.append(_joined(lead, Block(name, own)))
            lead = None
    found += [lead] if lead else []
    if loose:  # a class token, the positions: they belong to the input
        found[:1] = [_joined(found[0] if found else None, Block("embedding", tuple(loose)))]
    return found[::-1]


def freeze(network: nn.Module, trainable_layers: str | int) -> int:
    """Trains the head and so many blocks from the top, or `all`; returns the number of parameters that are trained."""
    if trainable_layers != "all":
        every = blocks(network)
        if type(trainable_layers) is not int or not 0 <= trainable_layers <= len(every):
            raise Refusal(
                f"trainable_layers {trainable_layers!r}: the network has {len(every)} blocks below its head "
                f"({', '.join(block.name for block in every[:4])}{', …' if len(every) > 4 else ''}, from the top): "
                f"take all, or a whole number from 0 to {len(every)}"
            )
        for block in every[trainable_layers:]:
            for parameter in block.parameters:
                parameter.requires_grad_(False)
    return sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad)


def train_mode(network: nn.Module) -> None:
    """network.train(), but what is frozen stays in evaluation mode: batch norm keeps its statistics, dropout is off.

    A layer without parameters goes with the layer before it, so a frozen trunk's features are the same each epoch.
    """
    layers = list(network.modules())
    before = _trains(next((layer for layer in layers if _has_own(layer)), network))
    for layer in layers:
        layer.training = _trains(layer) if _has_any(layer) else before
        before = _trains(layer) if _has_own(layer) else before


def _trains(layer: nn.Module) -> bool:
    return any(parameter.requires_grad for parameter in layer.parameters())


def _has_any(layer: nn.Module) -> bool:
    return any(True for _ in layer.parameters())


def _has_own(layer: nn.Module) -> bool:
    return any(True for _ in layer.parameters(recurse=False))


def _units(module: nn.Module, prefix: str, skipped: set[int]) -> Iterator[tuple[str, nn.Module | nn.Parameter]]:
    """From the input to the top: the children, with lists (and a single child) opened. `skipped`: the head."""
    yield from ((prefix + name, parameter) for name, parameter in module.named_parameters(recurse=False))
    children = [
        (name, child) for name, child in module.named_children() if {id(each) for each in child.parameters()} - skipped
    ]
    for name, child in children:
        single = len(children) == 1 and any(True for _ in child.children())
        if name in LISTS or single:
            yield from _units(child, f"{prefix}{name}.", skipped)
        else:
            yield prefix + name, child


def _fresh(parameters: Iterator[nn.Parameter] | list[nn.Parameter], seen: set[int]) -> tuple[nn.Parameter, ...]:
    """Those that no block has yet: tied weights belong to the lower one."""
    new = tuple(parameter for parameter in parameters if id(parameter) not in seen)
    seen.update(id(parameter) for parameter in new)
    return new


def _weighted(unit: nn.Module) -> list[nn.Module]:
    return [layer for layer in unit.modules() if _has_own(layer)]


def _only_norms(unit: nn.Module) -> bool:
    return all(isinstance(layer, NORMS) for layer in _weighted(unit))


def _leads(unit: nn.Module) -> bool:
    """Downsampling between two stages: DenseNet's transition, ConvNeXt's norm and convolution, Swin's patch merging."""
    match [type(layer) for layer in _weighted(unit)]:
        case [first, second] if issubclass(first, NORMS):
            return issubclass(second, nn.Conv2d | nn.Linear)
        case [first, second]:
            return issubclass(first, nn.Linear) and issubclass(second, NORMS)
    return False


def _joined(below: Block | None, above: Block) -> Block:
    return Block(f"{below.name}+{above.name}", below.parameters + above.parameters) if below else above
