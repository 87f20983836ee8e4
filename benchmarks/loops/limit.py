"""What matrix products alone would allow: this machine's peak, and how many operations ResNet18 needs for a picture.

    python benchmarks/loops/limit.py PRECISION SIDE

Prints JSON: `peak`, GFLOP/s of the best of many products of 2048 x 2048; `picture`, GFLOP of one picture's forward and
backward pass as torch counts them; `inside`, the same without products with the zeros around a map, which need not be
made: at 32 px the last stage's maps are 1 x 1, and eight of nine products of its kernels meet zeros.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import torch
import torchvision
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

SIDE, SECONDS = 2048, 1.5
COUNTED = 2  # pictures: batch norm wants more than one


def peak(dtype: torch.dtype) -> float:
    left, right = (torch.randn(SIDE, SIDE).to(dtype) for _ in range(2))
    torch.mm(left, right)
    best, ends = float("inf"), time.perf_counter() + SECONDS
    while time.perf_counter() < ends:
        began = time.perf_counter()
        torch.mm(left, right)
        best = min(best, time.perf_counter() - began)
    return 2 * SIDE**3 / best / 1e9


def picture(side: int) -> tuple[float, float]:
    """GFLOP as torch counts, and without the zeros around."""
    network = torchvision.models.resnet18(num_classes=10)
    zeros: list[float] = []
    convolutions = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d)]
    for layer in convolutions:
        layer.register_forward_hook(lambda layer, inputs, output: zeros.append(_with_zeros(layer, inputs, output)))
    with FlopCounterMode(display=False) as counter:
        network(torch.randn(COUNTED, 3, side, side)).sum().backward()
    passes = [2, *[3] * (len(convolutions) - 1)]  # nobody asks for the gradient of the pictures
    saved = sum(each * times for each, times in zip(zeros, passes, strict=True))
    total = counter.get_total_flops() / COUNTED
    return total / 1e9, (total - saved) / 1e9


def _with_zeros(layer: nn.Conv2d, inputs: tuple[Any, ...], output: Tensor) -> float:
    """FLOP of one picture's forward pass that multiply a zero of the padding."""
    every = inside = 1
    for axis in (0, 1):
        reach = layer.kernel_size[axis]
        starts = [place * layer.stride[axis] - layer.padding[axis] for place in range(output.shape[2 + axis])]
        every *= len(starts) * reach
        inside *= sum(0 <= start + tap < inputs[0].shape[2 + axis] for start in starts for tap in range(reach))
    return 2.0 * layer.in_channels * layer.out_channels * (every - inside)


def main(precision: str, side: str) -> None:
    whole, inside = picture(int(side))
    print(json.dumps({"peak": peak(getattr(torch, precision)), "picture": whole, "inside": inside}))


if __name__ == "__main__":
    main(*sys.argv[1:])
