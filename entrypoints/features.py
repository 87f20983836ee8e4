"""What a frozen network gives its head, computed once for a split: for all epochs, and for all trials of a machine.

A file of features is named by a digest of all that they depend on. What no digest sees (the code of somebody's own
network) shows in a few pictures that are run through the network again before a file is believed.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import arrays
import torch
import torchvision
from batches import Batches
from data import Split
from torch import Tensor, nn

FOLDER = "DARKROOM_FEATURE_CACHE"  # the local service names a folder of its home there; elsewhere it is absent
LIMIT = 8 * 2**30  # bytes of all files in that folder: 500,000 pictures with 4,096 features
SAMPLE = 16  # pictures that are computed again before a file is believed
TOLERANCE = {torch.float32: 1e-3, torch.float16: 1e-2, torch.bfloat16: 5e-2}  # of the sample's largest feature
CODE = ("batches.py", "data.py", "mapped.py", "features.py", "arrays.py")  # what makes features of stored squares
DATA = ("shards", "image_size", "stored_size", "encoding", "mean", "deviation")  # the manifest's keys that they read


class Features:
    """Stands in for Batches where only the head learns: gives what goes into it instead of pictures."""

    def __init__(self, split: Split, rows: Tensor, device: torch.device) -> None:
        """`rows` is what `of` gave for this split."""
        self.split = split
        self.device = device
        self.labels = torch.from_numpy(split.labels).to(device)
        self.rows = rows

    def shuffled(self, size: int, augment: str, random: torch.Generator) -> Iterator[tuple[Tensor, Tensor]]:
        """The pictures of one epoch, in the order in which Batches would draw them."""
        if augment != "none":
            raise ValueError(f"features of {augment!r} pictures are not the same in every epoch")
        size = min(size, len(self.split))
        order = torch.randperm(len(self.split), generator=random)
        for start in range(0, len(order) - size + 1, size):
            indices = order[start : start + size]
            yield self.rows[indices].to(self.device), self.labels[indices.to(self.device)]

    def in_order(self) -> Iterator[tuple[Tensor, Tensor]]:
        for rows, labels in zip(self.rows.split(4096), self.labels.split(4096), strict=True):
            yield rows.to(self.device), labels

    def steps(self, size: int) -> int:
        return max(1, len(self.split) // size)


def of(
    split: Split,
    layers: tuple[nn.Module, nn.Module],
    device: torch.device,
    precision: torch.dtype = torch.float32,
    env: Mapping[str, str] = os.environ,
) -> Tensor:
    """(N, …) float32 in mapped CPU memory: what the head is given for each picture's centre. `layers`: network, head.

    Kept in the folder that DARKROOM_FEATURE_CACHE names, else in a nameless file below TMPDIR. The network is left in
    evaluation mode.
    """
    started = time.perf_counter()
    layers[0].eval()
    shown = Batches(split, device).in_order
    sample = given(layers, next(shown())[0][:SAMPLE], precision)
    shape = (len(split), *sample.shape[1:])
    computed: list[int] = []

    def rows() -> Iterator[Tensor]:
        for pictures, _ in shown():
            yield given(layers, pictures, precision)
            computed.append(len(pictures))

    def believed(found: Tensor) -> bool:
        reach = TOLERANCE[precision] * float(sample.abs().max())
        return bool(((found[:SAMPLE] - sample).abs() <= reach).all())  # NaN is never believed

    name = digest(split, layers, device, precision)
    found = _kept(env.get(FOLDER, ""), name, shape, believed, rows)
    how = "computed" if computed else "found"
    seconds = time.perf_counter() - started
    print(f"features of {split.folder.name}: {tuple(shape)}, {how} in {seconds:.1f} s", file=sys.stderr, flush=True)
    return found


def given(layers: tuple[nn.Module, nn.Module], pictures: Tensor, precision: torch.dtype) -> Tensor:
    """What the head is given for these pictures, on the CPU."""
    network, head = layers
    seen: list[Tensor] = []
    hook = head.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    try:
        with torch.inference_mode(), torch.autocast(pictures.device.type, precision, precision != torch.float32):
            network(pictures)
    finally:
        hook.remove()
    return seen[0].float().cpu().contiguous()


def ends_in(network: nn.Module, head: nn.Module, size: int, device: torch.device) -> bool:
    """Is what `head` gives, from one tensor, what the network gives? Looked at with one picture of `size`.

    A weight that the head shares with other layers would change them while it learns.
    """
    own = set(head.modules())
    others = {weight for layer in network.modules() if layer not in own for weight in layer.parameters(recurse=False)}
    if others & set(head.parameters()):
        return False
    calls: list[tuple[int, object]] = []
    hook = head.register_forward_hook(lambda _, inputs, output: calls.append((len(inputs), output)))
    try:
        with torch.inference_mode():
            output = network.eval()(torch.zeros(1, 3, size, size, device=device))
    finally:
        hook.remove()
    return len(calls) == 1 and calls[0][0] == 1 and calls[0][1] is output


def digest(split: Split, layers: tuple[nn.Module, nn.Module], device: torch.device, precision: torch.dtype) -> str:
    """Of the pictures, what is done to them, every layer and weight but the head's, and what computes."""
    data = {key: split.manifest[key] for key in DATA}
    machine = [torch.__version__, torchvision.__version__, torch.backends.cpu.get_cpu_capability(), str(device.type)]
    summed = hashlib.sha256(json.dumps([data, machine, str(precision)], sort_keys=True).encode())
    for name in CODE:
        summed.update(Path(__file__).with_name(name).read_bytes())
    network, head = layers
    own = set(head.modules())
    for name, layer in network.named_modules():
        if layer in own:
            continue
        summed.update(f"{name} {type(layer).__module__}.{type(layer).__qualname__} {layer.extra_repr()}\n".encode())
        tensors = itertools.chain(layer.named_parameters(recurse=False), layer.named_buffers(recurse=False))
        for own_name, tensor in tensors:
            summed.update(f"{own_name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
            summed.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return summed.hexdigest()


def _kept(
    folder: str, name: str, shape: tuple[int, ...], believed: Callable[[Tensor], bool], rows: arrays.Rows
) -> Tensor:
    """Training goes on without a folder that cannot be used: it only saves time."""
    if folder:
        try:
            return arrays.kept(Path(folder, f"{name}.array"), shape, believed, rows, LIMIT)
        except OSError as error:
            print(f"features are not kept in {folder}: {error}", file=sys.stderr, flush=True)
    return arrays.temporary(shape, rows)
