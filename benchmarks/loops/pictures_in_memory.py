"""What the reference loop and Lightning are given: pictures in memory, a transform with PIL for each, no workers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

CLASSES = 10
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Pictures(Dataset):
    def __init__(self, path: Path, side: int) -> None:
        self.pixels = np.load(path)
        steps = [transforms.RandomCrop(side, padding=4), transforms.RandomHorizontalFlip(), transforms.PILToTensor()]
        steps += [transforms.ConvertImageDtype(torch.float), transforms.Normalize(MEAN, DEVIATION)]
        self.transform = transforms.Compose(steps)

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        return self.transform(Image.fromarray(self.pixels[index])), index % CLASSES


def loader(folder: Path, side: int, batch: int) -> DataLoader:
    return DataLoader(Pictures(folder / "pixels.npy", side), batch_size=batch, shuffle=True)
