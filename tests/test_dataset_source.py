"""What names a folder or an archive of pictures, here or in S3."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from preparation import trees

from pipeline.dataset_source import ARCHIVES, in_s3, is_archive, is_foreign_archive, located
from pipeline.errors import ConfigError

HERE = ("--set", "DatasetUri")


@pytest.mark.parametrize(
    ("source", "archive", "foreign"),
    [
        ("pictures", False, False),
        ("pictures.zip", True, False),
        ("a/b.tar", True, False),
        ("a/b.tar.gz", True, False),
        ("a/b.TGZ", True, False),
        ("a/b.gz", False, True),
        ("a/b.tar.xz", False, True),
        ("a/b.7z", False, True),
        ("zip", False, False),
        ("pictures.zip/", False, False),
        ("s3://b/x.tar.gz", True, False),
        ("s3://b/x.zip/", False, False),
        ("s3://pictures.zip", False, False),
        ("s3://pictures.rar", False, False),
        ("s3://b/x.rar", False, True),
    ],
)
def test_archives_are_told_by_their_names(source: str, archive: bool, foreign: bool) -> None:
    assert (is_archive(source), is_foreign_archive(source)) == (archive, foreign)


def test_only_an_address_is_in_s3() -> None:
    assert in_s3("s3://bucket/x")
    assert not any(map(in_s3, ("", "s3:/bucket", "S3", "./s3://x", "http://x")))


def test_a_relative_path_starts_at_the_folder_it_is_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "project" / "pictures").mkdir(parents=True)
    (tmp_path / "x.zip").touch()
    project = str(tmp_path / "project")
    assert located("pictures/", project, HERE) == f"{project}/pictures"
    assert located("../x.zip", project, HERE) == f"{tmp_path}/x.zip"
    assert located(f"{tmp_path}/x.zip", "/", HERE) == f"{tmp_path}/x.zip"
    monkeypatch.setenv("HOME", str(tmp_path))
    assert located("~/x.zip", "/", HERE) == f"{tmp_path}/x.zip"


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("gone", 'DatasetUri: "gone" does not exist; looked for {}/gone'),
        ("s3:/bucket/x", 'DatasetUri: "s3:/bucket/x" does not exist'),
        ("notes.txt", 'DatasetUri: "notes.txt" is neither a folder nor an archive (.zip, .tar, .tar.gz or .tgz)'),
        ("pipe.zip", 'DatasetUri: "pipe.zip" is neither a folder nor an archive'),
        ("dangling.zip", 'DatasetUri: "dangling.zip" does not exist'),
        ("", 'DatasetUri: "" is empty'),
    ],
)
def test_what_is_neither_is_one_clear_error(tmp_path: Path, source: str, says: str) -> None:
    (tmp_path / "notes.txt").touch()
    os.mkfifo(tmp_path / "pipe.zip")
    (tmp_path / "dangling.zip").symlink_to(tmp_path / "nowhere")
    with pytest.raises(ConfigError) as caught:
        located(source, str(tmp_path), HERE)
    assert len(caught.value.problems) == 1
    assert caught.value.problems[0].startswith(says.format(tmp_path))
    assert caught.value.hint == (
        f"name a folder, an archive (.zip, .tar, .tar.gz or .tgz), or an s3:// address; "
        f"a relative path starts at {tmp_path}"
    )


def test_prepare_data_unpacks_the_same_kinds() -> None:
    assert trees.ARCHIVES == ARCHIVES
