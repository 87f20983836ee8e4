"""Lambda functions: what is taken as code, which handler is found, what is refused."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

import pytest

from pipeline.errors import DarkroomError
from pipeline.local.functions import find_function, register_function
from pipeline.local.store import Store

ARN = "arn:aws:lambda:us-east-1:111122223333:function:deploy"
SOURCE = "def handler(event, context):\n    return {}\n"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "home"))


def archive(tmp_path: Path, **files: str) -> str:
    path = tmp_path / "function.zip"
    with zipfile.ZipFile(path, "w") as packed:
        for name, text in files.items():
            packed.writestr(name.replace("__", "."), text)
    return str(path)


def folder(tmp_path: Path, **files: str) -> str:
    for name, text in files.items():
        path = tmp_path / "source" / name.replace("__", ".")
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    return str(tmp_path / "source")


def test_an_archive_a_folder_and_a_module_are_code(store: Store, tmp_path: Path) -> None:
    module = tmp_path / "only.py"
    module.write_text(SOURCE)
    for path in (archive(tmp_path, only__py=SOURCE), folder(tmp_path, only__py=SOURCE), str(module)):
        record = register_function(store, ARN, path)
        assert record.body["handler"] == "only.handler"
        assert Path(record.body["folder"], "only.py").read_text() == SOURCE


def test_equal_code_is_kept_once_and_other_code_apart(store: Store, tmp_path: Path) -> None:
    first = register_function(store, ARN, archive(tmp_path, a__py=SOURCE)).body["folder"]
    again = register_function(store, ARN, folder(tmp_path, a__py=SOURCE)).body["folder"]
    other = register_function(store, ARN, archive(tmp_path, a__py=SOURCE + "\n")).body["folder"]
    assert first == again != other


def test_a_later_edit_of_the_source_changes_nothing_registered(store: Store, tmp_path: Path) -> None:
    source = folder(tmp_path, a__py=SOURCE)
    kept = Path(register_function(store, ARN, source).body["folder"], "a.py")
    Path(source, "a.py").write_text("")
    assert kept.read_text() == SOURCE


@pytest.mark.parametrize(
    ("files", "handler"),
    [
        (
            {"lambda_function__py": "def lambda_handler(e, c): ...", "other__py": SOURCE},
            "lambda_function.lambda_handler",
        ),
        ({"index__py": SOURCE, "other__py": SOURCE}, "index.handler"),
        ({"tools__py": "def help(): ...", "deploy__py": SOURCE}, "deploy.handler"),
    ],
)
def test_the_usual_handler_or_the_only_one_is_found(
    store: Store, tmp_path: Path, files: dict[str, str], handler: str
) -> None:
    assert register_function(store, ARN, archive(tmp_path, **files)).body["handler"] == handler


@pytest.mark.parametrize(
    ("files", "match"),
    [
        ({"a__py": SOURCE, "b__py": SOURCE}, "several functions could be the handler: a.handler, b.handler"),
        ({"a__py": "x = 1"}, "no module defines a handler"),
        ({"a__py": "def handler(:"}, "a.py cannot be parsed"),
        ({"readme__txt": "hello"}, "no module defines a handler"),
    ],
)
def test_code_without_one_clear_handler_is_refused(
    store: Store, tmp_path: Path, files: dict[str, str], match: str
) -> None:
    with pytest.raises(DarkroomError, match=match):
        register_function(store, ARN, archive(tmp_path, **files))


@pytest.mark.parametrize("handler", ["none.handler", "a", "a.", "a.1x"])
def test_a_handler_that_the_code_does_not_hold_is_refused(store: Store, tmp_path: Path, handler: str) -> None:
    with pytest.raises(DarkroomError, match="the handler"):
        register_function(store, ARN, archive(tmp_path, a__py=SOURCE), handler)


@pytest.mark.parametrize("name", ["../evil.py", "/etc/evil.py", "a/../../evil.py", "C:/evil.py", "..\\evil.py"])
def test_an_entry_that_leads_out_of_the_archive_is_refused(store: Store, tmp_path: Path, name: str) -> None:
    path = tmp_path / "function.zip"
    with zipfile.ZipFile(path, "w") as packed:
        packed.writestr(zipfile.ZipInfo(name), SOURCE)
    with pytest.raises(DarkroomError, match="leads out of the archive"):
        register_function(store, ARN, str(path))
    assert not list(tmp_path.rglob("evil.py"))


def test_a_symbolic_link_in_an_archive_is_refused(store: Store, tmp_path: Path) -> None:
    path, entry = tmp_path / "function.zip", zipfile.ZipInfo("index.py")
    entry.external_attr = 0o120777 << 16
    with zipfile.ZipFile(path, "w") as packed:
        packed.writestr(entry, "/etc/passwd")
    with pytest.raises(DarkroomError, match="symbolic link"):
        register_function(store, ARN, str(path))


def test_an_archive_that_unpacks_to_too_much_is_refused(store: Store, tmp_path: Path) -> None:
    path = Path(archive(tmp_path, a__py=SOURCE))
    content = bytearray(path.read_bytes())
    size_in_directory = content.index(b"PK\x01\x02") + 24
    content[size_in_directory : size_in_directory + 4] = (300 << 20).to_bytes(4, "little")
    path.write_bytes(content)
    with pytest.raises(DarkroomError, match="more than 250 MiB"):
        register_function(store, ARN, str(path))


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\x03\x04broken"])
def test_what_is_no_archive_is_refused(store: Store, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "function.zip"
    path.write_bytes(content)
    with pytest.raises(DarkroomError, match="is not a zip archive"):
        register_function(store, ARN, str(path))


def test_code_that_is_not_there_is_refused(store: Store, tmp_path: Path) -> None:
    with pytest.raises(DarkroomError, match="there is no function code at"):
        register_function(store, ARN, str(tmp_path / "none"))


@pytest.mark.parametrize("arn", ["deploy", "arn:aws:s3:::bucket", "arn:aws:lambda:us-east-1:111122223333:layer:x"])
def test_what_is_no_functions_arn_is_refused(store: Store, tmp_path: Path, arn: str) -> None:
    with pytest.raises(DarkroomError, match="is not the ARN of a Lambda function"):
        register_function(store, arn, archive(tmp_path, a__py=SOURCE))


def test_a_function_serves_its_versions_and_aliases(store: Store, tmp_path: Path) -> None:
    register_function(store, ARN, archive(tmp_path, a__py=SOURCE))
    assert find_function(store, f"{ARN}:live").name == ARN


def test_an_unknown_function_names_what_to_type(store: Store) -> None:
    with pytest.raises(DarkroomError) as caught:
        find_function(store, ARN)
    assert f"--function {ARN}=" in caught.value.hint


def test_compiled_python_beside_the_source_is_left_out(store: Store, tmp_path: Path) -> None:
    source = folder(tmp_path, a__py=SOURCE)
    os.makedirs(f"{source}/__pycache__")
    Path(source, "__pycache__", "a.pyc").write_bytes(b"")
    assert os.listdir(register_function(store, ARN, source).body["folder"]) == ["a.py"]
