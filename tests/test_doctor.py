"""The doctor: each finding with each of its actions, in their order, and what holds whatever the pictures are."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scenes
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from preparation import doctor, fingerprints, near, staging
from preparation.actions import ACTIONS
from preparation.digits import open_digits
from preparation.doctor import Diagnosis, Settings
from preparation.items import SPLITS, Item, Source
from refusal import Refusal

PICTURES = scenes.scenes(80, 32, seed=20)
COPIES = scenes.changed(PICTURES, "brighter_5")
CLASSES = ("cat", "dog", "eel")


@dataclass
class Row:
    """One picture: `shows` names what is to be seen, `copied` makes it a near-duplicate of that instead of the same."""

    label: int = 0
    split: int = 0
    shows: int = 0
    copied: bool = False
    group: str = ""
    problem: str = ""
    sides: tuple[int, int] = (100, 80)


@dataclass
class Staged:
    """The attributes of staging.Staged that the doctor looks at, with pixels in memory."""

    rows: list[Row]
    width: NDArray[np.int32] = field(init=False)
    height: NDArray[np.int32] = field(init=False)
    digest: NDArray[np.uint8] = field(init=False)
    hash: NDArray[np.uint64] = field(init=False)
    problem: list[str] = field(init=False)

    def __post_init__(self) -> None:
        self.problem = [row.problem for row in self.rows]
        self.width, self.height = np.array([row.sides for row in self.rows], dtype=np.int32).reshape(-1, 2).T
        self.digest = np.zeros((len(self.rows), 32), dtype=np.uint8)
        for digest, row in zip(self.digest, self.rows, strict=True):
            digest[:3] = row.shows, row.copied, row.problem != ""
        self.hash = fingerprints.of(self.pixels(np.arange(len(self.rows))))

    def pixels(self, indices: NDArray[np.int64]) -> NDArray[np.uint8]:
        pixels = np.zeros((len(indices), 32, 32, 3), dtype=np.uint8)
        for square, row in zip(pixels, (self.rows[index] for index in indices), strict=True):
            if not row.problem:
                square[:] = (COPIES if row.copied else PICTURES)[row.shows]
        return pixels


def sound() -> list[Row]:
    """Three classes with four pictures in train and one in each of validation and test, all of them different."""
    rows = [Row(label, split) for label in range(3) for split in (0, 0, 0, 0, 1, 2)]
    return [replace(row, shows=number) for number, row in enumerate(rows)]


def names_of(rows: list[Row]) -> list[str]:
    return [f"{CLASSES[row.label]}/{number:03d}.png" for number, row in enumerate(rows)]


def examine(rows: list[Row], *words: str, ignored: tuple[str, ...] = (), image_size: int = 32) -> Diagnosis:
    items = [Item(name, row.label, group=row.group) for name, row in zip(names_of(rows), rows, strict=True)]
    source = Source("imagefolder", CLASSES, items, None, None, ignored, "0")
    given = np.array([row.split for row in rows], dtype=np.int8)
    before = given.copy()
    diagnosis = doctor.examine(source, Staged(rows), given, Settings.parse(words), image_size)  # type: ignore[arg-type]
    assert np.array_equal(given, before)
    return diagnosis


def only(diagnosis: Diagnosis) -> dict[str, Any]:
    assert [finding["finding"] for finding in diagnosis.findings] == [diagnosis.findings[0]["finding"]]
    return diagnosis.findings[0]


def refusal(rows: list[Row], *words: str, **options: Any) -> str:
    with pytest.raises(Refusal) as caught:
        examine(rows, *words, **options)
    return str(caught.value)


def test_a_sound_data_set_has_no_findings_and_stays_as_it_is() -> None:
    rows = sound()
    diagnosis = examine(rows)
    assert diagnosis.findings == []
    assert diagnosis.pairs == []
    assert diagnosis.splits.tolist() == [row.split for row in rows]
    assert diagnosis.class_weights == [1.0, 1.0, 1.0]


def test_unreadable_pictures_are_dropped_with_their_reasons() -> None:
    rows = [*sound(), Row(1, 0, problem="cut short"), Row(2, 2, problem="empty")]
    diagnosis = examine(rows)
    files, reasons = ["dog/018.png", "eel/019.png"], ["cut short", "empty"]
    expected = {"finding": "unreadable", "action": "drop", "count": 2, "files": files, "reasons": reasons}
    assert only(diagnosis) == expected
    assert diagnosis.splits.tolist() == [*(row.split for row in sound()), -1, -1]


def test_unreadable_pictures_can_be_refused() -> None:
    message = refusal([*sound(), Row(1, 0, problem="cut short")], "unreadable=fail")
    assert message == (
        "1 picture cannot be read (dog/018.png: cut short): replace or remove them, "
        "or set doctor.unreadable in pipeline.yaml to drop"
    )


def test_unreadable_pictures_are_no_duplicates_of_each_other() -> None:
    rows = [*sound(), *(Row(1, split, problem="empty") for split in (0, 1, 2))]
    assert only(examine(rows, "duplicates=fail", "leaks=fail"))["count"] == 3


def test_files_that_are_no_pictures_are_told_or_refused() -> None:
    expected = {"finding": "not_pictures", "action": "warn", "count": 1, "files": ["a/notes.txt"]}
    assert only(examine(sound(), ignored=("a/notes.txt",))) == expected
    assert "1 file is no picture (a/notes.txt)" in refusal(sound(), "not_pictures=fail", ignored=("a/notes.txt",))


@pytest.mark.parametrize("copied", [False, True])
def test_a_duplicate_within_a_split_is_told(copied: bool) -> None:
    rows = [*sound(), Row(0, 0, shows=1, copied=copied)]
    diagnosis = examine(rows)
    groups = [["cat/001.png", "cat/018.png"]]
    expected = {"finding": "duplicates", "action": "warn", "count": 2, "groups": groups, "copies": 1}
    assert only(diagnosis) == expected
    assert diagnosis.splits[18] == 0
    assert diagnosis.pairs == [(1, 18)]


def test_of_duplicates_the_largest_is_kept_and_of_equals_the_first() -> None:
    rows = [*sound(), Row(0, 0, shows=1, sides=(200, 160)), Row(0, 0, shows=2)]
    diagnosis = examine(rows, "duplicates=drop")
    assert np.flatnonzero(diagnosis.splits < 0).tolist() == [1, 19]
    assert only(diagnosis)["groups"] == [["cat/018.png", "cat/001.png"], ["cat/002.png", "cat/019.png"]]


def test_duplicates_can_be_refused() -> None:
    message = refusal([*sound(), Row(0, 0, shows=1)], "duplicates=fail")
    assert message.startswith("2 pictures are the same as others of their split (cat/001.png = cat/018.png)")
    assert message.endswith("set doctor.duplicates in pipeline.yaml to warn or drop")


@pytest.mark.parametrize("copied", [False, True])
@pytest.mark.parametrize(("kept", "more"), [(0, 1), (0, 2), (1, 2)])
def test_a_leak_moves_to_the_more_held_out_split(kept: int, more: int, copied: bool) -> None:
    at = {0: 1, 1: 4, 2: 5}[kept]
    diagnosis = examine([*sound(), Row(0, more, shows=at, copied=copied)])
    leaks = diagnosis.findings[0]
    assert leaks == {
        "finding": "leaks",
        "action": "move",
        "count": 2,
        "groups": [[f"cat/{at:03d}.png", "cat/018.png"]],
        "splits": [[SPLITS[kept], SPLITS[more]]],
        "moved": 1,
    }
    assert diagnosis.splits[at] == diagnosis.splits[18] == more
    assert diagnosis.findings[1]["finding"] == "duplicates" or kept == 1


def test_one_picture_in_three_splits_goes_to_test_as_a_whole() -> None:
    rows = [*sound(), Row(0, 1, shows=1, copied=True), Row(0, 2, shows=1), Row(0, 0, shows=1)]
    diagnosis = examine(rows)
    assert diagnosis.splits[[1, 18, 19, 20]].tolist() == [2, 2, 2, 2]
    assert diagnosis.findings[0]["moved"] == 3
    assert diagnosis.findings[0]["count"] == 4


def test_leaks_can_be_dropped_from_the_less_held_out_splits() -> None:
    rows = [*sound(), Row(0, 1, shows=1), Row(0, 2, shows=1, copied=True)]
    diagnosis = examine(rows, "leaks=drop")
    assert diagnosis.splits[[1, 18, 19]].tolist() == [-1, -1, 2]
    assert only(diagnosis)["dropped"] == 2


def test_leaks_can_be_left_with_a_warning() -> None:
    rows = [*sound(), Row(0, 2, shows=1)]
    diagnosis = examine(rows, "leaks=warn")
    assert diagnosis.splits.tolist() == [row.split for row in rows]
    assert only(diagnosis)["splits"] == [["train", "test"]]


def test_leaks_can_be_refused() -> None:
    message = refusal([*sound(), Row(0, 2, shows=1)], "leaks=fail")
    assert message == (
        "2 pictures stand in more than one split (cat/001.png in train = cat/018.png in test): keep each in one split, "
        "or set doctor.leaks in pipeline.yaml to move, drop or warn"
    )


def test_what_shares_a_group_with_a_leak_moves_along() -> None:
    rows = sound()
    rows[2].group = rows[3].group = "burst"
    rows.append(Row(0, 2, shows=2))
    diagnosis = examine(rows, "small_classes=warn")
    assert diagnosis.splits[[2, 3, 18]].tolist() == [2, 2, 2]
    assert diagnosis.findings[0]["moved"] == 2
    assert diagnosis.findings[0]["along"] == ["cat/003.png"]
    assert diagnosis.splits[0] == 0


@pytest.mark.parametrize("copied", [False, True])
def test_a_picture_under_two_labels_is_dropped_everywhere(copied: bool) -> None:
    rows = [*sound(), Row(1, 2, shows=1, copied=copied)]
    diagnosis = examine(rows, "conflicting_labels=drop")
    assert only(diagnosis) == {
        "finding": "conflicting_labels",
        "action": "drop",
        "count": 2,
        "groups": [["cat/001.png", "dog/018.png"]],
        "classes": [["cat", "dog"]],
    }
    assert diagnosis.splits[[1, 18]].tolist() == [-1, -1]
    assert diagnosis.pairs == [(1, 18)]


def test_a_picture_under_two_labels_can_stay_or_be_refused() -> None:
    rows = [*sound(), Row(1, 0, shows=1)]
    assert examine(rows).splits.tolist() == [row.split for row in rows]
    message = refusal(rows, "conflicting_labels=fail")
    assert "2 pictures stand under two labels (cat/001.png in cat = dog/018.png in dog)" in message


@pytest.mark.parametrize(
    ("sides", "odd"), [((15, 100), True), ((16, 40), False), ((241, 80), True), ((240, 80), False)]
)
def test_small_and_long_pictures_are_odd(sides: tuple[int, int], odd: bool) -> None:
    diagnosis = examine([*sound(), Row(0, 0, shows=40, sides=sides)])
    assert bool(diagnosis.findings) == odd
    if odd:
        sizes = [f"{sides[0]}x{sides[1]}"]
        expected = {"finding": "odd_sizes", "action": "warn", "count": 1, "files": ["cat/018.png"], "sizes": sizes}
        assert only(diagnosis) == expected


def test_odd_pictures_can_be_dropped_or_refused_and_the_aspect_set() -> None:
    rows = [*sound(), Row(0, 0, shows=40, sides=(10, 100))]
    assert np.flatnonzero(examine(rows, "odd_sizes=drop").splits < 0).tolist() == [18]
    assert "1 picture of odd size (cat/018.png: 10x100)" in refusal(rows, "odd_sizes=fail")
    rows[18].sides = (20, 100)
    assert examine(rows, "odd_sizes=fail", "max_aspect=5").findings == []


def test_where_all_pictures_are_small_none_is_odd_for_that() -> None:
    rows = [replace(row, sides=(8, 8)) for row in sound()]
    assert examine([*rows, Row(0, 0, shows=40, sides=(4, 4))]).findings == []
    assert only(examine([*rows, Row(0, 0, shows=40, sides=(3, 3))]))["files"] == ["cat/018.png"]


def test_a_small_class_is_refused_with_what_to_do() -> None:
    rows = [row for row in sound() if row.label != 2 or row.split or row.shows == 12]
    message = refusal(rows)
    assert message.startswith("1 class has fewer than 2 pictures to train on (eel: 1): add pictures")
    assert "doctor.small_classes in pipeline.yaml to warn" in message
    finding = only(examine(rows, "small_classes=warn"))
    expected = {"finding": "small_classes", "action": "warn", "count": 1, "classes": {"eel": 1}}
    assert finding == {**expected, "files": ["eel/012.png"]}
    assert examine(rows, "minimum_per_class=1").findings == []


def test_imbalance_is_told_or_refused_beyond_the_ratio() -> None:
    rows = [*sound(), *(Row(0, 0, shows=20 + number) for number in range(37))]
    expected = {"finding": "imbalance", "action": "warn", "count": 2, "classes": {"dog": 4, "cat": 41}, "ratio": 10.25}
    assert only(examine(rows)) == expected
    assert "10.2 times the pictures of the smallest (dog: 4; cat: 41)" in refusal(rows, "imbalance=fail")
    assert examine(rows[:-1], "imbalance=fail").findings == []
    assert examine(rows, "imbalance=fail", "max_imbalance=10.25").findings == []


def test_class_weights_make_classes_count_the_same() -> None:
    rows = [*sound(), *(Row(0, 0, shows=20 + number) for number in range(8))]
    diagnosis = examine(rows)
    counts = np.array([12, 4, 4])
    assert np.allclose(diagnosis.class_weights, 20 / (3 * counts), atol=1e-6)
    assert np.isclose((counts * diagnosis.class_weights).sum() / 20, 1)


def test_a_class_with_nothing_to_train_on_is_refused_whatever_the_settings() -> None:
    rows = [row for row in sound() if row.label != 2 or row.split]
    rows += [Row(2, 0, problem="empty"), Row(2, 0, shows=1), Row(2, 0, shows=17)]
    words = ["small_classes=warn", "minimum_per_class=1", "conflicting_labels=drop"]
    message = refusal(rows, *words)
    reasons = "doctor.unreadable took 1, doctor.conflicting_labels took 1, doctor.leaks took 1 of 5 pictures"
    assert message == f"nothing to train on in class 'eel' ({reasons}): add pictures or remove the class"


@pytest.mark.parametrize("split", [1, 2])
def test_an_empty_split_is_refused(split: int) -> None:
    rows = [row for row in sound() if row.split != split]
    assert f"no picture is left in {SPLITS[split]}" in refusal(rows)


def test_a_class_that_is_never_measured_is_told() -> None:
    rows = [row for row in sound() if (row.label, row.split) != (1, 2)]
    finding = only(examine(rows))
    assert finding["finding"] == "classes_without_pictures"
    assert (finding["split"], finding["classes"]) == ("test", {"dog": 0})


def test_all_that_fails_is_said_at_once() -> None:
    rows = [*sound(), Row(1, 0, problem="empty"), Row(0, 2, shows=1), Row(0, 0, shows=40, sides=(500, 50))]
    message = refusal(rows, "unreadable=fail", "leaks=fail", "odd_sizes=fail")
    assert all(f"doctor.{name} in pipeline.yaml" in message for name in ("unreadable", "leaks", "odd_sizes"))


def test_a_dropped_picture_is_not_counted_again() -> None:
    """The odd copy goes for its size: neither a leak nor a duplicate remains."""
    rows = [*sound(), Row(0, 2, shows=1, sides=(10, 90)), Row(0, 0, shows=2, sides=(10, 90))]
    diagnosis = examine(rows, "odd_sizes=drop", "duplicates=drop")
    assert only(diagnosis)["finding"] == "odd_sizes"
    assert np.flatnonzero(diagnosis.splits < 0).tolist() == [18, 19]


def test_an_odd_copy_under_another_label_still_tells_of_the_conflict() -> None:
    diagnosis = examine([*sound(), Row(1, 0, shows=1, sides=(10, 90))], "odd_sizes=drop", "conflicting_labels=drop")
    assert only(diagnosis)["finding"] == "conflicting_labels"


def test_pairs_to_draw_begin_with_conflicts_and_leaks_and_end_at_24() -> None:
    rows = [*sound(), *(Row(0, 0, shows=number) for number in range(20, 48))]
    rows += [*(Row(0, 0, shows=number) for number in range(20, 46)), Row(0, 2, shows=46), Row(1, 0, shows=47)]
    diagnosis = examine(rows)
    assert diagnosis.pairs[:3] == [(45, 73), (44, 72), (18, 46)]
    assert len(diagnosis.pairs) == 24


def test_long_lists_are_cut_and_say_so() -> None:
    rows = [*sound(), *(Row(1, 0, problem="empty") for _ in range(1200))]
    finding = only(examine(rows))
    assert (finding["count"], len(finding["files"]), len(finding["reasons"])) == (1200, 1000, 1000)
    assert finding["left_out"] == 200


@pytest.mark.parametrize(("copies", "listed"), [(996, [997, 3]), (998, [999])])
def test_long_groups_are_cut_and_say_so(copies: int, listed: list[int]) -> None:
    rows = [*sound(), *(Row(0, 0, shows=1) for _ in range(copies)), *(Row(1, 0, shows=7) for _ in range(4))]
    finding = examine(rows, "max_imbalance=1000").findings[0]
    assert (finding["count"], [len(group) for group in finding["groups"]]) == (copies + 6, listed)
    assert finding["left_out"] == copies + 6 - sum(listed)
    leaks = examine([*rows, Row(0, 2, shows=1)], "leaks=warn", "max_imbalance=1000").findings[0]
    assert [len(group) for group in leaks["splits"]] == [len(group) for group in leaks["groups"]] == [copies + 2]


def test_the_shipped_digits_lose_and_move_no_picture(tmp_path: Path) -> None:
    source = open_digits()
    staged = staging.stage(source, tmp_path, 32, processes=1)
    splits = np.random.default_rng(0).choice(np.array([0, 0, 0, 1, 2], dtype=np.int8), len(source.items))
    diagnosis = doctor.examine(source, staged, splits, Settings(), 32)
    assert np.array_equal(diagnosis.splits, splits)
    assert diagnosis.findings == []


def test_staged_copies_are_found_as_those_in_memory_are(tmp_path: Path) -> None:
    digits = open_digits()
    read = digits.read
    assert read
    items = [*digits.items[:300], Item("copy.png", digits.items[7].label), Item("other.png", 9)]
    source = digits._replace(items=items, read=lambda row: read([*range(300), 7, 8][row]))
    staged = staging.stage(source, tmp_path, 32, processes=1)
    splits = np.array([*([0] * 296), 1, 1, 2, 2, 2, 0], dtype=np.int8)
    settings = Settings(small_classes="warn", imbalance="warn")
    pairs = doctor.same_pictures(staged)
    assert pairs.tolist() == [[7, 300], [8, 301]]
    with pytest.raises(Refusal, match="nothing to train on"):  # of the first 300 digits there are 0 and 1 only
        doctor.examine(source, staged, splits, settings, 32)


def pictures_of_all_kinds() -> st.SearchStrategy[list[Row]]:
    row = st.builds(
        Row,
        label=st.integers(0, 2),
        split=st.integers(0, 2),
        shows=st.integers(18, 24),
        copied=st.booleans(),
        problem=st.sampled_from(["", "", "", "cut short"]),
        sides=st.sampled_from([(100, 80), (100, 80), (300, 20), (200, 160)]),
    )
    return st.lists(row, max_size=14).map(lambda rows: [*sound(), *rows])


def actions() -> st.SearchStrategy[list[str]]:
    kept = {name: [word for word in words if word != "fail"] for name, words in ACTIONS.items()}
    return st.tuples(
        *(st.sampled_from(words).map(lambda word, name=name: f"{name}={word}") for name, words in kept.items())
    ).map(list)


@settings(max_examples=120, deadline=None)
@given(pictures_of_all_kinds(), actions())
def test_what_holds_for_every_data_set(rows: list[Row], words: list[str]) -> None:
    diagnosis = examine(rows, *words)
    chosen = Settings.parse(words)
    splits, labels = diagnosis.splits, np.array([row.label for row in rows])
    assert set(splits.tolist()) <= {-1, 0, 1, 2}
    assert not any(row.problem and split >= 0 for row, split in zip(rows, splits, strict=True))
    present = np.flatnonzero(splits >= 0)
    alike: dict[int, list[int]] = {}
    for row in present.tolist():
        alike.setdefault(rows[row].shows, []).append(row)
    for group in alike.values():
        if chosen.leaks != "warn":
            assert len(set(splits[group].tolist())) == 1
        if chosen.conflicting_labels == "drop":
            assert len(set(labels[group].tolist())) == 1
        if chosen.duplicates == "drop":
            assert len(set(splits[group].tolist())) == len(group)
    moved = present[splits[present] != np.array([row.split for row in rows])[present]]
    assert not len(moved) or chosen.leaks == "move"
    assert all(splits[row] > rows[row].split for row in moved.tolist())
    counts = np.bincount(labels[splits == 0], minlength=3)
    assert np.isclose((counts * diagnosis.class_weights).sum(), counts.sum(), atol=1e-3)
    named_in_full(diagnosis, rows, {row for row in range(len(rows)) if splits[row] != rows[row].split})


def named_in_full(diagnosis: Diagnosis, rows: list[Row], changed: set[int]) -> None:
    """Findings name files that there are, as many as they count, and every picture that was dropped or moved."""
    known, named = set(names_of(rows)), set()
    for finding in json.loads(json.dumps(diagnosis.findings)):
        files = [*finding.get("files", ()), *(name for group in finding.get("groups", ()) for name in group)]
        assert set(files) <= known
        if finding["finding"] in Settings._fields and "classes" not in finding:
            assert len(files) == len(set(files)) == finding["count"]
        if finding["action"] in ("drop", "move"):
            named |= set(files)
    assert {names_of(rows)[row] for row in changed} <= named


@settings(max_examples=40, deadline=None)
@given(pictures_of_all_kinds(), st.lists(st.sampled_from(["", "a", "b", "c"]), min_size=32, max_size=32))
def test_moving_leaves_no_confirmed_pair_and_no_group_across_splits(rows: list[Row], groups: list[str]) -> None:
    splits_of_groups: dict[str, int] = {}
    for row, group in zip(rows[18:], groups, strict=False):
        row.group, row.problem = group, ""
        row.split = splits_of_groups.setdefault(group, row.split) if group else row.split
    splits = examine(rows, "conflicting_labels=warn").splits
    staged = Staged(rows)
    left, right = near.search(staged.hash, staged.pixels).T
    assert np.array_equal(splits[left], splits[right])
    for group in splits_of_groups:
        assert len({int(split) for split, row in zip(splits, rows, strict=True) if row.group == group}) == 1


def test_a_second_examination_of_what_remains_finds_nothing_to_change() -> None:
    rows = [*sound(), Row(1, 2, shows=1), Row(0, 2, shows=2), Row(0, 0, shows=3), Row(2, 0, problem="empty")]
    words = ["duplicates=drop"]
    first = examine(rows, *words)
    rest = [replace(row, split=int(split)) for row, split in zip(rows, first.splits, strict=True) if split >= 0]
    second = examine(rest, *words)
    assert second.findings == []
    assert second.splits.tolist() == [row.split for row in rest]


def test_defaults_are_the_first_of_the_actions() -> None:
    assert {name: getattr(Settings(), name) for name in ACTIONS} == {name: words[0] for name, words in ACTIONS.items()}
    assert set(Settings._fields) == {*ACTIONS, "minimum_per_class", "max_imbalance", "max_aspect"}


def test_settings_are_read_from_words() -> None:
    found = Settings.parse(["leaks=drop", "minimum_per_class=5", "max_aspect=2.5", "odd_sizes=fail"])
    assert found == Settings(leaks="drop", minimum_per_class=5, max_aspect=2.5, odd_sizes="fail")
    every = [f"{name}={value}" for name, value in found._asdict().items()]
    assert Settings.parse(every) == found


REFUSED_WORDS = {
    "leak=drop": "no finding is called 'leak': did you mean leaks?",
    "colour=drop": "no finding is called 'colour': known are unreadable, ",
    "leaks": "no '=' in it: write name=value",
    "leaks=delete": "doctor.leaks 'delete': take move, drop, warn or fail",
    "unreadable=warn": "doctor.unreadable 'warn': take drop or fail",
    "duplicates=": "doctor.duplicates '': take warn, drop or fail",
    "minimum_per_class=1.5": "doctor.minimum_per_class '1.5': take a whole number from 1 on",
    "minimum_per_class=0": "take a whole number from 1 on",
    "max_imbalance=nan": "doctor.max_imbalance 'nan': take a number from 1 on",
    "max_aspect=inf": "take a number from 1 on",
    "max_aspect=many": "doctor.max_aspect 'many'",
}


@pytest.mark.parametrize("word", REFUSED_WORDS)
def test_a_wrong_word_is_refused_with_the_right_ones(word: str) -> None:
    with pytest.raises(Refusal) as caught:
        Settings.parse([word])
    assert REFUSED_WORDS[word] in str(caught.value)


def test_a_setting_given_twice_is_refused() -> None:
    with pytest.raises(Refusal, match="leaks was given before: say it once"):
        Settings.parse(["leaks=drop", "leaks=drop"])


def test_a_refusal_names_five_and_the_log_names_all(capsys: pytest.CaptureFixture[str]) -> None:
    broken = [Row(problem="cut\x1b[2Jshort", shows=number) for number in range(20, 27)]
    with pytest.raises(Refusal, match="; and 2 more, in the log"):
        examine([*sound(), *broken], "unreadable=fail")
    head, *names = capsys.readouterr().out.splitlines()
    assert head == "7 pictures cannot be read:"
    assert names == [f"  cat/{number:03d}.png: cut\ufffd[2Jshort" for number in range(18, 25)]
