"""Photo-like pictures, and what happens to photos on their way: for the tests of near-duplicates."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Picture = NDArray[np.uint8]


def scenes(count: int, size: int, seed: int) -> Picture:
    """(count, size, size, 3): light that falls off with frequency as in photos, some ellipses, sensor noise."""
    return np.stack([_scene(np.random.default_rng([seed, number]), size) for number in range(count)])


def photos(count: int, size: int, seed: int) -> Picture:
    """Random squares out of the two photographs that come with scikit-learn; some overlap, some are mostly sky."""
    from sklearn.datasets import load_sample_images

    random, both = np.random.default_rng(seed), load_sample_images().images
    found = []
    for number in range(count):
        photo = both[number % 2]
        side = int(random.integers(100, 300))
        top, left = (int(random.integers(0, length - side)) for length in photo.shape[:2])
        found.append(_resized(photo[top : top + side, left : left + side], size))
    return np.stack(found)


def changed(pictures: Picture, change: str) -> Picture:
    return np.stack([CHANGES[change](picture) for picture in pictures])


def shapes(count: int, size: int, seed: int) -> Picture:
    """One disc each on a plain ground, without noise: drawings."""
    random = np.random.default_rng(seed)
    across = (np.arange(size) + 0.5) / size
    found = np.empty((count, size, size, 3), dtype=np.uint8)
    for picture in found:
        (y, x), radius = random.uniform(0.2, 0.8, 2), random.uniform(0.1, 0.4)
        inside = (across[:, None] - y) ** 2 + (across - x) ** 2 < radius**2
        picture[:] = random.integers(0, 256, 3)
        picture[inside] = random.integers(0, 256, 3)
    return found


def _scene(random: np.random.Generator, size: int) -> Picture:
    frequency = np.fft.fftfreq(size)
    amount = 1 / np.maximum(np.hypot(frequency[:, None], frequency), 1 / size) ** random.uniform(1, 1.5)
    light = np.fft.ifft2(np.exp(2j * np.pi * random.random((size, size))) * amount).real
    pixels = (
        random.uniform(90, 150) + light[..., None] / light.std() * random.uniform(25, 45) + random.uniform(-12, 12, 3)
    )
    across = np.arange(size) / size
    for _ in range(random.integers(2, 6)):
        (y, x), (high, wide) = random.uniform(0.1, 0.9, 2), random.uniform(0.05, 0.3, 2)
        inside = ((across[:, None] - y) / high) ** 2 + ((across - x) / wide) ** 2 < 1
        pixels[inside] = 0.4 * pixels[inside] + 0.6 * random.uniform(0, 255, 3)
    return np.clip(pixels + random.normal(0, 4, pixels.shape), 0, 255).astype(np.uint8)


def _resized(pixels: Picture, size: int) -> Picture:
    return np.asarray(Image.fromarray(pixels).resize((size, size), Image.Resampling.BILINEAR))


def _encoded(pixels: Picture, quality: int) -> Picture:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=quality)
    return np.asarray(Image.open(buffer))


def _cropped(pixels: Picture, share: float) -> Picture:
    edge = max(1, round(len(pixels) * share / 2))
    return _resized(pixels[edge:-edge, edge:-edge], len(pixels))


def _blotted(pixels: Picture, share: float) -> Picture:
    """The same view taken again, with a dark square on it: what tells a sound part from a broken one."""
    random, size = np.random.default_rng(int(pixels.sum())), len(pixels)
    side = max(1, int(size * share))
    top, left = random.integers(0, size - side, 2)
    found = pixels + random.normal(0, 3, pixels.shape)
    found[top : top + side, left : left + side] /= 3
    return np.clip(found, 0, 255).astype(np.uint8)


def _brighter(pixels: Picture) -> Picture:
    return np.clip(pixels * 1.05, 0, 255).astype(np.uint8)


CHANGES: dict[str, Callable[[Picture], Picture]] = {
    "jpeg_50": lambda pixels: _encoded(pixels, 50),
    "jpeg_90": lambda pixels: _encoded(pixels, 90),
    "resized_60": lambda pixels: _resized(_resized(pixels, round(0.6 * len(pixels))), len(pixels)),
    "brighter_5": _brighter,
    "paler_12": lambda pixels: (pixels * 0.88 + 15).astype(np.uint8),
    "blotted_4": lambda pixels: _blotted(pixels, 0.04),
    "blotted_8": lambda pixels: _blotted(pixels, 0.08),
    "cropped_2": lambda pixels: _cropped(pixels, 0.02),
}
