"""Which pictures are nearly the same: close hashes name candidates, a comparison of pixels confirms them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

DISTANCE = 4  # bits of 63 that may differ
BLOCKS, BLOCK_BITS = 7, 9  # two hashes within 4 bits agree in at least 3 of 7 blocks
WINDOW = 32  # neighbours that a hash is held against within one bucket of a table
PARTNERS = 16  # candidates that one picture keeps, the nearest ones
ROUNDS = 4  # different pictures that may share one hash and still be told apart
SIDE = 16  # pixels are compared at 16 x 16: noise and the rings of JPEG have averaged out there
LIMIT = 0.18  # of the detail: re-encoded photos stay below 0.1, 2 % crops below 0.16, unlike digits begin at 0.21
GAIN, SHIFT = 0.15, 24.0  # a brighter or paler copy is the same picture, up to this share and so many grey levels
PEAK = 8.0  # times the mean: a copy differs all over, up to 7 times; a defect or a number on a form in few places
FAINT = 0.25  # of the detail: below it no single place counts, such as a highlight that a brighter copy has cut
DETAIL = 1.0  # grey levels from one of the 16 x 16 to the next; two pictures with less are never "the same"
CHUNK = 512  # pairs that are compared at a time

Pixels = Callable[[NDArray[np.int64]], NDArray[np.uint8]]  # indices → (n, S, S, 3)


def search(hashes: NDArray[np.uint64], pixels: Pixels, distance: int = DISTANCE) -> NDArray[np.int64]:
    """Confirmed pairs (m, 2) that span every cluster of nearly equal pictures. Hash 0, of flat pictures, has none.

    Pictures of one hash are held against the first of them, those that differ from it against the first of the rest,
    and so on four times; then the firsts of unlike but close hashes. That is linear also where all hashes are equal.
    """
    rest = np.flatnonzero(hashes)
    firsts: list[NDArray[np.int64]] = []
    found: list[NDArray[np.int64]] = [np.empty((0, 2), dtype=np.int64)]
    for _ in range(ROUNDS):
        own = _first_of_equal(hashes[rest])
        pairs = np.stack([rest[own], rest], axis=1)
        firsts.append(rest[own == np.arange(len(rest))])
        pairs = pairs[pairs[:, 0] != pairs[:, 1]]
        same = confirmed(pairs, pixels)
        found.append(pairs[same])
        rest = pairs[~same, 1]
    leaders = np.sort(np.concatenate(firsts))
    pairs = leaders[_close(hashes[leaders], distance)]
    return np.concatenate([*found, pairs[confirmed(pairs, pixels)]])


def candidates(hashes: NDArray[np.uint64], distance: int = DISTANCE) -> NDArray[np.int64]:
    """Pairs (m, 2) within `distance` bits, 0 to 4, that span each group of equal hashes: first with each, and firsts.

    Manku, Jain and Das Sarma (2007): sorted once for each choice of 3 blocks of 7, equal hashes once for all. Complete
    where no more than 32 unlike hashes share a choice of blocks; in denser heaps the neighbours in order are taken.
    """
    own = _first_of_equal(hashes)
    everybody = np.arange(len(hashes))
    firsts = np.flatnonzero(own == everybody)
    equal = np.stack([own, everybody], axis=1)[own != everybody]
    return np.concatenate([equal, firsts[_close(hashes[firsts], distance)]])


def confirmed(pairs: NDArray[np.int64], pixels: Pixels) -> NDArray[np.bool_]:
    """For each pair whether its pixels are the same but for noise, a brighter tone and a shift of a fraction of 1/16.

    What is left of the difference after gain and offset is held against the detail, the mean step between neighbours:
    a shifted or re-encoded picture differs in proportion to it, and two nearly empty ones have none. It must not come
    from a few places alone, or a part with a defect would be "the same" as one without, seen by one camera.
    """
    same = np.zeros(len(pairs), dtype=np.bool_)
    for start in range(0, len(pairs), CHUNK):
        rows, places = np.unique(pairs[start : start + CHUNK], return_inverse=True)
        small = np.concatenate([_reduced(part) for part in _portions(rows, pixels)])
        left, right = places.reshape(-1, 2).T
        same[start : start + CHUNK] = _alike(small[left], small[right])
    return same


def clusters(count: int, pairs: NDArray[np.int64]) -> NDArray[np.int64]:
    """For each of `count` pictures the smallest index that pairs connect it with: union-find with path halving."""
    parent = list(range(count))

    def root(index: int) -> int:
        while parent[index] != index:
            parent[index] = parent[parent[index]]
            index = parent[index]
        return index

    for left, right in pairs.tolist():
        one, other = sorted((root(left), root(right)))
        parent[other] = one
    found = np.arange(count)
    for index in np.unique(pairs).tolist():
        found[index] = root(index)
    return found


def _first_of_equal(hashes: NDArray[np.uint64]) -> NDArray[np.int64]:
    _, first, inverse = np.unique(hashes, return_index=True, return_inverse=True)
    found: NDArray[np.int64] = first[inverse]
    return found


def _close(hashes: NDArray[np.uint64], distance: int) -> NDArray[np.int64]:
    """Index pairs, smaller first, of unlike hashes within `distance` bits; the nearest 16 of each later index."""
    if not 0 <= distance <= DISTANCE:
        raise ValueError(f"distance {distance}: the tables find 0 to {DISTANCE} bits")
    count = np.uint64(max(1, len(hashes)))
    codes: NDArray[np.uint64] = np.empty(0, dtype=np.uint64)
    for blocks in combinations(range(BLOCKS), BLOCKS - DISTANCE):
        found = [codes]
        for left, right in _neighbours(hashes, blocks):
            bits = np.bitwise_count(hashes[left] ^ hashes[right])
            kept = (bits > 0) & (bits <= distance)
            later, earlier = np.maximum(left, right)[kept], np.minimum(left, right)[kept]
            found.append(later.astype(np.uint64) * count + earlier.astype(np.uint64))
        if len(found) > 1:
            codes = _nearest(np.unique(np.concatenate(found)), hashes, count)
    later, earlier = np.divmod(codes, count)
    return np.stack([earlier, later], axis=1).astype(np.int64)


def _neighbours(
    hashes: NDArray[np.uint64], blocks: tuple[int, ...]
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Index pairs that agree in all of `blocks`, at most 32 places apart in sorted order."""
    mask = sum((2**BLOCK_BITS - 1) << (BLOCK_BITS * block) for block in blocks)
    keys = hashes & np.uint64(mask)
    order = np.lexsort((hashes, keys))
    keys = keys[order]
    for offset in range(1, WINDOW + 1):
        equal = np.flatnonzero(keys[offset:] == keys[:-offset])
        if not len(equal):
            return
        yield order[equal], order[equal + offset]


def _nearest(codes: NDArray[np.uint64], hashes: NDArray[np.uint64], count: np.uint64) -> NDArray[np.uint64]:
    """Codes (later * count + earlier, sorted) without what one picture has beyond 16: a dense heap stays linear."""
    later, earlier = np.divmod(codes, count)
    starts = np.searchsorted(later, later)
    if len(codes) <= PARTNERS or (np.arange(len(codes)) - starts).max() < PARTNERS:
        return codes
    bits = np.bitwise_count(hashes[later] ^ hashes[earlier])
    order = np.lexsort((earlier, bits, later))  # `later` stays where it was: `starts` hold in this order, too
    return np.sort(codes[order][np.arange(len(codes)) - starts < PARTNERS])


def _portions(rows: NDArray[np.int64], pixels: Pixels) -> Iterator[NDArray[np.uint8]]:
    for start in range(0, len(rows), CHUNK // 8):
        yield pixels(rows[start : start + CHUNK // 8])


def _reduced(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(n, S, S, 3) → (n, 16, 16, 3) by area. The sums are whole numbers and exact, the same on every machine."""
    count, size = pixels.shape[:2]
    shares = _shares(size)
    lines = pixels.reshape(count, size, size * 3).astype(np.float32)
    halves = (shares.astype(np.float32) @ lines).astype(np.float64).reshape(count, SIDE, size, 3)
    return (shares @ halves / size**2).astype(np.float32)


@lru_cache(maxsize=8)
def _shares(size: int) -> NDArray[np.float64]:
    """(16, size): how many sixteenths of each pixel lie in each cell."""
    cells, units = np.arange(SIDE)[:, None] * size, np.arange(size) * SIDE
    overlap = np.minimum(cells + size, units + SIDE) - np.maximum(cells, units)
    shares: NDArray[np.float64] = np.maximum(overlap, 0).astype(np.float64)
    return shares


def _alike(one: NDArray[np.float32], other: NDArray[np.float32]) -> NDArray[np.bool_]:
    mean = (one.astype(np.float64) + other) / 2
    difference = other.astype(np.float64) - one
    axes = (1, 2, 3)
    offset = difference.mean(axes)
    centred = mean - mean.mean(axes, keepdims=True)
    wanted, variance = (difference * centred).mean(axes), (centred**2).mean(axes)
    gain = np.clip(wanted / np.maximum(variance, 1e-9), -GAIN, GAIN)
    left = difference - offset[:, None, None, None] - gain[:, None, None, None] * centred
    places = (left**2).mean(3).reshape(len(left), -1)
    steps = np.diff(mean, axis=1)[:, :, :-1] ** 2 + np.diff(mean, axis=2)[:, :-1] ** 2
    detail, whole, peak = steps.mean(axes), places.mean(1), places.max(1)
    everywhere = (peak <= PEAK**2 * whole) | (peak <= FAINT**2 * detail)
    small = (whole <= LIMIT**2 * detail) & (detail >= DETAIL**2) & (np.abs(offset) <= SHIFT)
    both: NDArray[np.bool_] = small & everywhere
    return both
