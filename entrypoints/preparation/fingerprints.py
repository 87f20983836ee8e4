"""A perceptual hash of 63 bits for each picture: what stays when it is re-encoded, resized or brightened."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

FREQUENCIES = 8  # 8 x 8 low frequencies of the discrete cosine transform; all but the mean make 63 bits
LUMA = (2, 5, 1)  # red, green, blue in eighths: near 0.299, 0.587, 0.114, and whole numbers
EXACT = 2**24  # whole numbers up to here are exact in float32
STEP = 1 / 16  # grey levels: coefficients are rounded to it, so that what is next to nothing counts as nothing
CHUNK_BYTES = 2**22  # pixels that are turned into float32 at a time: stays in cache, keeps memory flat


def of(pixels: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """(n, S, S, 3) → n hashes; bit i says that coefficient i is above the median (Zauner 2010, pHash).

    A flat picture has 0. The same bits on every machine, BLAS and number of threads: the cosines are rounded to whole
    numbers, small enough for every sum to be exact in whatever order it is added.
    """
    count, size = pixels.shape[:2]
    hashes = np.zeros(count, dtype=np.uint64)
    rows = max(1, CHUNK_BYTES // (4 * 3 * size * size))
    for start in range(0, count, rows):
        hashes[start : start + rows] = _bits(_coefficients(pixels[start : start + rows]))
    return hashes


def _coefficients(pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
    """(n, 63) mean products with the cosines, in steps of 1/16 grey level, the one of the mean left out."""
    size = pixels.shape[1]
    unit = STEP * sum(LUMA) * (_cosines(size)[1] * size) ** 2
    return np.rint(_products(pixels).reshape(len(pixels), -1)[:, 1:] / unit)


def _products(pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
    """(n, 8, 8) whole numbers, exact: float32 carries the large product, float64 the small one."""
    count, size = pixels.shape[:2]
    across = _cosines(size)[0]
    weights = across.T[:, None, :] * np.array(LUMA, dtype=np.float32)[None, :, None]
    rows = pixels.reshape(count * size, size * 3).astype(np.float32)
    halves = (rows @ weights.reshape(size * 3, FREQUENCIES)).astype(np.float64)
    return across.astype(np.float64) @ halves.reshape(count, size, FREQUENCIES)


def _bits(coefficients: NDArray[np.float64]) -> NDArray[np.uint64]:
    above = coefficients > np.median(coefficients, axis=1, keepdims=True)
    # the median of 63 is one of them: a picture without any structure is above it nowhere
    padded = np.zeros((len(above), 64), dtype=np.uint8)
    padded[:, :63] = above
    return np.packbits(padded, axis=1, bitorder="little").view("<u8").astype(np.uint64)[:, 0]


@lru_cache(maxsize=8)
def _cosines(size: int) -> tuple[NDArray[np.float32], int]:
    """(8, size) rows of the transform as whole numbers up to `scale`; all but the first sum to 0, as the cosines do."""
    scale = max(1, EXACT // (255 * sum(LUMA) * size))
    angles = np.pi / size * (np.arange(size) + 0.5) * np.arange(FREQUENCIES)[:, None]
    rows = np.rint(scale * np.cos(angles))
    for row in rows[1:]:  # what rounding left over is spread, or a bright flat picture would seem to have structure
        excess = int(row.sum())
        row[np.linspace(0, size - 1, abs(excess)).astype(int)] -= np.sign(excess)
    return rows.astype(np.float32), scale
