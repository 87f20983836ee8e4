"""Fingerprints: stable under what happens to a picture on its way, unlike for unlike pictures, the same everywhere."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import scenes
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from preparation import fingerprints

PHOTOS = scenes.photos(60, 256, seed=0)


def distances(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.bitwise_count(fingerprints.of(one) ^ fingerprints.of(other))


@pytest.mark.parametrize("change", ["jpeg_50", "resized_60", "brighter_5"])
def test_a_changed_photo_keeps_its_fingerprint_within_four_bits(change: str) -> None:
    assert (distances(PHOTOS, scenes.changed(PHOTOS, change)) <= 4).mean() >= 0.95


def test_a_slightly_cropped_photo_mostly_keeps_its_fingerprint_within_four_bits() -> None:
    assert (distances(PHOTOS, scenes.changed(PHOTOS, "cropped_2")) <= 4).mean() >= 0.75


def test_a_thousand_different_scenes_have_fingerprints_far_apart() -> None:
    hashes = fingerprints.of(scenes.scenes(1000, 32, seed=1))
    apart = np.bitwise_count(hashes[:, None] ^ hashes[None])[np.triu_indices(1000, 1)]
    assert apart.min() > 4
    assert 24 < apart.mean() < 34


@pytest.mark.parametrize("size", [8, 9, 32, 73, 256, 1170])
@pytest.mark.parametrize("colour", [(0, 0, 0), (255, 255, 255), (255, 3, 200), (1, 0, 0)])
def test_a_flat_picture_has_fingerprint_zero(size: int, colour: tuple[int, int, int]) -> None:
    assert fingerprints.of(np.full((1, size, size, 3), colour, dtype=np.uint8))[0] == 0


def test_a_flat_picture_with_faint_noise_has_fingerprint_zero() -> None:
    noise = np.random.default_rng(0).integers(-1, 2, (5, 256, 256, 3)) + 128
    assert not fingerprints.of(noise.astype(np.uint8)).any()


def test_no_fingerprint_uses_the_last_bit() -> None:
    assert not (fingerprints.of(PHOTOS) >> np.uint64(63)).any()


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 40), st.integers(8, 70), st.integers(0, 2**32), st.integers(0, 2**32))
def test_neighbours_in_the_batch_and_its_size_change_nothing(count: int, size: int, seed: int, place: int) -> None:
    batch = np.random.default_rng(seed).integers(0, 256, (count, size, size, 3), dtype=np.uint8)
    one = place % count
    assert fingerprints.of(batch)[one] == fingerprints.of(batch[one : one + 1])[0]


def test_no_pictures_have_no_fingerprints() -> None:
    assert fingerprints.of(np.empty((0, 32, 32, 3), dtype=np.uint8)).shape == (0,)


@pytest.mark.parametrize("size", [8, 32, 256, 1170])
def test_sums_are_exact_in_bright_and_in_noisy_pictures(size: int) -> None:
    """What float32 computes equals the same in whole numbers of 64 bits."""
    pixels = np.random.default_rng(2).integers(0, 256, (2, size, size, 3), dtype=np.uint8)
    pixels[0] |= 0xF0
    rows = fingerprints._cosines(size)[0].astype(np.int64)
    grey = pixels.astype(np.int64) @ np.array(fingerprints.LUMA)
    assert np.array_equal(fingerprints._products(pixels), rows @ grey @ rows.T)


def test_other_threads_and_another_process_give_the_same_bits() -> None:
    hashed = "fingerprints.of(scenes.scenes(20, 73, seed=4)).tolist()"
    code = f"import scenes; from preparation import fingerprints; print({hashed})"
    here = Path(__file__).parent
    found = set()
    for threads in ("1", "2"):
        environment = {
            **os.environ,
            "PYTHONPATH": f"{here}{os.pathsep}{here.parent / 'entrypoints'}",
            "OMP_NUM_THREADS": threads,
            "OPENBLAS_NUM_THREADS": threads,
        }
        answer = subprocess.run([sys.executable, "-c", code], env=environment, check=True, capture_output=True)
        found.add(answer.stdout)
    assert found == {f"{fingerprints.of(scenes.scenes(20, 73, seed=4)).tolist()}\n".encode()}
