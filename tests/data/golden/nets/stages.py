from torch import nn


def stage(wide: int, out: int) -> nn.Module:
    return nn.Sequential(nn.Conv2d(wide, out, 3, stride=2, padding=1), nn.BatchNorm2d(out), nn.ReLU())
