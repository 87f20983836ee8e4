"""Convolutions over maps of a few pixels, trained on CPUs without the work that nothing comes of.

A ResNet18 at 32 px ends in maps of 1 x 1, with three quarters of its weights there: eight places of nine of their
kernels meet nothing but padding, and oneDNN spends 4 to 40 times as long on the weights' gradients as the few products
take that do meet pixels. Products are the same either way; they are added up in another order.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

# Pixels of the outputs up to which products won, from measured layers of 64 to 2,048 channels in batches of 32 and 128.
SMALL = {torch.bfloat16: 16, torch.float32: 4}
PLAIN = {"groups": 1, "dilation": (1, 1), "padding_mode": "zeros"}


class Axis(NamedTuple):
    """What a convolution does along the height or the width."""

    side: int
    kernel: int
    stride: int
    padding: int

    @property
    def outputs(self) -> int:
        return (self.side + 2 * self.padding - self.kernel) // self.stride + 1


Axes = tuple[Axis, Axis]


def prepare(network: nn.Module, device: torch.device) -> None:
    """Its 2-d convolutions take the short way where that is one; names and weights stay as they are."""
    if device.type != "cpu":
        return
    for layer in network.modules():
        plain = type(layer) is nn.Conv2d and all(getattr(layer, name) == value for name, value in PLAIN.items())
        if plain and isinstance(layer.padding, tuple):
            layer.__class__ = Convolution


class Convolution(nn.Conv2d):
    """nn.Conv2d, which it is for large maps, and while nothing learns."""

    def forward(self, pictures: Tensor) -> Tensor:
        lowered = torch.is_autocast_enabled("cpu")
        dtype = torch.get_autocast_dtype("cpu") if lowered else pictures.dtype
        learns = torch.is_grad_enabled() and self.weight.requires_grad
        if not learns or pictures.dim() != 4 or pictures.shape[1] != self.in_channels:
            return super().forward(pictures)
        forms = zip(pictures.shape[2:], self.kernel_size, self.stride, self.padding, strict=True)
        down, right = (Axis(*form) for form in forms)
        if not 0 < down.outputs * right.outputs <= SMALL.get(dtype, 0):
            return super().forward(pictures)
        out: Tensor = _Convolved.apply(pictures.to(dtype), self.weight, (down, right))
        return out if self.bias is None else out + self.bias.to(dtype).view(-1, 1, 1)


class _Convolved(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, pictures: Tensor, weight: Tensor, axes: Axes) -> Tensor:
        (top, down), (left, right) = (cropped(axis) for axis in axes)
        used = weight[:, :, top : top + down.kernel, left : left + right.kernel].to(pictures.dtype)
        ctx.save_for_backward(pictures, weight, used)
        ctx.axes, ctx.padding = axes, (down.padding, right.padding)
        return torch.conv2d(pictures, used, None, (down.stride, right.stride), ctx.padding)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor, None]:
        pictures, weight, used = ctx.saved_tensors
        back = None
        if ctx.needs_input_grad[0]:
            stride = [axis.stride for axis in ctx.axes]
            rest = (None, stride, ctx.padding, (1, 1), False, (0, 0), 1, [True, False, False])
            back = torch.ops.aten.convolution_backward(gradient, pictures, used, *rest)[0]
        return back, weight_gradient(pictures, gradient, weight, ctx.axes), None


def weight_gradient(pictures: Tensor, gradient: Tensor, weight: Tensor, axes: Axes) -> Tensor:
    """Laid out as `weight` is, (out, in, kernel height, kernel width): one product for each place of the kernel.

    `pictures`: (n, in, H, W); `gradient`: (n, out, h, w), of the outputs.
    """
    total = torch.zeros_like(weight)
    read, written = pictures.permute(0, 2, 3, 1), gradient.permute(0, 2, 3, 1)
    rows, columns = (met(axis) for axis in axes)
    for row, (above, outputs_down) in rows.items():
        for column, (left, outputs_right) in columns.items():
            seen = read[:, above, left].reshape(-1, read.shape[3])
            changes = written[:, outputs_down, outputs_right].reshape(-1, written.shape[3])
            total[:, :, row, column] = changes.t() @ seen
    return total


@lru_cache
def met(axis: Axis) -> dict[int, tuple[slice, slice]]:
    """For each place of the kernel that meets any: pixels that are none of the padding, and the outputs they go to."""
    found = {}
    for place in range(axis.kernel):
        offset = place - axis.padding
        first = max(0, -(offset // axis.stride))
        last = min(axis.outputs - 1, (axis.side - 1 - offset) // axis.stride)
        if first <= last:
            begin, end = first * axis.stride + offset, last * axis.stride + offset + 1
            found[place] = slice(begin, end, axis.stride), slice(first, last + 1)
    return found


@lru_cache
def cropped(axis: Axis) -> tuple[int, Axis]:
    """The first place of the kernel that is needed, and the axis with those that are: as many outputs, all alike."""
    places = met(axis)
    if places:
        first = min(places)
        shorter = axis._replace(kernel=max(places) - first + 1, padding=axis.padding - first)
        if shorter.padding >= 0 and shorter.outputs == axis.outputs:
            return first, shorter
    return 0, axis
