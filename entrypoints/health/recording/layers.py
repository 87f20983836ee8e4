"""What a network's layers are given and give in one forward pass."""

from __future__ import annotations

import math
import sys
import weakref
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from health.recording import samples
from health.recording.recorded import Row
from health.recording.samples import Taken

RECTIFIERS = (nn.ReLU, nn.ReLU6)
SATURATING = (nn.Sigmoid, nn.Tanh)
OTHERS = (nn.LeakyReLU, nn.ELU, nn.GELU, nn.SiLU, nn.Hardswish, nn.Hardsigmoid, nn.Hardtanh)
MOST = {nn.ReLU: math.inf, nn.ReLU6: 6.0}  # that they give
ACTIVATIONS = (*OTHERS, *RECTIFIERS, *SATURATING)


class Layers:
    """Inputs of layers with a matrix or kernel of weights and of activations; outputs of ReLU, Sigmoid and Tanh.

    Inputs are looked at before the layer runs: torchvision's ReLU overwrites its own. Hooks are there for one pass, so
    that a step that is not recorded costs nothing, and a copy of the network has none. What torch.compile has made into
    one piece is computed layer by layer in that pass. What comes of no module (`F.relu`) is not seen.
    """

    def __init__(self, network: nn.Module) -> None:
        self.network = network
        self.rows = {
            layer: Row("input", name or class_of(layer), class_of(layer))
            for name, layer in network.named_modules()
            if _is_looked_at(layer)
        }
        self.hooks: list[RemovableHandle] = []
        self.known: dict[int, tuple[weakref.ref[Tensor], int, Taken]] = {}  # one layer's output is others' input
        self.given: Taken | None = None  # to the latest layer
        self.seen: list[tuple[Row, Taken]] = []  # a module's second call in a pass has #2 in its name
        self.calls: dict[nn.Module, int] = {}

    def look(self) -> None:
        """At the next forward pass."""
        self.seen, self.calls = [], {}
        for layer in self.rows:
            self.hooks.append(layer.register_forward_pre_hook(self._before))
            if isinstance(layer, RECTIFIERS + SATURATING):
                self.hooks.append(layer.register_forward_hook(self._behind))
        self.hooks.append(self.network.register_forward_hook(lambda *_: self.rest()))
        compiled("force_eager")

    def rest(self) -> None:
        if self.hooks:
            compiled("default")
        for hook in self.hooks:
            hook.remove()
        self.hooks, self.known, self.given = [], {}, None

    def _before(self, layer: nn.Module, inputs: tuple[Any, ...]) -> None:
        self.calls[layer] = self.calls.get(layer, 0) + 1
        self.given = None
        if inputs and isinstance(inputs[0], Tensor) and inputs[0].is_floating_point():
            self.given = self._known(inputs[0])
            self.seen.append((self._called(layer, "input"), self.given))

    def _behind(self, layer: nn.Module, _: tuple[Any, ...], output: Tensor) -> None:
        most = MOST.get(type(layer))
        if most is not None and self.given is not None and self.given.size == output.numel():
            taken = samples.rectified(self.given, output, most)
        else:
            taken = samples.take(output, units=isinstance(layer, RECTIFIERS))
        self._keep(output, taken)
        self.seen.append((self._called(layer, "output"), taken))

    def _known(self, given: Tensor) -> Taken:
        there, version, taken = self.known.get(id(given), (None, 0, None))
        if there is None or taken is None or there() is not given or version != given._version:
            taken = samples.take(given)
            self._keep(given, taken)
        return taken._replace(places=None)

    def _keep(self, tensor: Tensor, taken: Taken) -> None:
        self.known[id(tensor)] = weakref.ref(tensor), tensor._version, taken

    def _called(self, layer: nn.Module, kind: str) -> Row:
        row, call = self.rows[layer], self.calls[layer]
        return row._replace(kind=kind, name=row.name if call == 1 else f"{row.name}#{call}")


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
