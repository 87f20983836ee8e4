"""Stratified, seeded, stable, and with groups kept together."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from preparation.items import SPLITS, Item, Source
from preparation.sources import open_source
from preparation.split import assign
from refusal import Refusal

# What the code before groups gave at seed 0.
FIRST_TEST = ["0/0020.png", "0/0048.png", "0/0049.png", "0/0311.png"]
LAST_VALIDATION = ["9/1554.png", "9/1580.png", "9/1658.png", "9/1698.png"]
EACH = {"validation": 0.15, "test": 0.15}


def source(*items: tuple[str, int] | tuple[str, int, str] | tuple[str, int, str, str]) -> Source:
    found = sorted(Item(*item) for item in items)
    classes = tuple(chr(ord("a") + label) for label in range(1 + max(item.label for item in found)))
    return Source("test", classes, found, lambda index: b"", None, (), "")


def names(given: Source, splits: np.ndarray, split: str) -> set[str]:
    return {item.name for item, number in zip(given.items, splits, strict=True) if SPLITS[number] == split}


def pictures(count: int, classes: int = 2) -> list[tuple[str, int]]:
    return [(f"{label}/{number:03d}", label) for label in range(classes) for number in range(count)]


def test_the_digits_fall_into_the_splits_of_the_first_release(tmp_path: Path) -> None:
    digits = open_source("digits", tmp_path, tmp_path)
    splits = assign(digits, EACH, 0)
    assert splits.dtype == np.int8
    assert np.bincount(splits).tolist() == [1259, 269, 269]
    assert sorted(names(digits, splits, "test"))[:4] == FIRST_TEST
    assert sorted(names(digits, splits, "validation"))[-4:] == LAST_VALIDATION


def test_every_class_gives_its_share() -> None:
    given = source(*pictures(40), *[(f"2/{number}", 2) for number in range(5)])
    splits = assign(given, EACH, 3)
    for label, expected in ((0, [28, 6, 6]), (1, [28, 6, 6]), (2, [3, 1, 1])):
        found = [number for item, number in zip(given.items, splits, strict=True) if item.label == label]
        assert np.bincount(found).tolist() == expected


def test_large_shares_of_a_small_class_leave_one_to_train_on() -> None:
    splits = assign(source(*pictures(4)), {"validation": 0.45, "test": 0.45}, 0)
    assert np.bincount(splits).tolist() == [2, 4, 2]


def test_another_seed_splits_otherwise_and_the_same_seed_alike() -> None:
    given = source(*pictures(40))
    assert np.array_equal(assign(given, EACH, 1), assign(given, EACH, 1))
    assert not np.array_equal(assign(given, EACH, 1), assign(given, EACH, 2))


def test_a_new_picture_moves_at_most_one_other_of_its_class_a_split() -> None:
    before = source(*pictures(40))
    after = source(*pictures(40), ("0/new", 0))
    for split in SPLITS:
        gone = names(before, assign(before, EACH, 0), split) - names(after, assign(after, EACH, 0), split)
        assert len(gone) <= 1 and all(name.startswith("0/") for name in gone)


def test_given_splits_are_kept_and_the_missing_one_comes_from_train() -> None:
    rows = [(f"{label}/{number}", label, "test" if number < 2 else "train") for label in (0, 1) for number in range(12)]
    given = source(*rows)
    splits = assign(given, {"validation": 0.2, "test": 0.5}, 0)
    assert names(given, splits, "test") == {"0/0", "0/1", "1/0", "1/1"}
    assert Counter(name[0] for name in names(given, splits, "validation")) == {"0": 2, "1": 2}


def test_pictures_that_are_given_to_train_stay_there_while_others_are_given_nothing() -> None:
    rows = [(f"{label}/{number}", label, "train" if number < 6 else "") for label in (0, 1) for number in range(10)]
    given = source(*rows)
    splits = assign(given, {"validation": 0.25, "test": 0.25}, 0)
    assert {f"{label}/{number}" for label in (0, 1) for number in range(6)} <= names(given, splits, "train")
    assert len(names(given, splits, "test")) == len(names(given, splits, "validation")) == 2


def test_where_all_splits_are_given_the_rest_trains() -> None:
    given = source(("a", 0, "train"), ("b", 0, "validation"), ("c", 0, "test"), ("d", 0), ("e", 1))
    assert assign(given, EACH, 0).tolist() == [0, 1, 2, 0, 0]


def test_a_group_follows_the_split_that_one_of_it_was_given() -> None:
    rows = [(f"{label}/{number}", label) for label in (0, 1) for number in range(8)]
    given = source(*rows, ("x", 0, "test", "g"), ("y", 1, "", "g"), ("z", 1, "test"))
    assert {"x", "y", "z"} == names(given, assign(given, EACH, 0), "test")


def test_a_group_in_two_splits_is_refused() -> None:
    with pytest.raises(Refusal, match="group 'g' lies in train and in test"):
        assign(source(("a", 0, "train", "g"), ("b", 0, "test", "g")), EACH, 0)


def test_groups_come_near_to_the_share_of_each_class() -> None:
    rows = [(f"{group:02d}-{number}", number % 2, "", f"patient {group}") for group in range(50) for number in range(4)]
    splits = assign(source(*rows), EACH, 0)
    assert np.bincount(splits)[1:].tolist() == pytest.approx([30, 30], abs=4)


def test_large_groups_still_leave_each_class_in_each_split() -> None:
    rows = [
        (f"{label}{group}-{number}", label, "", f"{label}{group}")
        for label in range(3)
        for group in range(3)
        for number in range(10)
    ]
    given = source(*rows)
    splits = assign(given, EACH, 0)
    for label in range(3):
        found = {int(number) for item, number in zip(given.items, splits, strict=True) if item.label == label}
        assert found == {0, 1, 2}


TOO_FEW: dict[str, tuple[list[tuple], str]] = {
    "pictures": ([*pictures(5, 1), ("1/0", 1), ("1/1", 1)], "class 'b' has 2 pictures to train on, and 3 are needed"),
    "one": ([*pictures(5, 1), ("1/0", 1)], "class 'b' has 1 picture to train on"),
    "none": ([*pictures(5, 1), ("2/0", 2), ("2/1", 2), ("2/2", 2)], "class 'b' has 0 pictures"),
    "groups": (
        [*pictures(5, 1), *[(f"1/{number}", 1, "", f"g{number % 2}") for number in range(8)]],
        "class 'b' cannot be in test: too few groups hold it for 3 splits",
    ),
    "without a split": (
        [*pictures(5, 1), ("1/0", 1, "train"), ("1/1", 1)],
        "class 'b' has 1 picture without a split, and 2 are needed",
    ),
}


@pytest.mark.parametrize("case", TOO_FEW)
def test_a_class_too_small_to_split_is_refused(case: str) -> None:
    rows, words = TOO_FEW[case]
    with pytest.raises(Refusal, match=words):
        assign(source(*rows), EACH, 0)


def test_a_class_of_other_files_is_told_from_an_empty_one() -> None:
    given = source(*pictures(5, 1), ("1/0", 1))._replace(ignored=("a/note", "01.b/1.HEIC", "01.b/2.HEIC"))
    with pytest.raises(Refusal, match=r"remove the class \(2 files are no JPEG, .* or TIFF: 01.b/1.HEIC\)"):
        assign(given, EACH, 0)


ROWS = st.lists(
    st.tuples(
        st.integers(0, 2), st.sampled_from(["", "", "train", "test"]), st.sampled_from(["", "", "g", "h", "i", "j"])
    ),
    min_size=1,
    max_size=40,
)


@settings(max_examples=300, deadline=None)
@given(ROWS, st.integers(0, 5), st.sampled_from([0.05, 0.15, 0.45]))
def test_no_group_is_torn_no_given_split_is_lost_and_no_class_misses_a_taken_split(
    rows: list[tuple[int, str, str]], seed: int, share: float
) -> None:
    given = source(*[(f"{number:03d}", *row) for number, row in enumerate(rows)])
    try:
        splits = assign(given, {"validation": share, "test": share}, seed)
    except Refusal:
        return
    assert len(splits) == len(rows) and set(splits.tolist()) <= {0, 1, 2}
    homes: dict[str, set[int]] = {}
    for item, number in zip(given.items, splits.tolist(), strict=True):
        if item.group:
            homes.setdefault(item.group, set()).add(number)
        assert item.split != "test" or number == 2
    assert all(len(home) == 1 for home in homes.values())
    for label in range(len(given.classes)):
        found = {number for item, number in zip(given.items, splits.tolist(), strict=True) if item.label == label}
        assert 1 in found and 0 in found
