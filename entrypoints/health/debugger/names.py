"""What smdebug calls a network's tensors, and what we do: conv1.weight of a ResNet is ResNet_conv1.weight there."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from torch import nn

from health.recording.layers import ACTIVATIONS, class_of
from health.recording.recorded import Row

LOSS = "CrossEntropyLoss_output_0"  # as smdebug names what a registered loss gives: collection losses has it
SCALAR, LR = "scalar/", "lr"
GRADIENT = "gradient/"
PASSED = re.compile(r"(.+)_(input|output)_(\d{1,6})")
CLASSES = {"relu": "ReLU", "relu6": "ReLU6", "sigmoid": "Sigmoid", "tanh": "Tanh"}  # of layers that are named so
KEPT = ("ReLU", "ReLU6", "Sigmoid", "Tanh")  # whose outputs our rules look at


class Names(NamedTuple):
    """`layers`: smdebug's name of a module → ours, and its class; `weights`: likewise, of parameters."""

    layers: Mapping[str, tuple[str, str]]
    weights: Mapping[str, tuple[str, str]]


def of(network: nn.Module) -> Names:
    owners = {id(weight): class_of(layer) for layer in network.modules() for weight in layer.parameters(recurse=False)}
    root = type(network).__name__
    weights = {f"{root}_{name}": (name, owners[id(weight)]) for name, weight in network.named_parameters()}
    layers = {
        module(name, layer): (name or class_of(layer), class_of(layer)) for name, layer in network.named_modules()
    }
    return Names(layers, weights)


def module(name: str, layer: nn.Module) -> str:
    """smdebug's own; an activation that is not named after its class is, so that .*relu_input means every ReLU."""
    if not name:
        return type(layer).__name__
    kind = class_of(layer).lower()
    return name if not isinstance(layer, ACTIVATIONS) or name.lower().endswith(kind) else f"{name}_{kind}"


def plain(names: Names) -> dict[str, Any]:
    """As JSON has it."""
    return {"layers": dict(names.layers), "weights": dict(names.weights)}


def read(content: Any) -> Names:
    """What `plain` gave. Raises ValueError."""
    try:
        tables = [
            {str(key): (str(ours), str(kind)) for key, (ours, kind) in content[part].items()} for part in Names._fields
        ]
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError("its names are no tables of pairs") from error
    return Names(*tables)


def row(name: str, names: Names | None) -> Row | None:
    """Kind, name and class as our recorder has them of smdebug's `name`; None: our rules do not look at it.

    Without `names`, of tensors that some other training saved, they are guessed from the name itself.
    """
    passed = PASSED.fullmatch(name)
    if passed:
        return _passed(passed[1], passed[2], int(passed[3]), names)
    if "/" in name.removeprefix(GRADIENT):  # smdebug's reductions and scalars
        return None
    kind, name = ("gradient" if name.startswith(GRADIENT) else "weight"), name.removeprefix(GRADIENT)
    if names is None:
        return Row(kind, name.partition("_")[2] or name, "")
    return Row(kind, *names.weights[name]) if name in names.weights else None


def _passed(module: str, kind: str, call: int, names: Names | None) -> Row | None:
    """Between layers: our recorder looks at one input a call, and calls the second call #2."""
    if names is not None:
        if module not in names.layers:
            return None
        name, layer = names.layers[module]
    else:
        name, layer = module, CLASSES.get(re.split("[._]", module)[-1].lower(), "")
    if kind == "output" and layer not in KEPT:
        return None
    return Row(kind, name if not call else f"{name}#{call + 1}", layer)
