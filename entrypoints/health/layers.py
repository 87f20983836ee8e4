"""What a network's layers are given and give in one forward pass."""

from __future__ import annotations

from functools import partial
from typing import Any

from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from health import statistics
from health.recorded import Row
from health.statistics import Taken

RECTIFIERS = (nn.ReLU, nn.ReLU6)
SATURATING = (nn.Sigmoid, nn.Tanh)
OTHERS = (nn.LeakyReLU, nn.ELU, nn.GELU, nn.SiLU, nn.Hardswish, nn.Hardsigmoid, nn.Hardtanh)
ACTIVATIONS = (*OTHERS, *RECTIFIERS, *SATURATING)


class Layers:
    """Inputs of layers with a matrix or kernel of weights and of activations; outputs of ReLU, Sigmoid and Tanh.

    Inputs are looked at before the layer runs: torchvision's ReLU overwrites its own. Hooks are there for one pass, so
    that a step that is not recorded costs nothing, and a copy of the network has none. What a network computes without
    a module of these classes (`F.relu`), and a network that torch.compile has made into one piece, is not seen.
    """

    def __init__(self, network: nn.Module, active: float) -> None:
        """`active`: the share of places in which a unit has to be above 0, or it is idle."""
        self.network = network
        self.active = active
        self.looked_at = [(name, layer) for name, layer in network.named_modules() if _is_looked_at(layer)]
        self.hooks: list[RemovableHandle] = []
        self.seen: list[tuple[Row, Taken]] = []  # a module's second call in a pass has #2 in its name
        self.calls: dict[str, int] = {}

    def look(self) -> None:
        """At the next forward pass."""
        self.seen, self.calls = [], {}
        for name, layer in self.looked_at:
            self.hooks.append(layer.register_forward_pre_hook(partial(self._given, name or class_of(layer))))
            if isinstance(layer, RECTIFIERS + SATURATING):
                self.hooks.append(layer.register_forward_hook(partial(self._gave, name or class_of(layer))))
        self.hooks.append(self.network.register_forward_hook(lambda *_: self.rest()))

    def rest(self) -> None:
        for hook in self.hooks:
            hook.remove()
        self.hooks = []

    def _given(self, name: str, layer: nn.Module, inputs: tuple[Any, ...]) -> None:
        self.calls[name] = self.calls.get(name, 0) + 1
        if inputs and isinstance(inputs[0], Tensor) and inputs[0].is_floating_point():
            self.seen.append((Row("input", self._called(name), class_of(layer)), statistics.take(inputs[0])))

    def _gave(self, name: str, layer: nn.Module, _: tuple[Any, ...], output: Tensor) -> None:
        active = self.active if isinstance(layer, RECTIFIERS) else None
        self.seen.append((Row("output", self._called(name), class_of(layer)), statistics.take(output, active)))

    def _called(self, name: str) -> str:
        return name if self.calls[name] == 1 else f"{name}#{self.calls[name]}"


def class_of(layer: nn.Module) -> str:
    """torch's name for it: a convolution of ours is a Conv2d."""
    classes = [
        kind for kind in type(layer).__mro__ if kind.__module__.startswith("torch.nn.") and kind is not nn.Module
    ]
    return classes[0].__name__ if classes else type(layer).__name__


def _is_looked_at(layer: nn.Module) -> bool:
    own = layer.parameters(recurse=False)
    return isinstance(layer, ACTIVATIONS) or any(weight.dim() > 1 for weight in own)
