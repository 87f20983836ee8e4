"""Grad-CAM: where in a picture a convolutional network found what it said; nothing for networks of another kind."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

LEAST = 4  # cells a side: a coarser map says nothing about where
AT_ONCE = 8  # pictures: all activations of a pass are kept for the way back
FLAT = 1e-3  # of the largest cell: a map that varies less marks no place
SHARE = 0.6  # of the colour where the map is hottest
# blue, cyan, yellow, red: from nothing to most
COLOURS = np.array([[48, 60, 180], [60, 190, 200], [250, 210, 60], [225, 45, 35]], dtype=np.float64)


class Maps(NamedTuple):
    """`cells`: (n, h, w) of 0 to 1 for each picture, or None where no place stood out; `layer` made them."""

    layer: str
    cells: list[NDArray[np.float32] | None]

    @property
    def size(self) -> list[int] | None:
        return next((list(each.shape) for each in self.cells if each is not None), None)


class _Last:
    """Hooked to every module: keeps the output that follows the network's last convolution at the same resolution.

    After a ResNet's last convolution come its normalisation, the sum with the shortcut and the ReLU: that output is
    what the classifier pools. A convolution that attention follows, as in a vision transformer, is not the last word.
    """

    def __init__(self) -> None:
        self.output: Tensor | None = None
        self.name = ""

    def look(self, name: str, module: nn.Module, output: Any) -> None:
        if isinstance(module, nn.MultiheadAttention) or "Attention" in type(module).__name__:
            self.output = None
        if not isinstance(output, Tensor):
            return
        if output.ndim == 3 and output.shape[1] > 1:  # a sequence of tokens
            self.output = None
        if output.ndim != 4 or min(output.shape[2:]) < LEAST:
            return
        if isinstance(module, nn.Conv2d) or (self.output is not None and output.shape[2:] == self.output.shape[2:]):
            self.output, self.name = output, name


def maps(network: nn.Module, pictures: Tensor, classes: NDArray[np.int64]) -> Maps | None:
    """One map for each of (n, 3, H, W) and its class to be explained; None for networks without a last convolution.

    Selvaraju et al., "Grad-CAM: Visual Explanations from Deep Networks via Gradient-based Localization" (ICCV 2017).
    """
    last = _Last()
    hooks = [
        module.register_forward_hook(lambda module, _, output, name=name: last.look(name, module, output))
        for name, module in network.named_modules()
        if name
    ]
    cells: list[NDArray[np.float32] | None] = []
    try:
        for start in range(0, len(pictures), AT_ONCE):
            part = _part(network, last, pictures[start : start + AT_ONCE], classes[start : start + AT_ONCE])
            if part is None:
                return None
            cells += part
    finally:
        for hook in hooks:
            hook.remove()
    return Maps(last.name, cells)


def _part(
    network: nn.Module, last: _Last, pictures: Tensor, classes: NDArray[np.int64]
) -> list[NDArray[np.float32] | None] | None:
    last.output = None
    with torch.enable_grad():
        # asked for, so that frozen layers are followed, too; a copy, since a network may change its input in place
        scores = network(pictures.detach().requires_grad_().clone())
        if last.output is None or not last.output.requires_grad or not scores.requires_grad:
            return None
        chosen = scores.gather(1, torch.as_tensor(classes, device=scores.device)[:, None])
        (slopes,) = torch.autograd.grad(chosen.sum(), last.output, allow_unused=True)
    if slopes is None:  # the scores do not come from there
        return None
    weights = slopes.mean((2, 3), keepdim=True)
    found = (weights * last.output).sum(1).relu().detach().float().cpu().numpy()
    return [_scaled(each) for each in found]


def _scaled(cells: NDArray[np.float32]) -> NDArray[np.float32] | None:
    most, least = float(cells.max()), float(cells.min())
    if not np.isfinite(cells).all() or most <= 0 or most - least <= FLAT * most:
        return None
    return cells / most


def overlay(pixels: NDArray[np.uint8], cells: NDArray[np.float32]) -> NDArray[np.uint8]:
    """(H, W, 3) in grey under the map's colours, which are stronger where it is hotter."""
    grey = pixels.mean(2, keepdims=True)
    spread = functional.interpolate(
        torch.from_numpy(cells)[None, None], pixels.shape[:2], mode="bilinear", antialias=True
    )
    heat = spread[0, 0].numpy().astype(np.float64)[..., None]
    stops = np.linspace(0, 1, len(COLOURS))
    colour = np.concatenate([np.interp(heat, stops, channel) for channel in COLOURS.T], axis=2)
    share = SHARE * (0.25 + 0.75 * heat)
    mixed: NDArray[np.uint8] = np.rint(grey * (1 - share) + colour * share).astype(np.uint8)
    return mixed
