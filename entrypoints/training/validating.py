"""What the network makes of the validation split, while it trains and at the end."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from evaluation import calibration
from refusal import Refusal
from torch import Tensor, nn
from torch.nn import functional as F

from training.batches import Batches
from training.features import Features


def measured(
    network: nn.Module,
    batches: Batches | Features,
    autocast: torch.autocast,
    seen: Callable[[Tensor, Tensor], None] = lambda scores, labels: None,
) -> tuple[float, float]:
    """Mean loss and accuracy over the whole split, each picture counting the same; `seen` is shown each batch."""
    loss, right = 0.0, 0
    for scores, labels in judged(network, batches, autocast):
        seen(scores, labels)
        loss += F.cross_entropy(scores, labels, reduction="sum").item()
        right += int((scores.argmax(1) == labels).sum())
    loss, right = batches.world.summed(loss, right)
    return loss / len(batches.split), right / len(batches.split)


def judged(
    network: nn.Module, batches: Batches | Features, autocast: torch.autocast
) -> Iterator[tuple[Tensor, Tensor]]:
    """Scores and labels of this rank's part of a split, in order."""
    network.eval()
    with torch.inference_mode():
        for pictures, labels in batches.in_order():
            with autocast:
                scores = network(pictures)
            yield scores.float(), labels


def temperature(network: nn.Module, check: Batches | Features, autocast: torch.autocast) -> float:
    scores = torch.cat(check.world.gathered([scores.cpu() for scores, _ in judged(network, check, autocast)]))
    if not scores.isfinite().all():
        raise Refusal("the trained network gives scores that are no finite numbers on validation: lower lr")
    return calibration.temperature(scores.numpy(), check.split.labels)
