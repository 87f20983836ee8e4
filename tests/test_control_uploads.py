"""What lies on this machine, a folder or a file, under an address that its content names."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.client import Clients, local_client
from pipeline.control import uploads
from pipeline.errors import DarkroomError


@pytest.fixture
def clients(tmp_path: Path) -> Clients:
    return local_client(str(tmp_path / "home"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("cat/1.png", "cat/2.png", "dog/1.png"):
        path = tmp_path / "pictures" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
        os.utime(path, (1_600_000_000, 1_600_000_000))
    return tmp_path / "pictures"


def put(clients: Clients, folder: Path) -> str:
    return uploads.put(clients, str(folder), "s3://bucket/datasets/")


def test_a_folder_is_named_by_its_content_wherever_it_lies(clients: Clients, folder: Path, tmp_path: Path) -> None:
    address = put(clients, folder)
    folder.rename(tmp_path / "moved")
    assert put(clients, tmp_path / "moved") == address
    assert [entry.uri.removeprefix(address) for entry in clients.storage.list(address)] == [
        "cat/1.png",
        "cat/2.png",
        "dog/1.png",
    ]


@pytest.mark.parametrize("edit", ["content", "name", "new", "gone"])
def test_any_edit_gives_another_address(clients: Clients, folder: Path, edit: str) -> None:
    before = put(clients, folder)
    match edit:
        case "content":
            (folder / "cat/1.png").write_bytes(b"another")
        case "name":
            (folder / "cat/1.png").rename(folder / "dog/2.png")
        case "new":
            (folder / "dog/3.png").write_bytes(b"new")
        case "gone":
            (folder / "cat/1.png").unlink()
    assert put(clients, folder) != before


def test_an_edit_that_keeps_size_and_name_is_seen_by_its_time(clients: Clients, folder: Path) -> None:
    before = put(clients, folder)
    (folder / "cat/1.png").write_bytes(b"cat/9.png")
    assert put(clients, folder) != before


def test_a_file_that_has_only_just_changed_is_read_again_next_time(clients: Clients, folder: Path) -> None:
    path = folder / "cat/1.png"
    path.write_bytes(b"aaaa")
    stamp = path.stat().st_mtime_ns
    before = put(clients, folder)
    path.write_bytes(b"bbbb")
    os.utime(path, ns=(stamp, stamp))
    assert put(clients, folder) != before


def test_an_upload_that_was_cut_short_is_completed(clients: Clients, folder: Path) -> None:
    address = put(clients, folder)
    clients.storage.delete(f"{address}cat/2.png")
    assert put(clients, folder) == address
    assert clients.storage.get_bytes(f"{address}cat/2.png") == b"cat/2.png"


def test_hidden_files_are_no_pictures(clients: Clients, folder: Path) -> None:
    before = put(clients, folder)
    (folder / ".DS_Store").write_bytes(b"x")
    (folder / ".git").mkdir()
    (folder / ".git/config").write_bytes(b"x")
    assert put(clients, folder) == before


def test_a_link_that_leads_back_up_is_followed_once(clients: Clients, folder: Path) -> None:
    (folder / "cat/again").symlink_to(folder)
    address = put(clients, folder)
    assert len(list(clients.storage.list(address))) == 3


def test_every_link_to_a_folder_counts_in_whatever_order_they_are_found(clients: Clients, folder: Path) -> None:
    for name in ("zebra", "ant", "puma", "lion"):
        (folder / name).symlink_to(folder / "cat")
    address = put(clients, folder)
    found = {entry.uri.removeprefix(address) for entry in clients.storage.list(address)}
    assert {f"{name}/1.png" for name in ("ant", "cat", "lion", "puma", "zebra")} <= found


def test_links_that_lead_into_each_other_come_to_an_end(clients: Clients, folder: Path) -> None:
    (folder / "cat/other").symlink_to(folder / "dog")
    (folder / "dog/other").symlink_to(folder / "cat")
    address = put(clients, folder)
    found = {entry.uri.removeprefix(address).rpartition("/")[0] for entry in clients.storage.list(address)}
    assert found == {"cat", "cat/other", "dog", "dog/other"}


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.symlink_to("gone")], ids=["pipe", "broken link"])
def test_what_is_no_file_is_named_and_not_left_out(
    clients: Clients, folder: Path, make: Callable[[Path], None]
) -> None:
    make(folder / "cat/3.png")
    with pytest.raises(DarkroomError, match=r"cat/3\.png is a broken link"):
        put(clients, folder)


def test_a_name_that_is_no_utf8_is_told_readably(clients: Clients, folder: Path) -> None:
    (folder / "cat").rename(folder / "c\udce4t")
    with pytest.raises(DarkroomError, match=r"the name 'c\\udce4t/\d\.png' is not UTF-8"):
        put(clients, folder)


def test_a_folder_without_files_is_refused(clients: Clients, tmp_path: Path) -> None:
    (tmp_path / "nothing").mkdir()
    with pytest.raises(DarkroomError, match="holds no files"):
        put(clients, tmp_path / "nothing")


def test_a_folder_that_has_gone_is_named(clients: Clients, tmp_path: Path) -> None:
    with pytest.raises(DarkroomError, match="gone cannot be read: No such file"):
        put(clients, tmp_path / "gone")


def test_a_memory_that_is_damaged_is_only_a_memory(clients: Clients, folder: Path) -> None:
    address = put(clients, folder)
    for memory in Path(clients.home, "uploads").iterdir():
        memory.write_text("{half")
    assert put(clients, folder) == address


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    path = tmp_path / "cifar-10-python.tar.gz"
    path.write_bytes(b"an archive")
    os.utime(path, (1_600_000_000, 1_600_000_000))
    return path


def test_an_archive_goes_to_a_folder_that_holds_nothing_else(clients: Clients, archive: Path) -> None:
    archive.with_name("cifar-10-python.tar.gz.md5").write_bytes(b"beside it")
    address = put(clients, archive)
    assert address.startswith("s3://bucket/datasets/") and address.endswith("/")
    assert [entry.uri for entry in clients.storage.list(address)] == [f"{address}cifar-10-python.tar.gz"]
    assert clients.storage.get_bytes(f"{address}cifar-10-python.tar.gz") == b"an archive"


def test_an_archive_is_named_by_its_content_wherever_it_lies(clients: Clients, archive: Path, tmp_path: Path) -> None:
    address = put(clients, archive)
    (tmp_path / "moved").mkdir()
    moved = archive.rename(tmp_path / "moved" / archive.name)
    assert put(clients, moved) == address
    moved.write_bytes(b"an archivE")
    assert put(clients, moved) != address


def test_an_archive_that_did_not_change_is_not_read_again(clients: Clients, archive: Path) -> None:
    """Seen by an edit that keeps size and time, which nothing but reading would find."""
    address = put(clients, archive)
    archive.write_bytes(b"AN ARCHIVE")
    os.utime(archive, (1_600_000_000, 1_600_000_000))
    assert put(clients, archive) == address


@pytest.mark.skipif(not os.path.exists("/proc/self/mem"), reason="needs a file that opens, and fails when it is read")
def test_a_file_that_cannot_be_read_is_named(clients: Clients, folder: Path) -> None:
    (folder / "cat/9.png").symlink_to("/proc/self/mem")
    with pytest.raises(DarkroomError, match=r"cat/9\.png cannot be read: ") as caught:
        put(clients, folder)
    assert caught.value.hint
