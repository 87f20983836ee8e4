import os
from pathlib import Path

import pytest

from pipeline.local.folders import PROCESSING, Folders
from pipeline.local.loop import Loop


@pytest.fixture
def loop():
    return Loop()


def used(path: Path) -> Path:
    """A job's folder after the job: what it was given, and what it did to it."""
    (path / "algo-1/ml/config").mkdir(parents=True)
    (path / "algo-1/ml/config/resourceconfig.json").write_text("{}")
    (path / "algo-1/ml/processing/input/data/deep").mkdir(parents=True)
    (path / "algo-1/ml/processing/input/data/deep/file").write_text("x")
    (path / "algo-1/.cache").mkdir()
    (path / "hosts").write_text("")
    return path


def below(path: Path) -> set[str]:
    return {str(found.relative_to(path)) for found in path.rglob("*")}


def test_the_next_job_finds_nothing_of_the_one_before_but_empty_folders_that_it_has_anyway(tmp_path, loop):
    folders = Folders(loop)
    folders.take(str(tmp_path / "one"), PROCESSING)
    used(tmp_path / "one")
    folders.give_back(str(tmp_path / "one"))
    loop.tidy()

    folders.take(str(tmp_path / "two"), PROCESSING)

    assert below(tmp_path / "two") <= PROCESSING
    assert "algo-1/ml/config" in below(tmp_path / "two")
    assert not (tmp_path / "one").exists()


def test_a_link_that_a_job_left_in_place_of_a_folder_is_not_followed(tmp_path, loop):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").write_text("x")
    folders = Folders(loop)
    folders.take(str(tmp_path / "one"), PROCESSING)
    (tmp_path / "one/algo-1/ml").mkdir(parents=True)
    (tmp_path / "one/algo-1/ml/config").symlink_to(outside)
    folders.give_back(str(tmp_path / "one"))
    loop.tidy()

    folders.take(str(tmp_path / "two"), PROCESSING)

    assert not (tmp_path / "two/algo-1/ml/config").is_symlink()
    assert (outside / "precious").exists()


def test_a_folder_that_its_owner_may_not_use_any_more_is_not_kept(tmp_path, loop):
    folders = Folders(loop)
    folders.take(str(tmp_path / "one"), PROCESSING)
    (tmp_path / "one/algo-1/tmp").mkdir(parents=True)
    (tmp_path / "one/algo-1/tmp").chmod(0o500)
    folders.give_back(str(tmp_path / "one"))
    loop.tidy()
    folders.take(str(tmp_path / "two"), PROCESSING)
    assert "algo-1/tmp" not in below(tmp_path / "two")


def test_what_is_given_back_is_emptied_before_anybody_takes_it(tmp_path, loop):
    folders = Folders(loop)
    folders.take(str(tmp_path / "one"), PROCESSING)
    used(tmp_path / "one")
    folders.give_back(str(tmp_path / "one"))
    loop.tidy()
    assert below(tmp_path / "one") <= PROCESSING


def test_the_next_job_does_not_wait_for_the_folder_of_the_one_before_to_be_emptied(tmp_path, loop):
    folders = Folders(loop)
    folders.take(str(tmp_path / "one"), PROCESSING)
    used(tmp_path / "one")
    folders.give_back(str(tmp_path / "one"))
    folders.take(str(tmp_path / "two"), PROCESSING)
    assert below(tmp_path / "two") == set()
    assert (tmp_path / "one/algo-1/ml/config/resourceconfig.json").exists()


def test_a_folder_that_was_not_taken_is_deleted(tmp_path, loop):
    used(tmp_path / "one")
    Folders(loop).give_back(str(tmp_path / "one"))
    loop.tidy()
    assert os.listdir(tmp_path) == []


def test_only_a_few_folders_are_kept(tmp_path, loop):
    folders = Folders(loop)
    paths = [tmp_path / str(number) for number in range(9)]
    for path in paths:
        folders.take(str(path), PROCESSING)
    for path in paths:
        folders.give_back(str(path))
    loop.tidy()
    assert len(os.listdir(tmp_path)) == 4
