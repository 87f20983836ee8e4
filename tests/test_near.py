"""Nearly the same pictures: every close pair of hashes is named, copies are confirmed, and unlike pictures never."""

from __future__ import annotations

import images
import numpy as np
import pytest
import scenes
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from preparation import fingerprints, near
from preparation.digits import open_digits

Pairs = set[tuple[int, int]]


def found(pixels: NDArray[np.uint8]) -> NDArray[np.int64]:
    return near.search(fingerprints.of(pixels), pixels.__getitem__)


def same(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Row by row, as `confirmed` judges a pair."""
    both = np.concatenate([one, other])
    rows = np.arange(len(one))
    return near.confirmed(np.stack([rows, rows + len(one)], axis=1), both.__getitem__)


def as_set(pairs: NDArray[np.int64]) -> Pairs:
    return {(min(pair), max(pair)) for pair in pairs.tolist()}


def flipped(hashes: NDArray[np.uint64], bits: int, random: np.random.Generator) -> NDArray[np.uint64]:
    """Each with exactly so many of the 63 bits turned."""
    places = np.argsort(random.random((len(hashes), 63)), axis=1)[:, :bits].astype(np.uint64)
    return hashes ^ np.bitwise_or.reduce(np.uint64(1) << places, axis=1, initial=0)


def random_hashes(count: int, random: np.random.Generator) -> NDArray[np.uint64]:
    return random.integers(0, 2**63, count, dtype=np.uint64)


def test_every_close_pair_among_many_is_a_candidate_and_no_other() -> None:
    random = np.random.default_rng(0)
    base = random_hashes(1500, random)
    hashes = np.concatenate([base, *(flipped(base[:200], bits, random) for bits in (1, 2, 3, 4, 5))])
    apart = np.bitwise_count(hashes[:, None] ^ hashes[None])
    expected = set(map(tuple, np.argwhere(np.triu(apart <= 4, 1)).tolist()))
    assert as_set(near.candidates(hashes)) == expected
    assert len(expected) > 800


@pytest.mark.parametrize("distance", [0, 1, 2, 3])
def test_a_smaller_distance_names_fewer(distance: int) -> None:
    random = np.random.default_rng(1)
    base = random_hashes(50, random)
    hashes = np.concatenate([base, *(flipped(base, bits, random) for bits in (1, 2, 3, 4))])
    pairs = near.candidates(hashes, distance)
    assert np.bitwise_count(hashes[pairs[:, 0]] ^ hashes[pairs[:, 1]]).max(initial=0) <= distance
    assert len(as_set(pairs) & {(row, 50 * bits + row) for row in range(50) for bits in range(1, 5)}) == 50 * distance


def test_a_distance_beyond_what_the_tables_find_is_an_error() -> None:
    with pytest.raises(ValueError, match="0 to 4 bits"):
        near.candidates(np.arange(3, dtype=np.uint64), 5)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from([0, 1, 2, 3, 2**62, 2**62 + 1, 2**40, 2**63 - 1]), max_size=40))
def test_equal_hashes_are_spanned_and_close_ones_tied(values: list[int]) -> None:
    hashes = np.array(values, dtype=np.uint64)
    tied = near.clusters(len(values), near.candidates(hashes))
    for one, left in enumerate(values):
        for other, right in enumerate(values):
            if (left ^ right).bit_count() <= 4:
                assert tied[one] == tied[other]


HEAPS = {
    "equal": lambda random: np.full(100_000, 12345, dtype=np.uint64),
    "flat": lambda random: np.zeros(100_000, dtype=np.uint64),
    "two_clusters": lambda random: np.repeat(random_hashes(2, random), 50_000),
    "two_dense_heaps": lambda random: flipped(np.repeat(random_hashes(2, random), 5_000), 2, random),
}


@pytest.mark.parametrize("heap", HEAPS)
def test_candidates_of_a_heap_are_no_more_than_linear(heap: str) -> None:
    hashes = HEAPS[heap](np.random.default_rng(2))
    assert len(near.candidates(hashes)) <= 16 * len(hashes)


@pytest.mark.parametrize("heap", ["equal", "two_clusters"])
def test_comparisons_of_a_heap_of_unlike_pictures_are_linear(heap: str) -> None:
    hashes = HEAPS[heap](np.random.default_rng(2))[::50]
    random = np.random.default_rng(3)
    read = 0

    def pixels(rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        nonlocal read
        read += len(rows)
        return random.integers(0, 256, (len(rows), 16, 16, 3), dtype=np.uint8)

    assert len(near.search(hashes, pixels)) == 0
    assert read <= 10 * len(hashes)


def test_flat_pictures_are_not_even_compared() -> None:
    def pixels(rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        raise AssertionError(f"{len(rows)} flat pictures were read")

    assert near.search(np.zeros(1000, dtype=np.uint64), pixels).shape == (0, 2)


def test_different_pictures_of_one_hash_are_told_apart() -> None:
    """Four pictures, each three times, which share a hash by chance: each is found with its own copies."""
    pixels = np.tile(scenes.scenes(4, 32, seed=5), (3, 1, 1, 1))
    pairs = near.search(np.full(12, 7, dtype=np.uint64), pixels.__getitem__)
    assert near.clusters(12, pairs).tolist() == [0, 1, 2, 3] * 3


def test_pixels_are_read_in_small_portions_whatever_the_number_of_pairs() -> None:
    most = 0

    def pixels(rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        nonlocal most
        most = max(most, len(rows))
        return np.zeros((len(rows), 16, 16, 3), dtype=np.uint8)

    near.search(np.full(5000, 7, dtype=np.uint64), pixels)
    assert 0 < most <= near.CHUNK // 8


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 30).flatmap(lambda n: st.tuples(st.just(n), st.lists(st.tuples(*[st.integers(0, n - 1)] * 2)))))
def test_clusters_are_those_of_a_walk_along_the_pairs(case: tuple[int, list[tuple[int, int]]]) -> None:
    count, pairs = case
    reached = np.eye(count, dtype=bool)
    for left, right in pairs:
        reached[left, right] = reached[right, left] = True
    for _ in range(count):
        reached = reached @ reached
    expected = reached.argmax(axis=1)
    assert np.array_equal(near.clusters(count, np.array(pairs, dtype=np.int64).reshape(-1, 2)), expected)


# (change, side) → share of the photos that are found; 2 % off a small picture is a part of a pixel, and of four bits
# every seventh crop has more: then only other copies tie it.
RECALL = {
    ("jpeg_50", 256): 0.95,
    ("resized_60", 256): 0.95,
    ("brighter_5", 256): 0.95,
    ("paler_12", 256): 0.95,
    ("cropped_2", 256): 0.75,
    ("jpeg_50", 64): 0.85,
    ("resized_60", 64): 0.95,
    ("brighter_5", 64): 0.95,
    ("jpeg_90", 32): 0.9,
    ("brighter_5", 32): 0.95,
}


@pytest.mark.parametrize(("change", "side"), RECALL)
def test_changed_photos_are_found(change: str, side: int) -> None:
    photos = scenes.photos(60, side, seed=6)
    pixels = np.concatenate([photos, scenes.changed(photos, change)])
    tied = near.clusters(120, found(pixels))
    assert (tied[:60] == tied[60:]).mean() >= RECALL[change, side]


@pytest.mark.parametrize("change", ["jpeg_50", "resized_60", "brighter_5", "paler_12", "cropped_2"])
def test_changed_scenes_are_confirmed(change: str) -> None:
    pictures = scenes.scenes(20, 256, seed=7)
    assert same(pictures, scenes.changed(pictures, change)).all()


@pytest.mark.parametrize(("make", "side"), [(scenes.scenes, 32), (scenes.shapes, 32), (scenes.shapes, 64)])
def test_a_thousand_different_pictures_are_different(make, side: int) -> None:  # type: ignore[no-untyped-def]
    assert len(found(make(1000, side, seed=8))) == 0


def test_different_scenes_are_not_confirmed_even_if_their_hashes_agreed() -> None:
    pictures = scenes.scenes(1000, 32, seed=9)
    assert not same(pictures[:500], pictures[500:]).any()


def test_one_shape_in_two_colours_is_two_pictures() -> None:
    red = scenes.shapes(20, 32, seed=10)
    assert not same(red, np.ascontiguousarray(red[..., ::-1])).any()


def test_a_much_darker_picture_is_another_one() -> None:
    pictures = np.clip(scenes.scenes(20, 32, seed=12), 60, 255)
    assert not same(pictures, pictures - 40).any()


# a photo may be dark already where its defect is
@pytest.mark.parametrize(("change", "in_scenes", "in_photos"), [("blotted_4", 0.1, 0.25), ("blotted_8", 0, 0.05)])
def test_one_view_with_and_without_a_defect_is_two_pictures(change: str, in_scenes: float, in_photos: float) -> None:
    views, photos = scenes.scenes(40, 256, seed=13), scenes.photos(60, 256, seed=13)
    assert same(views, scenes.changed(views, change)).mean() <= in_scenes
    assert same(photos, scenes.changed(photos, change)).mean() <= in_photos


def test_nearly_empty_pictures_are_never_the_same() -> None:
    random = np.random.default_rng(11)
    pages = np.full((40, 64, 64, 3), 250, dtype=np.uint8)
    pages += random.integers(0, 3, pages.shape, dtype=np.uint8)
    assert not same(pages[:20], pages[20:]).any()
    assert not same(pages, pages).any()


def test_a_dot_on_an_empty_page_has_its_place() -> None:
    pages = np.full((2, 64, 64, 3), 255, dtype=np.uint8)
    pages[0, 20:26, 20:26] = 0
    pages[1, 20:26, 28:34] = 0
    assert not same(pages[:1], pages[1:]).any()
    assert same(pages[:1], pages[:1]).all()


@pytest.mark.parametrize("side", [16, 32, 64, 224])
def test_of_the_digits_no_two_are_the_same(side: int) -> None:
    source = open_digits()
    assert source.read
    pixels = np.stack([images.read(source.read(row), side) for row in range(0, 1797, 1 if side < 64 else 3)])
    assert len(near.candidates(fingerprints.of(pixels))) > 0
    assert len(found(pixels)) == 0


@settings(max_examples=30, deadline=None)
@given(st.integers(8, 80), st.integers(0, 2**32))
def test_pixels_are_reduced_by_area(side: int, seed: int) -> None:
    pixels = np.random.default_rng(seed).integers(0, 256, (2, side, side, 3), dtype=np.uint8)
    fine = pixels.repeat(16, axis=1).repeat(16, axis=2).astype(np.float64)
    expected = fine.reshape(2, 16, side, 16, side, 3).mean(axis=(2, 4))
    assert np.allclose(near._reduced(pixels), expected, atol=1e-4)
