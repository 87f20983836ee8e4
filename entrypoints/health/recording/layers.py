"""What a network's layers are given and give in one forward pass."""

from __future__ import annotations

import sys
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from health.recording import statistics
from health.recording.recorded import Row
from health.recording.statistics import Taken

RECTIFIERS = (nn.ReLU, nn.ReLU6)
SATURATING = (nn.Sigmoid, nn.Tanh)
OTHERS = (nn.LeakyReLU, nn.ELU, nn.GELU, nn.SiLU, nn.Hardswish, nn.Hardsigmoid, nn.Hardtanh)
ACTIVATIONS = (*OTHERS, *RECTIFIERS, *SATURATING)


class Layers:
    """Inputs of layers with a matrix or kernel of weights and of activations; outputs of ReLU, Sigmoid and Tanh.

    Inputs are looked at before the layer runs: torchvision's ReLU overwrites its own. Hooks are there for one pass, so
    that a step that is not recorded costs nothing, and a copy of the network has none. What torch.compile has made into
    one piece is computed layer by layer in that pass. What comes of no module (`F.relu`) is not seen.
    """

    def __init__(self, network: nn.Module) -> None:
        self.network = network
        self.looked_at = [(name, layer) for name, layer in network.named_modules() if _is_looked_at(layer)]
        self.hooks: list[RemovableHandle] = []
        self.last: tuple[Tensor, int, Taken] | None = None  # one layer's output is another's input
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
        compiled("force_eager")

    def rest(self) -> None:
        if self.hooks:
            compiled("default")
        for hook in self.hooks:
            hook.remove()
        self.hooks, self.last = [], None

    def _given(self, name: str, layer: nn.Module, inputs: tuple[Any, ...]) -> None:
        self.calls[name] = self.calls.get(name, 0) + 1
        if not inputs or not isinstance(inputs[0], Tensor) or not inputs[0].is_floating_point():
            return
        if self.last and self.last[0] is inputs[0] and self.last[1] == inputs[0]._version:
            taken = self.last[2]._replace(places=None)
        else:
            taken = statistics.take(inputs[0])
        self.last = inputs[0], inputs[0]._version, taken
        self.seen.append((Row("input", self._called(name), class_of(layer)), taken))

    def _gave(self, name: str, layer: nn.Module, _: tuple[Any, ...], output: Tensor) -> None:
        taken = statistics.take(output, units=isinstance(layer, RECTIFIERS))
        self.last = output, output._version, taken
        self.seen.append((Row("output", self._called(name), class_of(layer)), taken))

    def _called(self, name: str) -> str:
        return name if self.calls[name] == 1 else f"{name}#{self.calls[name]}"


def class_of(layer: nn.Module) -> str:
    """torch's name for it: a convolution of ours is a Conv2d."""
    classes = [
        kind for kind in type(layer).__mro__ if kind.__module__.startswith("torch.nn.") and kind is not nn.Module
    ]
    return classes[0].__name__ if classes else type(layer).__name__


def compiled(stance: str) -> None:
    """Only where something may be compiled: importing the compiler takes a second."""
    if "torch._dynamo" in sys.modules:
        torch.compiler.set_stance(stance)


def _is_looked_at(layer: nn.Module) -> bool:
    own = layer.parameters(recurse=False)
    return isinstance(layer, ACTIVATIONS) or any(weight.dim() > 1 for weight in own)
