"""Code under two content-addressed addresses → which files changed."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest

from pipeline import source
from pipeline.client import Clients, local_client
from pipeline.plan.archives import Code, addresses, content_addressed
from pipeline.plan.difference import Field

OLD, NEW = (f"s3://bucket/p/code/train-{digit * 16}/" for digit in "ab")
FILES = {"train.py": b"one", "data.py": b"same"}
CHANGED = {"train.py": b"two", "data.py": b"same", "extra/more.py": b"new"}


@pytest.fixture
def clients(tmp_path: Path) -> Clients:
    return local_client(str(tmp_path / "home"))


def zipped(files: dict[str, bytes]) -> bytes:
    body = io.BytesIO()
    with zipfile.ZipFile(body, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return body.getvalue()


def put(clients: Clients, address: str, files: dict[str, bytes]) -> None:
    for name, body in files.items():
        clients.storage.put_bytes(address + name, body)


@pytest.mark.parametrize("form", ["plain", "tar", "zip"])
def test_files_that_came_went_or_changed_are_named(clients: Clients, form: str) -> None:
    pack = {
        "plain": lambda files: files,
        "tar": lambda files: {"sourcedir.tar.gz": source.archive(files)},
        "zip": lambda files: {"code.zip": zipped(files)},
    }[form]
    put(clients, OLD, pack({**FILES, "gone.py": b""}))
    put(clients, NEW, pack(CHANGED))
    found = Code(clients, {}).change("Train", OLD, NEW)
    assert (found.changed, found.added, found.removed) == (("train.py",), ("extra/more.py",), ("gone.py",))
    assert found.problem == ""


def test_what_was_compiled_here_needs_no_upload(clients: Clients, tmp_path: Path) -> None:
    put(clients, OLD, FILES)
    (tmp_path / "train.py").write_bytes(b"two")
    (tmp_path / "data.py").write_bytes(b"same")
    compiled = {NEW + name: str(tmp_path / name) for name in FILES}
    assert Code(clients, compiled).change("Train", OLD, NEW).changed == ("train.py",)


def test_code_that_is_no_longer_in_storage_cannot_be_compared(clients: Clients) -> None:
    put(clients, NEW, CHANGED)
    found = Code(clients, {}).change("Train", OLD, NEW)
    assert found.problem == f"{OLD} is not in storage"
    assert found.changed == found.added == found.removed == ()


def test_a_torn_archive_is_said_to_be_one(clients: Clients) -> None:
    put(clients, OLD, {"sourcedir.tar.gz": source.archive(FILES)[:40]})
    put(clients, NEW, {"sourcedir.tar.gz": source.archive(FILES)})
    assert "sourcedir.tar.gz cannot be unpacked" in Code(clients, {}).change("Train", OLD, NEW).problem


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (OLD, NEW, (OLD, NEW)),
        (f"{OLD}sourcedir.tar.gz", f"{NEW}sourcedir.tar.gz", (OLD, NEW)),
        (OLD, OLD, None),
        (OLD, NEW.replace("train", "other"), None),
        (f"{OLD}a.tar.gz", f"{NEW}b.tar.gz", None),
        ("s3://bucket/data/", "s3://bucket/other/", None),
        (OLD, 3, None),
    ],
)
def test_only_two_states_of_one_content_are_compared(old: object, new: object, expected: object) -> None:
    assert addresses(Field("S3Uri", old, new)) == expected


@pytest.mark.parametrize(
    ("address", "expected"),
    [(OLD, True), (f"s3://bucket/datasets/{'0' * 32}/", True), ("s3://bucket/datasets/dogs/", False)],
)
def test_an_address_with_a_digest_never_holds_anything_else(address: str, expected: bool) -> None:
    assert content_addressed(address) is expected
