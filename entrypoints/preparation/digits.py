"""scikit-learn's 1,797 handwritten digits, 8 x 8 in 17 greys, as if they were PNG files in class folders."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import images
import numpy as np
from numpy.typing import NDArray

from preparation.items import Item, Source


@dataclass(frozen=True)
class Files:
    """Source.read: each picture becomes a file's content when it is asked for."""

    grey: NDArray[np.uint8]  # (N, 8, 8)

    def __call__(self, index: int) -> bytes:
        return images.png(self.grey[index])


def open_digits() -> Source:
    from sklearn.datasets import load_digits

    digits = load_digits()
    grey = np.round(digits.images * (255 / 16)).astype(np.uint8)
    items = [Item(f"{label}/{number:04d}.png", int(label)) for number, label in enumerate(digits.target)]
    order = sorted(range(len(items)), key=items.__getitem__)
    items = [items[place] for place in order]
    grey = np.ascontiguousarray(grey[order])
    total = hashlib.sha256("\n".join(item.name for item in items).encode() + grey.tobytes())
    classes = tuple(str(name) for name in digits.target_names)
    return Source("digits", classes, items, Files(grey), None, (), total.hexdigest())
