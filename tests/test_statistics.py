"""Ratios, changes and shares of samples are what numpy says of each by itself."""

from __future__ import annotations

import math

import numpy as np
import pytest
from health.recording import statistics
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

ANY = st.floats(width=32, allow_subnormal=True)


@settings(max_examples=100, deadline=None)
@given(arrays.arrays(np.float32, st.tuples(st.just(2), st.integers(1, 30)), elements=ANY), st.integers(0, 29))
def test_changes_are_what_allclose_says(pair: NDArray[np.float32], cut: int) -> None:
    before, after = pair
    sizes = np.array([min(cut, len(before)), 0, len(before) - min(cut, len(before))])
    found = statistics.changes(before, after, sizes)
    assert math.isnan(found[1])
    for change, part in zip(found[[0, 2]], (slice(0, sizes[0]), slice(sizes[0], None)), strict=True):
        one, other = (each[part].astype(np.float64) for each in (after, before))
        if not len(one):
            assert math.isnan(change)
        elif not 0.99 < change < 1.01:  # float32 decides nothing there
            assert (change <= 1) == np.allclose(one, other, equal_nan=True)


def test_update_ratio_is_the_length_of_the_update_to_that_of_the_weights() -> None:
    random = np.random.default_rng(0)
    before, after = (random.normal(size=30).astype(np.float32) for _ in range(2))
    before[20:] = 0
    after[3] = np.nan
    sizes = np.array([10, 10, 0, 10])
    update, figures = statistics.differences(before, after, sizes)
    found = statistics.ratios(before, update, sizes)
    known = np.delete(np.arange(10), 3)
    assert found[0] == pytest.approx(np.linalg.norm((after - before)[known]) / np.linalg.norm(before[known]), rel=1e-5)
    assert found[1] == pytest.approx(np.linalg.norm((after - before)[10:20]) / np.linalg.norm(before[10:20]), rel=1e-5)
    assert math.isnan(found[2])
    assert found[3] > 1e8
    assert figures[0].tolist() == [np.nanmin(update[:10]), np.nanmax(update[:10]), 1, 1]
    assert np.isnan(figures[2, :2]).all()


def test_shares_beyond_bounds_are_of_the_finite_values() -> None:
    sample = np.array([-5, -1, 0, 1, 5, np.nan, np.inf], dtype=np.float32)
    assert statistics.shares(sample, -2, 2) == (0.2, 0.2)
    assert math.isnan(statistics.shares(sample[5:], -2, 2)[0])
