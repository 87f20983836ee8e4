"""What a frozen network gives its head, computed once for a split: for all epochs, and for all trials of a machine.

A file of features is named by a digest of all that they depend on. What no digest sees (a module that somebody's own
network takes from elsewhere) shows in a few pictures that are run through it again before a file is believed.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import model
import neighbours
import torch
import torchvision
from data import Split
from torch import Tensor, nn

from training import arrays, freezing, progress, sampling
from training.batches import Batches, Lap, unclocked
from training.distributed import ALONE, World

FOLDER = "DARKROOM_FEATURE_CACHE"  # the local service names a folder of its home there; elsewhere it is absent
LIMIT = 8 * 2**30  # bytes of all files in that folder: 500,000 pictures with 4,096 features
ON_CPU = 64  # pictures in one pass: 1.1 x the speed of 256 (ResNet18 at 64 px, bfloat16, one core of an EPYC, n=3)
SAMPLE = 16  # pictures that are computed again before a file is believed
TOLERANCE = {torch.float32: 1e-3, torch.float16: 1e-2, torch.bfloat16: 5e-2}  # of the sample's largest feature
# What makes features of stored squares.
CODE = ("training/batches.py", "data.py", "mapped.py", "training/features.py", "training/arrays.py")
DATA = ("shards", "image_size", "stored_size", "encoding", "mean", "deviation")  # the manifest's keys that they read
Layers = tuple[nn.Module, nn.Module]  # a network and its head


class Features:
    """Stands in for Batches where only the head learns: gives what goes into it instead of pictures."""

    def __init__(self, split: Split, rows: Tensor, device: torch.device, world: World = ALONE) -> None:
        """`rows` is what `of` gave for this split."""
        self.split = split
        self.world = world
        self.device = device
        self.labels = torch.from_numpy(split.labels).to(device)
        self.rows = rows

    def shuffled(
        self,
        size: int,
        augment: str,
        random: torch.Generator,
        sampled: str = "shuffled",
        first: int = 0,
        lap: Lap = unclocked,
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """The pictures of one epoch, in the order in which Batches would draw them, from batch `first` on."""
        if augment != "none":
            raise ValueError(f"features of {augment!r} pictures are not the same in every epoch")
        size = min(size, len(self.split))
        own = self.world.own(size)
        order = sampling.order(self.split.labels, sampled, random)
        for start in range(first * size, len(order) - size + 1, size):
            indices = order[start : start + size][own]
            rows = self.rows[indices]
            lap("data_wait")
            there, labels = rows.to(self.device), self.labels[indices.to(self.device)]
            lap("transfer")
            yield there, labels

    def in_order(self) -> Iterator[tuple[Tensor, Tensor]]:
        own = self.world.own(len(self.split))
        for rows, labels in zip(self.rows[own].split(4096), self.labels[own].split(4096), strict=True):
            yield rows.to(self.device), labels

    def steps(self, size: int) -> int:
        return max(1, len(self.split) // size)


def shown(
    args: argparse.Namespace,
    splits: tuple[Split, Split],
    network: nn.Module,
    device: torch.device,
    dtype: torch.dtype,
    world: World = ALONE,
) -> tuple[Batches | Features, Batches | Features, nn.Module]:
    """Both splits, and what is to learn from them: the network from pictures, or its head from their features.

    From features where nothing else learns and a picture is the same in every epoch; it gives the same head. Each
    rank has the features of all pictures: any of them may be in its part of a batch.
    """
    training, validation = splits
    layers = network, model.head(network)
    still = args.augment == "none" and args.mixup == args.cutmix == 0
    if args.trainable_layers != 0 or not still or not suit(layers, training.image_size, device):
        return Batches(training, device, world), Batches(validation, device, world), network
    ours, check = (Features(split, of(split, layers, device, dtype), device, world) for split in splits)
    return ours, check, layers[1]


def whole(network: nn.Module, learner: nn.Module, learnt: nn.Module) -> nn.Module:
    """The network to keep, when `learner` is what `shown` gave and `learnt` that or an average of it."""
    if learner is network:
        return learnt
    learner.load_state_dict(learnt.state_dict())
    return network


def of(
    split: Split,
    layers: Layers,
    device: torch.device,
    precision: torch.dtype = torch.float32,
    env: Mapping[str, str] = os.environ,
) -> Tensor:
    """(N, …) float32 in mapped CPU memory: what the head is given for each picture's centre.

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
            for part in pictures.split(ON_CPU) if device.type == "cpu" else (pictures,):
                yield given(layers, part, precision)
            computed.append(len(pictures))

    def believed(found: Tensor) -> bool:
        reach = TOLERANCE[precision] * float(sample.abs().max())
        return bool(((found[:SAMPLE] - sample).abs() <= reach).all())  # NaN is never believed

    name = digest(split, layers, device, precision)
    found = _kept(env.get(FOLDER, ""), name, shape, believed, rows)
    how = "computed" if computed else "found"
    seconds = time.perf_counter() - started
    progress.say(f"features of {split.folder.name}: {tuple(shape)}, {how} in {seconds:.1f} s")
    return found


def given(layers: Layers, pictures: Tensor, precision: torch.dtype) -> Tensor:
    """What the head is given for these pictures, on the CPU."""
    network, head = layers
    seen: list[Tensor] = []
    hook = head.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]), prepend=True)  # before its dropout
    try:
        with torch.inference_mode(), torch.autocast(pictures.device.type, precision, precision != torch.float32):
            network(pictures)
    finally:
        hook.remove()
    return seen[0].float().cpu().contiguous()


def suit(layers: Layers, size: int, device: torch.device) -> bool:
    """Does the network end in its head, and is the head given the same (N, width) in training as in evaluation?

    Looked at with 8 pictures of noise. A weight that the head shares with other layers would change them as it learns.
    """
    network, head = layers
    own = set(head.modules())
    others = {weight for layer in network.modules() if layer not in own for weight in layer.parameters(recurse=False)}
    if others & set(head.parameters()):
        return False
    noise = torch.rand(8, 3, size, size, generator=torch.Generator().manual_seed(0)).sub_(0.5).to(device)
    inputs: list[Tensor] = []
    outputs: list[tuple[Tensor, int]] = []  # with the number of changes in place
    hooks = (
        head.register_forward_pre_hook(lambda _, given: inputs.extend(given), prepend=True),
        head.register_forward_hook(lambda _, given, output: outputs.append((output, output._version))),
    )
    with torch.random.fork_rng([device] if device.type == "cuda" else []), torch.no_grad():
        network.eval()
        judged = network(noise)
        freezing.train_mode(network)
        network(noise)
    network.eval()
    for hook in hooks:
        hook.remove()
    if len(inputs) != 2 or inputs[0].dim() != 2 or outputs[0][0] is not judged or outputs[0][1] != judged._version:
        return False
    return torch.allclose(*inputs, rtol=1e-3, atol=1e-5)


def digest(split: Split, layers: Layers, device: torch.device, precision: torch.dtype) -> str:
    """Of the pictures, what is done to them, every other layer and weight, and what computes."""
    data = {key: split.manifest[key] for key in DATA}
    machine = [torch.__version__, torchvision.__version__, torch.backends.cpu.get_cpu_capability(), str(device.type)]
    summed = hashlib.sha256(json.dumps([data, machine, str(precision)], sort_keys=True).encode())
    for path in (*(Path(__file__).parents[1] / name for name in CODE), *neighbours.files().values()):
        summed.update(path.read_bytes())
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
            progress.say(f"features are not kept in {folder}: {error}")
    return arrays.temporary(shape, rows)
