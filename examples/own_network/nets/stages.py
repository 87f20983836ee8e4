"""What small.py is made of."""

from torch import nn


def stage(wide: int, out: int) -> nn.Module:
    """Halves the side."""
    convolution = nn.Conv2d(wide, out, 3, padding=1, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(out), nn.ReLU(), nn.MaxPool2d(2))
