"""A network as oneDNN runs it fastest on CPUs: the same products, without work that is the same in every pass.

Torch puts a convolution's weights into oneDNN's own order at every call, and lets batch norm, the sum at the end of a
residual block and the activation each go over the whole map. Here weights are ordered once, batch norm is folded into
them, and the rest is done while the map is written. torch.compile does the same to frozen networks on CPUs
(torch/_inductor/fx_passes/mkldnn_fusion.py), with a compiler, which the image lacks.
"""

from __future__ import annotations

import contextlib
import operator
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval

from serving import journal

NONE = ("none", ())
ACTIVATIONS: dict[Any, tuple[str, tuple[float, ...]]] = {
    nn.ReLU: ("relu", ()),
    F.relu: ("relu", ()),
    nn.ReLU6: ("hardtanh", (0.0, 6.0)),
    nn.Hardswish: ("hardswish", ()),
    nn.SiLU: ("swish", ()),
}
SUMS = (operator.add, operator.iadd, torch.add)
TRIES = 7  # of each, in turns
GAIN = 0.95  # of torch's time, or less: networks of narrow or grouped convolutions gain nothing
CLOSE = 1e-4  # of the largest logit: folding rounds otherwise, by about 1e-6
# What tracing raises for networks that look at what they compute, operators for what they do not know, and folding for
# a batch norm that is not in evaluation mode.
UNFIT = (RuntimeError, ValueError, TypeError, AttributeError, LookupError, AssertionError)
Clock = Callable[[nn.Module, Tensor], float]


def fastest(network: nn.Module, pictures: Tensor, threads: int = 1, clock: Clock | None = None) -> nn.Module:
    """The network itself where the other one cannot be had, says something else of `pictures`, or is not faster.

    Weights are ordered for passes over as many as `pictures` in so many threads. `clock` says how many seconds a
    network takes for a single one of them.
    """
    if not torch.backends.mkldnn.is_available() or pictures.device.type != "cpu":
        return network
    clock = clock or (_cpu_seconds if threads == 1 else _seconds)
    with torch.inference_mode(), _with_threads(threads):
        try:
            other = rewritten(network, pictures)
            same = _close(other(pictures), network(pictures))
        except UNFIT as error:
            journal.say("info", f"the network runs as torch has it: {type(error).__name__}: {str(error)[:200]}")
            return network
        if not same:
            journal.say("warning", "the network runs as torch has it: oneDNN's layers do not say the same")
            return network
        return other if _faster(other, network, pictures[:1], clock) else network


def _close(said: Tensor, expected: Tensor) -> bool:
    return bool((said - expected).abs().max() <= CLOSE * expected.abs().max())  # NaN compares False


def _faster(other: nn.Module, network: nn.Module, picture: Tensor, clock: Clock) -> bool:
    took = [(clock(other, picture), clock(network, picture)) for _ in range(TRIES)]
    ours, torchs = map(min, zip(*took, strict=True))
    return ours < GAIN * torchs


@contextlib.contextmanager
def _with_threads(threads: int) -> Iterator[None]:
    """The order of the weights depends on it: docs/benchmarks.md has what a pass takes in that of another number."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _cpu_seconds(network: nn.Module, pictures: Tensor) -> float:
    """Where others take turns on the processors, the time of day says little about a single pass in one thread."""
    began = time.process_time()
    network(pictures)
    return time.process_time() - began


def _seconds(network: nn.Module, pictures: Tensor) -> float:
    """Of the clock: threads that wait for each other take processors' time, too, and nobody's patience."""
    began = time.perf_counter()
    network(pictures)
    return time.perf_counter() - began


class Layer(nn.Module):
    """A convolution over maps of about the size `shape`, and what comes behind it: a sum, an activation."""

    def __init__(self, plain: nn.Conv2d, shape: torch.Size) -> None:
        super().__init__()
        self.form = (list(plain.padding), list(plain.stride), list(plain.dilation), plain.groups)
        ordered = torch._C._nn.mkldnn_reorder_conv2d_weight(plain.weight.detach().to_mkldnn(), *self.form, list(shape))
        self.weight = nn.Parameter(ordered, requires_grad=False)
        self.bias = plain.bias
        self.activation = NONE

    def forward(self, maps: Tensor, added: Tensor | None = None) -> Tensor:
        name, numbers = self.activation
        operation = torch.ops.mkldnn._convolution_pointwise
        if added is None:
            return operation(maps, self.weight, self.bias, *self.form, name, [*numbers], "")
        then = None if self.activation is NONE else name
        return operation.binary(maps, added, self.weight, self.bias, *self.form, "add", 1.0, then, [*numbers], "")


class _Shapes(fx.Interpreter):
    """Notes the shape of every tensor that the network computes."""

    def run_node(self, n: fx.Node) -> Any:
        value = super().run_node(n)
        n.meta["shape"] = value.shape if isinstance(value, Tensor) else None
        return value


def rewritten(network: nn.Module, pictures: Tensor) -> nn.Module:
    """`network` is left as it is: tracing puts its layers into folders of its own."""
    traced = fx.symbolic_trace(network)
    _Shapes(traced).run(pictures)
    for node in list(traced.graph.nodes):
        if (plain := _convolution(traced, node)) is not None:
            plain = _folded(traced, node, plain)
            layer = Layer(plain, node.args[0].meta["shape"])
            _put(traced, node.target, layer)
            _summed_and_activated(traced, node, layer)
    traced.delete_all_unused_submodules()
    traced.recompile()
    return traced.eval()


def _layer(traced: fx.GraphModule, node: fx.Node | None) -> nn.Module | None:
    """The module that a node calls with one tensor and nothing else."""
    if node is None or node.op != "call_module" or len(node.args) != 1 or node.kwargs:
        return None
    return traced.get_submodule(str(node.target))


def _convolution(traced: fx.GraphModule, node: fx.Node) -> nn.Conv2d | None:
    """One that no other node calls, over several maps of floats."""
    layer = _layer(traced, node)
    if type(layer) is not nn.Conv2d or layer.padding_mode != "zeros" or isinstance(layer.padding, str):
        return None
    calls = sum(each.op == "call_module" and each.target == node.target for each in traced.graph.nodes)
    fits = layer.weight.dtype == torch.float32 and len(node.args[0].meta["shape"]) == 4
    return layer if calls == 1 and fits else None


def _follower(node: fx.Node) -> fx.Node | None:
    """The only node that uses this one's result."""
    return next(iter(node.users)) if len(node.users) == 1 else None


def _folded(traced: fx.GraphModule, node: fx.Node, plain: nn.Conv2d) -> nn.Conv2d:
    follower = _follower(node)
    norm = _layer(traced, follower)
    if type(norm) is not nn.BatchNorm2d or not norm.track_running_stats:
        return plain
    _replace(traced, follower, node)
    return fuse_conv_bn_eval(plain, norm)


def _summed_and_activated(traced: fx.GraphModule, node: fx.Node, layer: Layer) -> None:
    total = _follower(node)
    if total is not None and total.target in SUMS and _is_other_map(node, total):
        (other,) = (each for each in total.args if each is not node)
        with traced.graph.inserting_before(total):  # what is added may be computed after the convolution
            moved = traced.graph.call_module(str(node.target), (node.args[0], other))
        moved.meta["shape"] = node.meta["shape"]
        _replace(traced, total, moved)
        traced.graph.erase_node(node)
        node = moved
    follower = _follower(node)
    found = _activation(traced, follower)
    if found != NONE and (len(node.args) == 1 or found[0] == "relu"):  # behind a sum oneDNN knows this one alone
        layer.activation = found
        _replace(traced, follower, node)


def _is_other_map(node: fx.Node, total: fx.Node) -> bool:
    others = [each for each in total.args if each is not node]
    alone = len(total.args) == 2 and not total.kwargs and len(others) == 1 and isinstance(others[0], fx.Node)
    return alone and others[0].meta["shape"] == node.meta["shape"]


def _activation(traced: fx.GraphModule, node: fx.Node | None) -> tuple[str, tuple[float, ...]]:
    if node is not None and node.op == "call_function":
        return ACTIVATIONS.get(node.target, NONE)
    return ACTIVATIONS.get(type(_layer(traced, node)), NONE)


def _replace(traced: fx.GraphModule, old: fx.Node | None, new: fx.Node) -> None:
    assert old is not None
    old.replace_all_uses_with(new)
    traced.graph.erase_node(old)


def _put(traced: fx.GraphModule, name: Any, layer: nn.Module) -> None:
    folder, _, last = str(name).rpartition(".")
    setattr(traced.get_submodule(folder), last, layer)
