"""Trees of files: folders and archives give the same names and contents; hostile and damaged archives are refused."""

from __future__ import annotations

import gzip
import multiprocessing
import os
import pickle
import stat
import struct
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import archives
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from images import Unreadable
from preparation import trees
from preparation.packed import Limits
from refusal import Refusal

FILES = {"outer/a/1.png": b"one" * 50, "outer/a/2.png": b"", "outer/b/é ü+'\".png": b"three", "outer/note": b"four"}
SMALL = Limits(members=20, ratio=10, slack=2000, file=1500)
PACKERS: dict[str, Callable[[dict[str, bytes]], bytes]] = {
    "x.zip": archives.zipped,
    "stored.zip": lambda files: archives.zipped(files, zipfile.ZIP_STORED),
    "x.tar": lambda files: archives.tarred(files, "w:"),
    "x.tar.gz": archives.tarred,
    "X.TGZ": archives.tarred,
}


def opened(root: Path, name: str, content: bytes, limits: Limits = trees.LIMITS) -> trees.Tree:
    (root / "in").mkdir(exist_ok=True)
    (root / "scratch").mkdir(exist_ok=True)
    (root / "in" / name).write_bytes(content)
    return trees.open_tree(root / "in", root / "scratch", limits)


def contents(tree: trees.Tree) -> dict[str, bytes]:
    return {name: tree.read(name) for name in tree.files}


@pytest.mark.parametrize("name", PACKERS)
def test_an_archive_holds_what_its_folder_held(tmp_path: Path, name: str) -> None:
    tree = opened(tmp_path, name, PACKERS[name](FILES))
    folder = trees.open_tree(archives.write(tmp_path / "plain", FILES), tmp_path)
    assert contents(tree) == contents(folder) == FILES
    assert tree.folders == folder.folders == {"outer", "outer/a", "outer/b"}
    assert list(tree.files) == list(folder.files) == sorted(FILES)


def test_a_gzipped_tar_with_another_ending_is_known_by_its_content(tmp_path: Path) -> None:
    assert contents(opened(tmp_path, "x.tar", archives.tarred(FILES))) == FILES


def test_hidden_files_and_those_of_macos_are_left_out(tmp_path: Path) -> None:
    odd = {".DS_Store": b"", "__MACOSX/outer/._1.png": b"", "outer/.git/x.png": b"", "outer/a/._1.png": b""}
    tree = opened(tmp_path, "x.zip", archives.zipped({**FILES, **odd}))
    folder = trees.open_tree(archives.write(tmp_path / "plain", {**FILES, **odd}), tmp_path)
    assert set(tree.files) == set(folder.files) == set(FILES)
    assert tree.folders == folder.folders


def test_a_hidden_file_beside_the_archive_does_not_hide_it(tmp_path: Path) -> None:
    archives.write(tmp_path / "in", {".DS_Store": b"", "README": b""})
    assert contents(opened(tmp_path, "x.zip", archives.zipped(FILES))) == FILES


def test_an_archive_beside_folders_is_one_file_among_others(tmp_path: Path) -> None:
    archives.write(tmp_path / "in", FILES)
    assert set(opened(tmp_path, "x.zip", archives.zipped({"y": b""})).files) == {*FILES, "x.zip"}


def test_names_of_windows_packers_are_split_at_backslashes(tmp_path: Path) -> None:
    content = archives.zipped({"a\\1.png": b"x"}).replace(b"\x14\x03", b"\x14\x00")  # made by: 3 is Unix, 0 Windows
    assert set(opened(tmp_path, "x.zip", content).files) == {"a/1.png"}


def test_utf8_names_in_a_zip_that_does_not_say_so_are_read_as_utf8(tmp_path: Path) -> None:
    """macOS packs so. Code page 437 where it is none: old Windows."""
    content = archives.zipped({"Kätzchen/1.png": b"x"}).replace(b"\x00\x08", b"\x00\x00")
    assert set(opened(tmp_path, "x.zip", content).files) == {"Kätzchen/1.png"}
    content = archives.zipped({"Kaetzchen/1.png": b"x"}).replace(b"Kaetz", b"K\x84etz")
    assert set(opened(tmp_path, "x.zip", content).files) == {"Käetzchen/1.png"}


def test_one_outer_folder_is_descended_and_no_class_is(tmp_path: Path) -> None:
    assert set(trees.descend(opened(tmp_path, "x.zip", archives.zipped(FILES))).files) == {
        name.removeprefix("outer/") for name in FILES
    }
    deep = trees.open_tree(archives.write(tmp_path / "deep", {"x/y/a/1.png": b"", "x/y/b/2.png": b""}), tmp_path)
    assert trees.descend(deep).where == f"{tmp_path}/deep/x/y"
    single = trees.open_tree(archives.write(tmp_path / "single", {"red/1.png": b""}), tmp_path)
    assert set(trees.descend(single).files) == {"red/1.png"}


def test_the_digest_knows_names_and_contents(tmp_path: Path) -> None:
    one = trees.open_tree(archives.write(tmp_path / "one", {"a": b"1", "b": b"2"}), tmp_path)
    two = trees.open_tree(archives.write(tmp_path / "two", {"a": b"1", "b": b"3"}), tmp_path)
    assert trees.digest(one, ["a"]) == trees.digest(two, ["a"])
    assert len({trees.digest(one, ["a", "b"]), trees.digest(two, ["a", "b"]), trees.digest(one, ["b"])}) == 3
    packed = opened(tmp_path, "x.zip", archives.zipped({"a": b"1"}))
    (tmp_path / "x").mkdir()
    other = opened(tmp_path / "x", "x.zip", archives.zipped({"a": b"2"}))
    assert trees.digest(packed, ["a"]) != trees.digest(other, ["a"])


def test_a_reader_goes_to_forked_and_spawned_processes(tmp_path: Path) -> None:
    tree = opened(tmp_path, "x.tar.gz", archives.tarred(FILES))
    reader = trees.Reader(tree.fetch, tuple(tree.files.values()))
    expected = [FILES[name] for name in tree.files]
    assert [pickle.loads(pickle.dumps(reader))(index) for index in range(4)] == expected
    with multiprocessing.get_context("fork").Pool(2) as pool:
        assert pool.map(reader, [0, 1, 2, 3] * 25) == expected * 25


def entry(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> bytes:
    found = tarfile.TarInfo(name)
    found.type, found.linkname = kind, link
    return found.tobuf() + bytes(1024)


def negative(kind: bytes) -> bytes:
    """A header that says -512 bytes, in the base-256 form of GNU tar, after one that is well."""
    block = bytearray(entry("b.png", kind)[:512])
    block[124:136] = (2**96 - 512).to_bytes(12, "big")
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return entry("a.png")[:512] + bytes(block) + bytes(1024)


def pax(size: int) -> bytes:
    found = tarfile.TarInfo("a.png")
    found.pax_headers = {"size": str(size)}
    return found.tobuf(tarfile.PAX_FORMAT) + bytes(1024)


def zip_mode(mode: int) -> bytes:
    found = zipfile.ZipInfo("a.png")
    found.external_attr = mode << 16
    with tempfile.TemporaryFile() as file:
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr(found, b"/etc/passwd")
        file.seek(0)
        return file.read()


def doubled() -> bytes:
    return archives.zipped({"a.png": b"1", "b.png": b"2"}).replace(b"b.png", b"a.png")


def field(content: bytes, place: int, form: str, value: int) -> bytes:
    """A zip whose first directory entry says something else at byte `place`."""
    start = content.index(b"PK\x01\x02") + place
    return content[:start] + struct.pack(form, value) + content[start + struct.calcsize(form) :]


PLAIN = archives.zipped({"a.png": bytes(range(256))})
TAR = archives.tarred(FILES, "w:")
SPARSE = entry("a.png", tarfile.GNUTYPE_SPARSE)
HOSTILE = {
    "parent.zip": (archives.zipped({"a/../../x.png": b""}), "outside the archive's own folder"),
    "absolute.zip": (archives.zipped({"/etc/x.png": b""}), "outside the archive's own folder"),
    "drive.zip": (archives.zipped({"C:\\x.png": b""}), "outside the archive's own folder"),
    "link.zip": (zip_mode(stat.S_IFLNK | 0o777), "a link, a device"),
    "device.zip": (zip_mode(stat.S_IFCHR | 0o666), "a link, a device"),
    "twice.zip": (doubled(), "two files are called 'a.png'"),
    "same.zip": (archives.zipped({"a//b.png": b"", "a/./b.png": b""}), "two files are called 'a/b.png'"),
    "bomb.zip": (archives.zipped({f"{number}.bmp": bytes(1400) for number in range(9)}), "bomb"),
    "large.zip": (archives.zipped({"a.bmp": bytes(1501)}), "more than 1,500"),
    "many.zip": (archives.zipped({str(number): b"" for number in range(21)}), "more than 20 files"),
    "secret.zip": (field(PLAIN, 8, "<H", 1), "encrypted"),
    "rare.zip": (archives.zipped({"a.png": b"x"}, zipfile.ZIP_BZIP2), "rare way"),
    "beyond.zip": (field(PLAIN, 20, "<I", 1499), "beyond its end"),
    "empty.zip": (archives.zipped({}), "no file in it"),
    "nothing.zip": (b"", "no zip archive"),
    "offset.zip": (PLAIN[:-10] + struct.pack("<I", 2**31) + PLAIN[-6:], "no zip archive"),
    "before.zip": (PLAIN[:-6] + struct.pack("<I", 2**31) + PLAIN[-2:], "beyond its end"),
    "cut.zip": (PLAIN[:-30], "no zip archive"),
    "parent.tar": (entry("../x.png"), "outside the archive's own folder"),
    "absolute.tar": (entry("/etc/x.png"), "outside the archive's own folder"),
    "link.tar": (entry("a.png", tarfile.SYMTYPE, "/etc/passwd"), "a link, a device"),
    "hard.tar": (entry("a.png", tarfile.LNKTYPE, "b.png"), "a link, a device"),
    "device.tar": (entry("a.png", tarfile.CHRTYPE), "a link, a device"),
    "pipe.tar": (entry("a.png", tarfile.FIFOTYPE), "a link, a device"),
    "sparse.tar": (SPARSE, "sparse file"),
    "twice.tar": (entry("a.png")[:512] + entry("./a.png"), "two files are called 'a.png'"),
    "many.tar": (archives.tarred({str(number): b"" for number in range(21)}, "w:"), "more than 20 files"),
    "large.tar": (archives.tarred({"a.bmp": bytes(1501)}, "w:"), "more than 1,500"),
    "bomb.tar.gz": (archives.tarred({f"{number}.bmp": bytes(1400) for number in range(9)}), "bomb"),
    "cut.tar": (TAR[:1100], "cut short"),
    "cut-between.tar": (entry("a.png")[:512], "cut short"),
    "cut.tar.gz": (archives.tarred(FILES)[:-20], "cut short"),
    "damaged.tar": (TAR[:1024] + b"\xff" * 512 + TAR[1536:], "damaged"),
    "empty.tar": (bytes(10240), "no file in it"),
    "nothing.tar": (b"", "no tar archive"),
    "text.tar.gz": (b"this is no archive", "no tar archive"),
    **{
        f"negative-{kind.decode()}.tar": (negative(kind), "damaged")
        for kind in (b"0", b"5", b"x", b"g", b"L", b"K", b"S")
    },
    "negative-pax.tar": (pax(-1024), "beyond its end"),
    "long-pax.tar": (pax(10**15), "more than 1,500"),
    "latin.tar": (entry("\udcff.png"), "not UTF-8"),
    "other.7z": (b"7z", "pack the data set as .zip or .tar.gz"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_or_damaged_archive_is_refused_by_name(tmp_path: Path, name: str) -> None:
    content, words = HOSTILE[name]
    with pytest.raises(Refusal, match=words) as caught:
        opened(tmp_path, name, content, SMALL)
    assert name in str(caught.value)


def test_nothing_of_a_hostile_archive_is_written_by_its_name(tmp_path: Path) -> None:
    opened(tmp_path, "x.tar.gz", archives.tarred(FILES))
    assert sorted(os.listdir(tmp_path / "scratch")) == ["archive.tar"]


def test_a_member_that_holds_more_than_its_directory_says_is_refused(tmp_path: Path) -> None:
    packed = zlib.compressobj(wbits=-15)
    body = packed.compress(bytes(10**6)) + packed.flush()
    content = archives.zipped({"a.png": bytes(10**6)})
    assert body in content
    tree = opened(tmp_path, "x.zip", field(content, 24, "<I", 100))
    with pytest.raises(Refusal, match="more than the 100 bytes"):
        tree.fetch("a.png")


DAMAGED_MEMBERS = {
    "checksum": field(PLAIN, 16, "<I", 1),
    "header": b"XX" + PLAIN[2:],
    "shorter": field(PLAIN, 24, "<I", 300),
    "stream": PLAIN[:40] + b"\xff" * 20 + PLAIN[60:],
}


@pytest.mark.parametrize("case", DAMAGED_MEMBERS)
def test_a_damaged_member_is_an_unreadable_picture(tmp_path: Path, case: str) -> None:
    tree = opened(tmp_path, "x.zip", DAMAGED_MEMBERS[case])
    with pytest.raises(Unreadable, match="damaged in its archive"):
        trees.Reader(tree.fetch, ("a.png",))(0)
    with pytest.raises(Refusal, match="x.zip/a.png: damaged in its archive.*: copy the data set again"):
        tree.read("a.png")


def test_two_archives_are_one_too_many(tmp_path: Path) -> None:
    opened(tmp_path, "x.zip", archives.zipped(FILES))
    with pytest.raises(Refusal, match="holds 2 archives"):
        opened(tmp_path, "y.tar", archives.tarred(FILES))


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(Refusal, match="nowhere: no such folder"):
        trees.open_tree(tmp_path / "nowhere", tmp_path)


def test_links_in_a_folder_are_followed_and_loops_refused(tmp_path: Path) -> None:
    archives.write(tmp_path / "disk", FILES)
    (tmp_path / "in").mkdir()
    (tmp_path / "in/outer").symlink_to(tmp_path / "disk/outer")
    assert contents(trees.open_tree(tmp_path / "in", tmp_path)) == FILES
    (tmp_path / "disk/outer/loop").symlink_to(tmp_path / "in")
    with pytest.raises(Refusal, match="a link to a folder above it"):
        trees.open_tree(tmp_path / "in", tmp_path)


@pytest.mark.parametrize(
    "make", [os.mkfifo, lambda path: os.symlink("nowhere", path), lambda path: os.symlink("x.png", path)]
)
def test_what_is_no_file_and_no_folder_is_refused(tmp_path: Path, make: Callable[[Path], None]) -> None:
    archives.write(tmp_path / "in", FILES)
    make(tmp_path / "in/outer/a/x.png")
    with pytest.raises(Refusal, match="x.png: a broken link, a pipe or a device"):
        trees.open_tree(tmp_path / "in", tmp_path)


def test_a_name_that_is_no_utf8_is_refused(tmp_path: Path) -> None:
    archives.write(tmp_path / "in", {"a/\udcff.png": b""})
    with pytest.raises(Refusal, match="not UTF-8"):
        trees.open_tree(tmp_path / "in", tmp_path)


def test_a_folder_in_an_archive_whose_name_is_no_utf8_is_refused(tmp_path: Path) -> None:
    content = entry("a/\udcff/", tarfile.DIRTYPE)
    with pytest.raises(Refusal, match="not UTF-8"):
        opened(tmp_path, "x.tar", archives.tarred({"a/1.png": b""}, "w:")[:512] + content)


def test_an_error_in_a_gzipped_tar_names_what_was_given(tmp_path: Path) -> None:
    content = gzip.compress(entry("a.png")[:512] + entry("./a.png"))
    with pytest.raises(Refusal, match="in/x.tar.gz: two files are called 'a.png'"):
        opened(tmp_path, "x.tar.gz", content)


def test_a_file_too_large_for_a_picture_is_unreadable(tmp_path: Path) -> None:
    tree = trees.open_tree(archives.write(tmp_path / "in", {"a/1.png": b""}), tmp_path)
    os.truncate(tmp_path / "in/a/1.png", trees.LIMITS.file + 1)
    with pytest.raises(Unreadable, match="more than"):
        tree.fetch("a/1.png")


ARCHIVES = {"x.zip": archives.zipped(FILES), "x.tar": TAR, "x.tar.gz": archives.tarred(FILES)}


@settings(max_examples=300, deadline=None)
@given(
    name=st.sampled_from(sorted(ARCHIVES)),
    changes=st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), max_size=6),
    cut=st.integers(0, 10**6),
    tail=st.booleans(),
)
def test_a_mutated_archive_is_read_or_refused_and_nothing_else(
    name: str, changes: list[tuple[int, int]], cut: int, tail: bool
) -> None:
    content = bytearray(ARCHIVES[name])
    for place, value in changes:
        # Changes near the end of a zip hit its directory.
        content[-1 - place % min(400, len(content)) if tail else place % len(content)] = value
    content = content[: cut % (4 * len(content))]
    with tempfile.TemporaryDirectory() as folder:
        try:
            contents(opened(Path(folder), name, bytes(content)))
        except (Refusal, Unreadable) as reason:
            assert str(reason)
