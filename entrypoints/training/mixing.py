"""Mixup and CutMix: each picture of a batch gets a share of another one, and of its label."""

from __future__ import annotations

import math
from random import Random
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F


class Target(NamedTuple):
    """A picture is `share` of its own label, and the rest of its partner's."""

    labels: Tensor
    partners: Tensor
    share: float


def mixed(
    pictures: Tensor, labels: Tensor, mixup: float, cutmix: float, random: torch.Generator
) -> tuple[Tensor, Target]:
    """One partner a picture, one share or box a batch, on the batch's device. Where both are on, a coin decides.

    `mixup`, `cutmix`: both parameters of a beta distribution (Zhang et al., 2018; Yun et al., 2019); 0 is off.
    `random` is a CPU generator: CPU and GPU draw the same. `pictures` may be changed.
    """
    if not mixup and not cutmix:
        return pictures, Target(labels, labels, 1.0)
    dice = Random(int(torch.randint(2**53, (), generator=random)))  # torch's own beta takes no generator
    partner = torch.randperm(len(labels), generator=random).to(labels.device)
    if not mixup or (cutmix and dice.random() < 0.5):
        top, bottom, left, right = _box(pictures.shape[-2], pictures.shape[-1], dice.betavariate(cutmix, cutmix), dice)
        pictures[..., top:bottom, left:right] = pictures[partner, ..., top:bottom, left:right]
        share = 1 - (bottom - top) * (right - left) / (pictures.shape[-2] * pictures.shape[-1])
    else:
        share = dice.betavariate(mixup, mixup)
        pictures = pictures.lerp(pictures[partner], 1 - share)
    return pictures, Target(labels, labels[partner], share)


def loss(scores: Tensor, target: Target, weights: Tensor | None, label_smoothing: float) -> Tensor:
    """Cross entropy with both labels of each picture; with `weights`, each of the two is a weighted mean."""
    own = F.cross_entropy(scores, target.labels, weight=weights, label_smoothing=label_smoothing)
    if target.share == 1:
        return own
    other = F.cross_entropy(scores, target.partners, weight=weights, label_smoothing=label_smoothing)
    return target.share * own + (1 - target.share) * other


def _box(height: int, width: int, share: float, dice: Random) -> tuple[int, int, int, int]:
    """Top, bottom, left, right of what comes from the partner: 1 - `share` of the area before the edges cut it."""
    side = math.sqrt(1 - share)
    (top, bottom), (left, right) = (_span(length, side, dice) for length in (height, width))
    return top, bottom, left, right


def _span(length: int, share: float, dice: Random) -> tuple[int, int]:
    middle, half = dice.randrange(length), round(length * share) // 2
    return max(0, middle - half), min(length, middle + half)
