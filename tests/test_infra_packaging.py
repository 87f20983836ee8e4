"""The zip files of the Lambda functions: the same bytes each time, named by what they hold."""

from __future__ import annotations

import io
import re
import zipfile
from pathlib import Path

import pytest
from rendered import ENTRYPOINTS, about, changed

from pipeline.errors import StorageError
from pipeline.infra import packaging

FOUND = packaging.packages(about().config, ENTRYPOINTS)


def test_each_function_of_the_pipeline_has_its_file() -> None:
    assert [(each.function, each.handler) for each in FOUND] == [
        ("darkroom-deploy", "lambda_deploy.handler"),
        ("darkroom-champion", "lambda_champion.handler"),
        ("darkroom-invoke", "lambda_invoke.handler"),
    ]
    assert all(re.fullmatch(r"darkroom-digits/functions/lambda_[a-z]+-[0-9a-f]{16}\.zip", each.key) for each in FOUND)


def test_a_file_holds_the_handler_and_no_time() -> None:
    for package in FOUND:
        with zipfile.ZipFile(io.BytesIO(package.body)) as archive:
            assert archive.testzip() is None
            assert archive.read(package.program) == (ENTRYPOINTS / package.program).read_bytes()
            assert {entry.date_time for entry in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def test_built_again_nothing_differs(tmp_path: Path) -> None:
    first = packaging.write(FOUND, tmp_path / "functions")
    before = [path.read_bytes() for path in first]
    again = packaging.write(packaging.packages(about().config, ENTRYPOINTS), tmp_path / "functions")
    assert (again, [path.read_bytes() for path in again]) == (first, before)
    assert sorted(path.name for path in first) == sorted(each.key.rpartition("/")[2] for each in FOUND)


def test_changed_code_has_another_name(tmp_path: Path) -> None:
    for name in (packaging.DEPLOY, packaging.CHAMPION, packaging.INVOKE):
        (tmp_path / name).write_bytes((ENTRYPOINTS / name).read_bytes() + b"\n# changed\n")
    keys = {each.key for each in packaging.packages(about().config, tmp_path)}
    assert not keys & {each.key for each in FOUND}


@pytest.mark.parametrize(
    "function",
    [
        "arn:aws:lambda:us-east-1:444455556666:function:darkroom-deploy",
        "arn:aws:lambda:eu-west-1:111122223333:function:darkroom-deploy",
        "arn:aws:lambda:us-east-1:111122223333:function:darkroom-deploy:live",
    ],
)
def test_functions_that_are_somebody_elses_are_left_to_them(function: str) -> None:
    found = packaging.packages(changed(deploy={"function": function}), ENTRYPOINTS)
    assert [each.program for each in found] == [packaging.CHAMPION, packaging.INVOKE]


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match=r"cannot write .*file"):
        packaging.write(FOUND, tmp_path / "file")
