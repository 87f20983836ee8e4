"""Class folders, in folders and in archives: names, order, splits, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import archives
import pytest
from preparation.items import Source
from preparation.sources import open_source
from refusal import Refusal

DOGS = {
    "dogImages/train/002.Afghan_hound/1.jpg": b"1",
    "dogImages/train/001.Affenpinscher/1.jpg": b"2",
    "dogImages/train/001.Affenpinscher/2.JPEG": b"3",
    "dogImages/valid/001.Affenpinscher/1.jpg": b"4",
    "dogImages/valid/002.Afghan_hound/3.jpg": b"5",
    "dogImages/test/002.Afghan_hound/9.png": b"6",
}
WAYS: dict[str, Callable[[Path, dict[str, bytes]], None]] = {
    "folder": lambda root, files: archives.write(root, files) and None,
    "zip": lambda root, files: archives.write(root, {"data.zip": archives.zipped(files)}) and None,
    "tar": lambda root, files: archives.write(root, {"data.tar": archives.tarred(files, "w:")}) and None,
    "tar.gz": lambda root, files: archives.write(root, {"data.tar.gz": archives.tarred(files)}) and None,
}


def opened(root: Path, files: dict[str, bytes], way: str = "folder") -> Source:
    (root / "in").mkdir()
    (root / "scratch").mkdir()
    WAYS[way](root / "in", files)
    return open_source("imagefolder", root / "in", root / "scratch")


@pytest.mark.parametrize("way", WAYS)
def test_dog_breeds_keep_their_splits_and_the_order_of_their_numbers(tmp_path: Path, way: str) -> None:
    source = opened(tmp_path, DOGS, way)
    assert source.kind == "imagefolder"
    assert source.classes == ("Affenpinscher", "Afghan_hound")
    assert [tuple(item) for item in source.items] == [
        ("test/002.Afghan_hound/9.png", 1, "test", ""),
        ("train/001.Affenpinscher/1.jpg", 0, "train", ""),
        ("train/001.Affenpinscher/2.JPEG", 0, "train", ""),
        ("train/002.Afghan_hound/1.jpg", 1, "train", ""),
        ("valid/001.Affenpinscher/1.jpg", 0, "validation", ""),
        ("valid/002.Afghan_hound/3.jpg", 1, "validation", ""),
    ]
    assert source.pixels is None
    assert source.read is not None
    assert [source.read(index) for index in range(6)] == [b"6", b"2", b"3", b"1", b"4", b"5"]


def test_class_folders_alone_separate_nothing(tmp_path: Path) -> None:
    source = opened(tmp_path, {"b/deep/er/1.png": b"", "a/2.webp": b"", "a/note.txt": b"", "readme.png": b""})
    assert source.classes == ("a", "b")
    assert [tuple(item) for item in source.items] == [("a/2.webp", 0, "", ""), ("b/deep/er/1.png", 1, "", "")]
    assert source.ignored == ("a/note.txt",)


@pytest.mark.parametrize("way", WAYS)
def test_names_with_odd_characters_are_kept(tmp_path: Path, way: str) -> None:
    names = ["ä ö/日本 1.png", 'ä ö/it\'s "one"\n.png', "<b>&;/%20$(x)`.png", "..x/..y.png", "-rf/--.png"]
    kept = [name for name in names if not name.startswith("..x")]  # a dot in front hides it
    source = opened(tmp_path, {name: name.encode() for name in names}, way)
    assert [item.name for item in source.items] == sorted(kept)
    assert source.read is not None
    assert [source.read(index) for index in range(len(kept))] == [name.encode() for name in sorted(kept)]


@pytest.mark.parametrize("way", WAYS)
def test_an_empty_class_folder_is_a_class(tmp_path: Path, way: str) -> None:
    source = opened(tmp_path, {"a/1.png": b"", "b/1.png": b"", "c/note": b""}, way)
    assert source.classes == ("a", "b", "c")
    assert len(source.items) == 2


def test_val_and_capitals_name_splits_too(tmp_path: Path) -> None:
    source = opened(tmp_path, {f"{split}/{name}/1.png": b"" for split in ("Train", "val", "TEST") for name in "ab"})
    assert sorted({item.split for item in source.items}) == ["test", "train", "validation"]


def test_training_and_testing_are_splits_and_no_classes(tmp_path: Path) -> None:
    source = opened(tmp_path, {f"{split}/{name}/1.png": b"" for split in ("Training", "Testing") for name in "ab"})
    assert source.classes == ("a", "b")
    assert {item.split for item in source.items} == {"train", "test"}


def test_a_class_is_one_whichever_way_its_umlaut_is_written(tmp_path: Path) -> None:
    source = opened(tmp_path, paths("train/B\u00e4r/1.png", "train/b/1.png", "test/Ba\u0308r/1.png", "test/b/1.png"))
    assert source.classes == ("B\u00e4r", "b")
    assert [item.label for item in source.items] == [0, 1, 0, 1]


def test_the_digest_follows_contents_and_names(tmp_path: Path) -> None:
    digests = set()
    for number, files in enumerate([{"a/1.png": b"1"}, {"a/1.png": b"2"}, {"a/2.png": b"1"}]):
        (tmp_path / str(number)).mkdir()
        digests.add(opened(tmp_path / str(number), {**files, "b/1.png": b""}).digest)
    assert len(digests) == 3


def paths(*names: str) -> dict[str, bytes]:
    return dict.fromkeys(names, b"")


REFUSED = {
    "empty": ({}, "no class folders in it: put the pictures of each class into a folder"),
    "flat": (paths("1.png", "2.png"), "no class folders"),
    "stranger": (paths("train/a/1.png", "test/a/1.png", "extra/1.png"), "'extra' stands beside 'train', 'test'"),
    "two of a kind": (paths("train/a/1.png", "val/a/1.png", "valid/a/1.png"), "stands beside"),
    "without train": (paths("valid/a/1.png", "test/a/1.png"), "holds 'valid', 'test' but no 'train'"),
    "unknown class": (paths("train/a/1.png", "train/b/1.png", "test/c/1.png"), "class 'c' is not in .*/train"),
    "twice": (paths("001.a/1.png", "2.a/1.png"), "two folders stand for class 'a'"),
    "no classes": (paths("train/1.png", "test/1.png"), "train: no class folders"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_tree_that_is_no_data_set_is_refused(tmp_path: Path, case: str) -> None:
    files, words = REFUSED[case]
    with pytest.raises(Refusal, match=words):
        opened(tmp_path, files)


@pytest.mark.parametrize("way", ["zip", "tar.gz"])
def test_archives_in_an_archive_are_named(tmp_path: Path, way: str) -> None:
    with pytest.raises(Refusal, match="no class folders in it, and the archive 'test.zip' in it is not opened: put"):
        opened(tmp_path, paths("train.zip", "test.zip", "notes.txt"), way)


def test_the_endings_that_windows_gives_jpegs_are_pictures(tmp_path: Path) -> None:
    assert len(opened(tmp_path, paths("a/1.jfif", "a/2.JPE", "b/3.jpg")).items) == 3
