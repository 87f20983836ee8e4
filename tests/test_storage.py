import os
import resource
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import ServiceError, StorageError
from pipeline.local.storage import Storage


@pytest.fixture
def storage(tmp_path):
    return Storage(str(tmp_path))


def test_an_object_is_a_plain_file_at_its_address(storage, tmp_path):
    storage.put_bytes("s3://bucket/a/b.json", b"{}")
    assert (tmp_path / "s3/bucket/a/b.json").read_bytes() == b"{}"


def test_a_prefix_is_a_string_not_a_folder(storage):
    for key in ("train/x", "train-stats/y", "other"):
        storage.put_bytes(f"s3://b/p/{key}", b"1")
    assert [entry.uri for entry in storage.list("s3://b/p/train")] == ["s3://b/p/train-stats/y", "s3://b/p/train/x"]
    assert [entry.uri for entry in storage.list("s3://b/p/train/")] == ["s3://b/p/train/x"]


def test_a_download_keeps_what_follows_the_last_slash_of_the_prefix(storage, tmp_path):
    storage.put_bytes("s3://b/p/train/a/1", b"x")
    storage.put_bytes("s3://b/p/model.tar.gz", b"y")
    assert storage.download("s3://b/p/train/", str(tmp_path / "one")) == 1
    assert storage.download("s3://b/p/model.tar.gz", str(tmp_path / "two")) == 1
    assert (tmp_path / "one/a/1").read_bytes() == b"x"
    assert (tmp_path / "two/model.tar.gz").read_bytes() == b"y"


def test_what_an_upload_takes_a_download_gives_back(storage, tmp_path):
    source = tmp_path / "source"
    (source / "deep/er").mkdir(parents=True)
    (source / "deep/er/file").write_bytes(b"1")
    (source / "top").write_bytes(b"2")
    assert storage.upload(str(source), "s3://b/out") == 2
    storage.download("s3://b/out/", str(tmp_path / "copy"))
    assert (tmp_path / "copy/deep/er/file").read_bytes() == b"1"


def test_an_upload_does_not_follow_links_out_of_the_folder(storage, tmp_path):
    secret = tmp_path / "secret"
    secret.write_bytes(b"key")
    source = tmp_path / "source"
    source.mkdir()
    (source / "link").symlink_to(secret)
    assert storage.upload(str(source), "s3://b/out") == 0


def test_deleting_what_is_not_there_is_no_error(storage):
    storage.put_bytes("s3://b/a/x", b"1")
    storage.delete("s3://b/a/x")
    storage.delete("s3://b/a/x")
    assert list(storage.list("s3://b/")) == []


def test_a_missing_object_is_no_such_key(storage):
    with pytest.raises(ServiceError) as caught:
        storage.get_bytes("s3://b/none")
    assert caught.value.code == "NoSuchKey"


def test_a_key_too_long_for_the_file_system_is_not_there_and_cannot_be_kept(storage):
    storage.put_bytes("s3://b/a", b"1")
    uri = f"s3://b/{'x' * 300}"
    for read in (storage.get_bytes, storage.tag, storage.size, lambda uri: next(storage.blocks(uri))):
        with pytest.raises(ServiceError) as caught:
            read(uri)
        assert caught.value.code == "NoSuchKey"
    assert not storage.exists(uri)
    storage.delete(uri)
    with pytest.raises(StorageError, match="cannot keep an object at"):
        storage.put_bytes(uri, b"1")


@pytest.mark.parametrize("uri", ["", "b/key", "s3://", "s3://b", "http://b/k", "s3://b/\0"])
def test_what_is_no_address_is_refused(storage, uri):
    with pytest.raises(StorageError):
        storage.path(uri)


@given(st.text(alphabet=st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=30))
def test_no_key_leads_out_of_its_bucket_and_every_key_comes_back(tmp_path_factory, key):
    storage = Storage(str(tmp_path_factory.mktemp("s3")))
    storage.put_bytes(f"s3://bucket/{key}", b"x")
    inside = os.path.join(storage.root, "bucket") + os.sep
    assert os.path.realpath(storage.path(f"s3://bucket/{key}")).startswith(inside)
    assert [entry.uri for entry in storage.list("s3://bucket/")] == [f"s3://bucket/{key}"]


def test_an_object_cannot_hide_a_folder(storage):
    storage.put_bytes("s3://b/a", b"1")
    with pytest.raises(StorageError, match="cannot keep an object"):
        storage.put_bytes("s3://b/a/b", b"2")


def test_a_full_disk_leaves_the_old_object_whole(storage, tmp_path):
    storage.put_bytes("s3://b/x", b"old")
    program = (
        "import resource, signal, sys\n"
        "from pipeline.local.storage import Storage\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        f"Storage({str(tmp_path)!r}).put_bytes('s3://b/x', b'n' * 5000)\n"
    )
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert storage.get_bytes("s3://b/x") == b"old"
    assert [name for name in os.listdir(tmp_path / "s3/b") if name.startswith(".incoming")] == []
