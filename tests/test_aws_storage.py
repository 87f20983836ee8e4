"""S3 by boto3 does what the storage of this machine does, method by method; bodies that break off are gone on with."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from aws_account import Account, account

from pipeline.aws.storage import Storage
from pipeline.client import aws_client
from pipeline.errors import ServiceError, StorageError
from pipeline.local.server import LoopbackServer

BUCKET = "s3://storage-bucket"


@pytest.fixture
def aws(server: LoopbackServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Account]:
    with account(server, tmp_path_factory.mktemp("account")) as made:
        yield made


@pytest.fixture(params=["local", "aws"])
def storage(request: pytest.FixtureRequest, aws: Account) -> Any:
    """Both over the same folders."""
    return aws.clients.storage if request.param == "local" else aws_client("nowhere").storage


def test_what_was_put_is_there_and_what_was_deleted_is_not(storage: Any) -> None:
    uri = f"{BUCKET}/a/b c%2F.bin"
    storage.put_bytes(f"{BUCKET}/stays", b"")
    storage.put_bytes(uri, b"\0content")
    assert (storage.exists(uri), storage.get_bytes(uri)) == (True, b"\0content")
    storage.delete(uri)
    storage.delete(uri)
    assert not storage.exists(uri)
    with pytest.raises(ServiceError) as caught:
        storage.get_bytes(uri)
    assert caught.value.code == "NoSuchKey"


def test_a_prefix_is_a_string_and_the_list_is_sorted(storage: Any) -> None:
    for key in ("list/train/2", "list/train/1", "list/train-stats/x", "list/other"):
        storage.put_bytes(f"{BUCKET}/{key}", b"12")
    found = [(entry.uri, entry.size) for entry in storage.list(f"{BUCKET}/list/train")]
    assert found == [(f"{BUCKET}/list/{key}", 2) for key in ("train-stats/x", "train/1", "train/2")]


def test_folders_go_up_and_come_down(storage: Any, tmp_path: Path) -> None:
    (tmp_path / "up" / "deep").mkdir(parents=True)
    (tmp_path / "up" / "a").write_bytes(b"a")
    (tmp_path / "up" / "deep" / "b").write_bytes(b"b" * 9_000_000)  # above boto3's limit for one part
    (tmp_path / "up" / "link").symlink_to("/etc/hostname")
    assert storage.upload(str(tmp_path / "up"), f"{BUCKET}/folder/") == 2
    assert storage.download(f"{BUCKET}/folder/", str(tmp_path / "down")) == 2
    assert sorted(os.listdir(tmp_path / "down")) == ["a", "deep"]
    assert (tmp_path / "down" / "deep" / "b").read_bytes() == b"b" * 9_000_000


def test_a_moved_file_is_gone(storage: Any, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    storage.put_file(f"{BUCKET}/moved", str(tmp_path / "file"), move=True)
    assert not (tmp_path / "file").exists()
    assert storage.get_bytes(f"{BUCKET}/moved") == b"x"


@pytest.mark.parametrize("uri", ["s3://", "s3://bucket", "bucket/key", "https://bucket/key"])
def test_what_is_no_address_is_refused(storage: Any, uri: str) -> None:
    with pytest.raises(StorageError, match="is not an address of the form s3://bucket/key"):
        storage.get_bytes(uri)
    with pytest.raises(StorageError, match="holds a NUL character"):
        storage.get_bytes(f"{BUCKET}/a\0b")


def test_an_object_is_no_larger_than_whoever_reads_it_allows(storage: Any) -> None:
    uri = f"{BUCKET}/large"
    storage.put_bytes(uri, b"0" * 2_000_000)
    assert (storage.size(uri), len(storage.get_bytes(uri, 2_000_000))) == (2_000_000, 2_000_000)
    with pytest.raises(StorageError, match="s3://storage-bucket/large has more than 1,999,999 bytes"):
        storage.get_bytes(uri, 1_999_999)
    with pytest.raises(ServiceError) as caught:
        storage.size(f"{BUCKET}/nothing")
    assert caught.value.code == "NoSuchKey"


def test_a_denial_names_the_object_that_was_asked_for(aws: Account) -> None:
    aws.front.begin(lambda operation, number: "denied")
    with pytest.raises(ServiceError) as caught:
        aws_client("nowhere").storage.exists(f"{BUCKET}/secret/x")
    assert caught.value.code == "AccessDenied"
    assert '"Action": "s3:GetObject", "Resource": "arn:aws:s3:::storage-bucket/secret/x"' in caught.value.hint


class Breaking:
    """S3 whose bodies end early, `times` times; each piece as it was asked for."""

    def __init__(self, content: bytes, times: int) -> None:
        self.content, self.times = content, times
        self.ranges: list[str] = []

    def ask(self, method: str, resource: str, Bucket: str, Range: str = "", **_: str) -> Any:
        if method == "list_objects_v2":
            return {"Contents": [{"Key": "x", "Size": len(self.content), "LastModified": datetime.now(UTC)}]}
        self.ranges.append(Range)
        begin = int(Range.removeprefix("bytes=").rstrip("-") or 0)
        self.times -= 1
        return {"ETag": "tag", "Body": _Body(self.content[begin:], self.times >= 0)}

    def translating(self, operation: str, resource: str) -> Any:
        from contextlib import nullcontext

        return nullcontext()


class _Body:
    def __init__(self, content: bytes, breaks: bool) -> None:
        self.content, self.breaks, self.reads = content, breaks, 0

    def read(self, size: int) -> bytes:
        self.reads += 1
        if self.breaks:
            if self.reads > 1:
                raise ServiceError("NoAnswer", "broken off")
            size = 4
        data, self.content = self.content[:size], self.content[size:]
        return data


def test_a_body_that_breaks_off_is_read_on_from_there() -> None:
    calls = Breaking(b"0123456789", times=2)
    assert Storage(calls).get_bytes(f"{BUCKET}/x") == b"0123456789"  # type: ignore[arg-type]
    assert calls.ranges == ["", "bytes=4-", "bytes=8-"]


def test_a_body_that_always_breaks_off_says_how_often() -> None:
    with pytest.raises(ServiceError, match="s3://storage-bucket/x broke off 3 times"):
        Storage(Breaking(b"0" * 100, times=9)).get_bytes(f"{BUCKET}/x")  # type: ignore[arg-type]


def test_a_download_that_breaks_off_leaves_no_part_of_it(tmp_path: Path) -> None:
    with pytest.raises(ServiceError, match="broke off 3 times"):
        Storage(Breaking(b"0" * 100, times=9)).download(f"{BUCKET}/x", str(tmp_path))  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


def test_a_key_that_leads_out_of_the_folder_is_refused(aws: Account, tmp_path: Path) -> None:
    aws.clients.storage.put_bytes(f"{BUCKET}/climb/../../../x", b"")
    with pytest.raises(StorageError, match="leads out of"):
        aws_client("nowhere").storage.download(f"{BUCKET}/climb/", str(tmp_path / "in"))
