"""A small network for small pictures: three stages, the mean of each channel, and a linear head."""

from stages import stage
from torch import nn


def build(num_classes: int) -> nn.Module:
    """(n, 3, H, W) → (n, num_classes) scores. Layers stand in the order in which they run: `trainable_layers` counts
    them from the end, and the last linear layer is the head."""
    return nn.Sequential(
        stage(3, 16),
        stage(16, 32),
        stage(32, 64),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(64, num_classes),
    )
