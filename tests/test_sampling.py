"""Orders of an epoch: each picture once, or each class equally often."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as some
from training import sampling


def drawn(labels: list[int], how: str, seed: int = 0) -> list[int]:
    return sampling.order(np.array(labels), how, torch.Generator().manual_seed(seed)).tolist()


def test_shuffled_shows_each_picture_once() -> None:
    assert sorted(drawn([0, 0, 1, 2], "shuffled")) == [0, 1, 2, 3]


@given(some.lists(some.integers(0, 6), min_size=1, max_size=60), some.integers(0, 99))
def test_balanced_shows_each_class_equally_often_and_as_many_pictures_as_ever(labels: list[int], seed: int) -> None:
    shown = drawn(labels, "balanced", seed)
    assert len(shown) == len(labels)
    classes = [labels.count(label) and sum(labels[each] == label for each in shown) for label in set(labels)]
    assert max(classes) - min(classes) <= 1


@given(some.lists(some.integers(0, 6), min_size=1, max_size=60))
def test_balanced_repeats_no_picture_before_its_class_is_through(labels: list[int]) -> None:
    shown = drawn(labels, "balanced")
    for label in set(labels):
        counts = [shown.count(index) for index, own in enumerate(labels) if own == label]
        assert max(counts) - min(counts) <= 1


def test_balanced_takes_other_pictures_of_a_large_class_in_the_next_epoch_and_mixes_the_classes() -> None:
    labels = [0] * 90 + [1] * 10
    assert set(drawn(labels, "balanced", 1)) != set(drawn(labels, "balanced", 2))
    first = [labels[each] for each in drawn(labels, "balanced", 1)[:40]]
    assert 8 < sum(first) < 32


def test_the_same_seed_draws_the_same() -> None:
    labels = [0] * 9 + [1] * 3
    assert drawn(labels, "balanced", 3) == drawn(labels, "balanced", 3)


def test_an_unknown_sampling_is_an_error() -> None:
    with pytest.raises(ValueError, match="random"):
        drawn([0], "random")
