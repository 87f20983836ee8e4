"""Temperatures that were put in come out again; calibration errors that are known are found."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from evaluation import calibration
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar


def drawn(count: int, classes: int, seed: int = 0) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Logits, and labels that follow their softmax: calibrated by construction."""
    random = np.random.default_rng(seed)
    logits = random.normal(0, 2, (count, classes))
    noise = random.gumbel(size=logits.shape)
    return logits, (logits + noise).argmax(1)


def chances(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    return torch.from_numpy(logits).softmax(1).numpy()


@pytest.mark.parametrize("factor", [0.2, 1.0, 3.0, 15.0])
def test_the_temperature_that_was_put_in_is_found(factor: float) -> None:
    logits, labels = drawn(20_000, 7)
    assert calibration.temperature((factor * logits).astype(np.float32), labels) == pytest.approx(factor, rel=0.03)


@pytest.mark.parametrize("seed", range(4))
def test_no_other_temperature_has_a_lower_loss(seed: int) -> None:
    logits, labels = drawn(150, 4, seed)
    logits *= 2.0**seed
    uncertain = 1 / 152
    targets = torch.nn.functional.one_hot(torch.from_numpy(labels), 4) * (1 - uncertain) + uncertain / 4

    def loss(value: float) -> float:
        return float(torch.nn.functional.cross_entropy(torch.from_numpy(logits / value), targets))

    theirs = minimize_scalar(loss, bounds=(0.05, 20), method="bounded", options={"xatol": 1e-8}).x
    assert calibration.temperature(logits, labels) == pytest.approx(theirs, rel=1e-4)


def test_pictures_that_are_all_right_make_nobody_perfectly_sure() -> None:
    logits = np.tile([8.0, 0.0, 0.0], (100, 1))
    found = calibration.temperature(logits, np.zeros(100, int))
    sure = chances(logits / found).max(1)[0]
    assert 0.98 < sure < 0.999  # one uncertain picture among 102


def test_outputs_that_say_nothing_keep_the_temperature_of_one() -> None:
    assert calibration.temperature(np.zeros((6, 3)), [0, 1, 2, 0, 1, 2]) == 1.0
    assert calibration.temperature(np.zeros((0, 3)), np.zeros(0, int)) == 1.0
    assert calibration.temperature(np.zeros((4, 1)), [0, 0, 0, 0]) == 1.0


def test_tensors_are_taken_as_they_come_from_training() -> None:
    logits, labels = drawn(300, 3)
    tensors = torch.from_numpy(logits).float(), torch.from_numpy(labels)
    assert calibration.temperature(*tensors) == pytest.approx(calibration.temperature(logits, labels), rel=1e-5)


def test_splitting_into_parts_changes_nothing_that_matters() -> None:
    logits, labels = drawn(calibration.ROWS + 7, 3)
    order = np.random.default_rng(1).permutation(len(labels))
    first, second = calibration.temperature(logits, labels), calibration.temperature(logits[order], labels[order])
    assert first == pytest.approx(second, rel=1e-5)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_outputs_that_are_not_finite_are_refused(bad: float) -> None:
    with pytest.raises(ValueError, match="not finite"):
        calibration.temperature(np.array([[0.0, bad]]), [0])


def test_labels_of_another_number_are_refused() -> None:
    with pytest.raises(ValueError, match="shape"):
        calibration.temperature(np.zeros((3, 2)), [0, 1])


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_any_finite_outputs_have_a_temperature_within_the_bounds(data: st.DataObject) -> None:
    shape = data.draw(st.tuples(st.integers(1, 12), st.integers(1, 5)))
    logits = data.draw(arrays.arrays(np.float32, shape, elements=st.floats(-(2.0**100), 2.0**100, width=32)))
    labels = data.draw(st.lists(st.integers(0, shape[1] - 1), min_size=shape[0], max_size=shape[0]))
    assert calibration.LOWEST <= calibration.temperature(logits, labels) <= calibration.HIGHEST


def test_calibrated_answers_have_nearly_no_error_and_overconfident_ones_have() -> None:
    logits, labels = drawn(30_000, 5)
    right = logits.argmax(1) == labels
    calibrated = calibration.error(calibration.bins(chances(logits), right))
    overconfident = calibration.error(calibration.bins(chances(4 * logits), right))
    assert calibrated < 0.015 < 0.15 < overconfident


def test_the_error_is_the_distance_that_was_put_in() -> None:
    said = np.tile([0.9, 0.1], (1000, 1))
    right = np.arange(1000) % 10 < 6
    bins = calibration.bins(said, right)
    assert [(each.count, each.confidence, each.accuracy) for each in bins] == [
        (1000, pytest.approx(0.9), pytest.approx(0.6))
    ]
    assert calibration.error(bins) == pytest.approx(0.3)


def test_bins_hold_the_same_number_and_every_picture_once() -> None:
    logits, labels = drawn(3000, 3)
    found = calibration.bins(chances(logits), logits.argmax(1) == labels)
    assert [each.count for each in found] == [200] * calibration.BINS
    assert [each.confidence for each in found] == sorted(each.confidence for each in found)


@pytest.mark.parametrize(("count", "bins"), [(1, 1), (39, 1), (40, 2), (100_000, 15)])
def test_few_pictures_make_few_bins(count: int, bins: int) -> None:
    said = np.linspace(0.5, 1, count)[:, None]
    assert len(calibration.bins(said, np.ones(count, bool))) == bins


def test_the_order_of_the_pictures_does_not_matter_where_probabilities_are_equal() -> None:
    said = np.repeat([0.6, 0.8, 1.0], 100)[:, None]
    right = np.arange(300) % 3 == 0
    order = np.random.default_rng(0).permutation(300)
    first, second = calibration.bins(said, right), calibration.bins(said[order], right[order])
    assert [each.count for each in first] == [100, 100, 100]
    assert [(a.count, a.accuracy) for a in first] == [(b.count, b.accuracy) for b in second]
