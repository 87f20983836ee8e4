"""Files that are whole or absent."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pipeline.whole_file import whole


def test_a_file_takes_its_name_once_all_of_it_is_there(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    with whole(str(path)) as aside:
        Path(aside).write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new" and os.listdir(tmp_path) == ["file"]


def test_what_breaks_off_leaves_the_old_file_alone(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    with pytest.raises(OSError, match="disk is full"), whole(str(path)) as aside:
        Path(aside).write_text("ne")
        raise OSError("disk is full")
    assert path.read_text() == "old" and os.listdir(tmp_path) == ["file"]


def test_no_folder_is_made(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), whole(str(tmp_path / "none/file")) as aside:
        Path(aside).write_text("x")
    assert os.listdir(tmp_path) == []


def test_two_threads_that_write_one_file_leave_a_whole_one(tmp_path: Path) -> None:
    path = str(tmp_path / "file")

    def write(text: str) -> None:
        with whole(path) as aside:
            Path(aside).write_text(text)

    with ThreadPoolExecutor(1) as other, whole(path) as aside:
        Path(aside).write_text("mine")
        other.submit(write, "theirs").result()
        assert Path(path).read_text() == "theirs"
    assert Path(path).read_text() == "mine" and os.listdir(tmp_path) == ["file"]
