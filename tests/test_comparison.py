"""The paired interval against published figures and against chance itself; what is told of each class."""

from __future__ import annotations

import numpy as np
import pytest
from evaluation import comparison
from hypothesis import given
from hypothesis import strategies as st

count = st.integers(0, 400)


@pytest.mark.parametrize(
    ("table", "low", "high"),
    [
        ((36, 12, 2, 0), 0.0569, 0.3404),  # crossover trial in Newcombe (1998), method 10
        ((1, 1, 7, 12), -0.507, -0.026),  # Bentur et al. (2009), as in Fagerland et al. (2014)
    ],
)
def test_the_interval_is_newcombes(table: tuple[int, int, int, int], low: float, high: float) -> None:
    assert comparison.paired_interval(*table) == pytest.approx((low, high), abs=5e-4)


@given(count, count, count, count)
def test_any_table_has_an_interval_around_its_difference(both: int, first: int, second: int, neither: int) -> None:
    total = both + first + second + neither
    if not total:
        return
    low, high = comparison.paired_interval(both, first, second, neither)
    assert -1 <= low <= (first - second) / total + 1e-12
    assert (first - second) / total - 1e-12 <= high <= 1
    assert comparison.paired_interval(both, second, first, neither) == pytest.approx((-high, -low))


@pytest.mark.parametrize("shares", [(0.9, 0.05, 0.02, 0.03), (0.6, 0.2, 0.15, 0.05), (0.97, 0.0, 0.01, 0.02)])
def test_95_of_100_intervals_hold_the_true_difference(shares: tuple[float, ...]) -> None:
    drawn = np.random.default_rng(3).multinomial(200, shares, 2000)
    found = [comparison.paired_interval(*map(int, table)) for table in drawn]
    true = shares[1] - shares[2]
    assert np.mean([low <= true <= high for low, high in found]) > 0.93


def test_pairing_makes_the_interval_narrower_than_two_separate_ones() -> None:
    low, high = comparison.paired_interval(900, 5, 5, 90)
    assert high - low < 0.03  # unpaired, two shares of 0.905 on 1,000 pictures give 0.051


ACTUAL = ["cat"] * 40 + ["dog"] * 40


def test_figures_tell_who_was_right_where() -> None:
    ours = ["cat"] * 40 + ["dog"] * 30 + ["cat"] * 10
    theirs = ["cat"] * 20 + ["dog"] * 20 + ["dog"] * 40
    found = comparison.compare(ACTUAL, ours, theirs, ("cat", "dog"), ("cat", "dog"))
    assert (found["accuracy"], found["champion_accuracy"], found["difference"]) == (0.875, 0.75, 0.125)
    assert (found["right_here_only"], found["right_there_only"]) == (20, 10)
    assert [(row["class"], row["difference"]) for row in found["per_class"]] == [("cat", 0.5), ("dog", -0.25)]
    assert found["regressions"] == ["dog"]
    assert found["verdict"] == "better" if found["interval"][0] > 0 else "no difference shown"


@pytest.mark.parametrize(("ours", "theirs", "verdict"), [(80, 20, "better"), (20, 80, "worse"), (50, 51, "no")])
def test_the_verdict_needs_an_interval_clear_of_zero(ours: int, theirs: int, verdict: str) -> None:
    actual = ["a"] * 100
    said = [["a"] * right + ["b"] * (100 - right) for right in (ours, theirs)]
    assert comparison.compare(actual, *said, ("a", "b"), ("a", "b"))["verdict"].split()[0] == verdict


def test_equal_models_differ_by_nothing_with_an_interval_of_some_width() -> None:
    found = comparison.compare(ACTUAL, ACTUAL, ACTUAL, ("cat", "dog"), ("cat", "dog"))
    assert found["difference"] == 0
    assert found["interval"][0] < 0 < found["interval"][1]
    assert found["regressions"] == []


def test_only_pictures_of_classes_that_both_know_are_compared() -> None:
    actual = ["cat", "dog", "owl", "owl"]
    found = comparison.compare(
        actual, actual, ["cat", "fox", "fox", "cat"], ("cat", "dog", "owl"), ("cat", "dog", "fox")
    )
    assert (found["count"], found["left_out"], found["accuracy"], found["champion_accuracy"]) == (2, 2, 1.0, 0.5)
    assert (found["classes_new"], found["classes_gone"]) == (["owl"], ["fox"])


def test_models_without_a_common_class_are_not_compared() -> None:
    with pytest.raises(comparison.NothingShared, match="both models know"):
        comparison.compare(["cat"], ["cat"], ["owl"], ("cat",), ("owl",))


def test_a_class_without_a_test_picture_has_no_row() -> None:
    found = comparison.compare(["cat"], ["cat"], ["cat"], ("cat", "dog"), ("dog", "cat"))
    assert [row["class"] for row in found["per_class"]] == ["cat"]
