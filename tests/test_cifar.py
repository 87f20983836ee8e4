"""CIFAR's pickles: pixels, labels and names; crafted, damaged and missing files are refused and run nothing."""

from __future__ import annotations

import pickle
import struct
import tempfile
from collections import OrderedDict
from pathlib import Path

import archives
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from preparation import admitted, unpickle
from preparation.items import Source
from preparation.sources import open_source
from refusal import Refusal

CIFAR10 = archives.cifar10()
CIFAR100 = archives.cifar100()
BATCH = CIFAR10["data_batch_3"]


def opened(root: Path, files: dict[str, bytes], kind: str = "cifar10") -> Source:
    scratch = root / "scratch"
    scratch.mkdir(parents=True, exist_ok=True)
    return open_source(kind, archives.write(root / "in", files), scratch)


def test_rows_become_pictures_in_the_order_of_their_names(tmp_path: Path) -> None:
    source = opened(tmp_path, CIFAR10)
    assert source.classes == tuple(f"class{number}" for number in range(10))
    assert [item.name for item in source.items] == sorted(item.name for item in source.items)
    assert source.items[0] == ("test/test_batch/00000", 0, "test", "")
    assert source.items[-1] == ("train/data_batch_5/00019", 9, "train", "")
    assert source.pixels is not None and source.pixels.shape == (120, 32, 32, 3)
    expected = archives.rows(20, 2)[7].reshape(3, 32, 32).transpose(1, 2, 0)
    index = [item.name for item in source.items].index("train/data_batch_3/00007")
    assert np.array_equal(source.pixels[index], expected)
    assert source.items[index].label == 7


def test_cifar100_takes_the_fine_labels(tmp_path: Path) -> None:
    source = opened(tmp_path, CIFAR100, "cifar100")
    assert source.classes == tuple(f"fine{number:02d}" for number in range(20))
    assert [item.split for item in source.items] == ["test"] * 40 + ["train"] * 40
    assert [item.label for item in source.items[:40]] == [row % 20 for row in range(40)]


WAYS = {
    "folder in folder": {f"x/cifar-10-batches-py/{name}": content for name, content in CIFAR10.items()},
    "tar.gz": {
        "c.tar.gz": archives.tarred({f"cifar-10-batches-py/{name}": content for name, content in CIFAR10.items()})
    },
    "zip": {"c.zip": archives.zipped(CIFAR10)},
    "beside its archive": {"c.tar.gz": b"", **{f"cifar/{name}": content for name, content in CIFAR10.items()}},
}


@pytest.mark.parametrize("way", WAYS)
def test_the_published_archive_and_its_folder_are_one_source(tmp_path: Path, way: str) -> None:
    source, plain = opened(tmp_path / "packed", WAYS[way]), opened(tmp_path / "plain", CIFAR10)
    assert source.items == plain.items and source.digest == plain.digest
    assert np.array_equal(source.pixels, plain.pixels)


def test_the_digest_follows_pixels_and_labels(tmp_path: Path) -> None:
    held = pickle.loads(BATCH, encoding="bytes")
    held[b"labels"][0] = 5
    other = {**CIFAR10, "data_batch_3": archives.python2(held)}
    assert opened(tmp_path, CIFAR10).digest != opened(tmp_path / "x", other).digest


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_files_that_python_3_wrote_are_read_as_well(protocol: int) -> None:
    held = {
        "data": archives.rows(5),
        "labels": [1, 2, 300, 70_000, -1],
        "names": ["a", "é"],
        "more": (None, True, 2**40),
    }
    read = unpickle.loads(pickle.dumps(held, protocol))
    assert np.array_equal(read.pop("data"), held.pop("data"))
    assert read == held


@pytest.mark.parametrize("order", ["C", "F"])
def test_arrays_by_row_and_by_column_are_read(order: str) -> None:
    held = np.asarray(archives.rows(5), order=order)  # type: ignore[call-overload]
    assert np.array_equal(unpickle.loads(archives.python2(held)), held)


def test_one_long_list_and_its_words_are_those_that_python_reads() -> None:
    read, expected = unpickle.loads(BATCH), pickle.loads(BATCH, encoding="bytes")
    assert list(read) == [key.decode() for key in expected]
    assert read["filenames"] == expected[b"filenames"]
    assert read["labels"] == expected[b"labels"]
    assert np.array_equal(read["data"], expected[b"data"])


class Runs:
    def __init__(self, *call: object) -> None:
        self.call = call

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return self.call[0], self.call[1:]


def touch(path: str) -> None:
    Path(path).touch()


NESTED = b"\x80\x02)" + b"\x85" * 200_000
CRAFTED = {
    "system": b"cos\nsystem\n(U\x0etouch ran-itt" + b"R.",
    "eval": pickle.dumps(Runs(eval, "open('ran-it', 'w')"), 2),
    "own": pickle.dumps({"data": Runs(touch, "ran-it")}, 4),
    "import": b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x0etouch ran-it\x85R.",
    "instance": b"(U\x0etouch ran-itios\nsystem\n.",
    "ordered": pickle.dumps(OrderedDict(a=1), 4),
    "objects": archives.python2({b"data": np.array([Path], dtype=object)}),
    "floats": archives.python2({b"data": np.zeros((2, 3072))}),
    "words": archives.python2({b"data": np.array([b"a"])}),
    "dtype": b"\x80\x02cnumpy\ndtype\nU\x01O\x85R.",
    "ndarray": b"\x80\x02cnumpy\nndarray\nJ\xff\xff\xff\x7f\x85\x85R.",
    "codec": b"\x80\x02c_codecs\nencode\nX\x01\0\0\0aX\x03\0\0\0rot\x86R.",
    "extension": b"\x80\x02\x82\x01.",
    "persistent": b"\x80\x02U\x01aQ.",
    "memo": b"\x80\x02]r\xff\xff\xff\x7f" + b"0.",
    "nested": NESTED + b".",
    "nested name": NESTED + b"U\x01a\x93.",
    "nested type": b"\x80\x02cnumpy\ndtype\n" + NESTED[2:] + b"\x85R.",
    "nested key": b"\x80\x02}" + NESTED[2:] + b"Ns.",
    "state": b"\x80\x02]]b.",
    "no number": b"\x80\x02K",
    "no mark": b"\x80\x02]e.",
    "odd": b"\x80\x02}(K\x01u.",
    "nothing": b"",
    "list": b"\x80\x02].",
    "text": b"this is no pickle",
    "length": b"\x80\x02T\xff\xff\xff\x7fa.",
    "negative": b"\x80\x02T\xff\xff\xff\xffa.",
    "shape": archives.python2({b"data": archives.rows(2)}).replace(b"M\x00\x0c", b"M\x01\x0c"),
}


@pytest.mark.parametrize("case", CRAFTED)
def test_a_crafted_pickle_is_refused_and_runs_nothing(
    tmp_path: Path, case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(Refusal, match="data_batch_3: .*(unpack|copy)"):
        opened(tmp_path, {**CIFAR10, "data_batch_3": CRAFTED[case]})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "scratch"]


def test_crafted_pickles_would_run_under_pythons_own_reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    pickle.loads(CRAFTED["eval"]).close()
    assert (tmp_path / "ran-it").exists()


def test_more_steps_than_any_such_file_takes_are_refused() -> None:
    with pytest.raises(admitted.Foreign, match="steps"):
        unpickle.loads(b"\x80\x02" + b"N" * (unpickle.MAX_STEPS + 1))


def changed(name: str, key: bytes, value: object) -> dict[str, bytes]:
    held = pickle.loads(CIFAR10[name], encoding="bytes")
    held[key] = value
    return {name: archives.python2(held)}


DAMAGED: dict[str, tuple[dict[str, bytes | None], str]] = {
    "missing": ({"data_batch_4": None}, "data_batch_4: missing: copy it there, or unpack cifar-10-python.tar.gz"),
    "no classes": ({"batches.meta": None}, "batches.meta: missing"),
    "narrow": (changed("data_batch_2", b"data", np.zeros((20, 3000), np.uint8)), r"data_batch_2: 'data' is .*3000"),
    "flat": (changed("data_batch_2", b"data", np.zeros(3072, np.uint8)), r"'data' is an array of \(3072,\)"),
    "no rows": (changed("test_batch", b"data", np.zeros((0, 3072), np.uint8)), "test_batch: 'data'"),
    "no data": (changed("test_batch", b"data", [1]), "'data' is a list"),
    "few labels": (changed("test_batch", b"labels", [1]), "'labels' is 1 labels for 20 pictures"),
    "no labels": (changed("test_batch", b"labels", None), "'labels' is no list"),
    "label": (changed("test_batch", b"labels", [0] * 19 + [10]), "label 10 of row 19 is none of 0 to 9"),
    "negative": (changed("test_batch", b"labels", [-1] * 20), "label -1 of row 0"),
    "word": (changed("test_batch", b"labels", [b"cat"] * 20), "label of type bytes of row 0"),
    "same names": (changed("batches.meta", b"label_names", [b"a", b"a"]), "batches.meta: no list of different class"),
    "odd names": (changed("batches.meta", b"label_names", [[b"a"], [b"b"]]), "batches.meta: no list of different"),
    "no names": (changed("batches.meta", b"label_names", None), "batches.meta: no list"),
    "cut short": ({"data_batch_1": CIFAR10["data_batch_1"][:30_000]}, "data_batch_1: .*cut short"),
    "page": ({"data_batch_1": b"<html>404</html>"}, "data_batch_1: not a file of this data set: opcode"),
}


def test_a_batch_damaged_in_its_archive_is_refused_by_file(tmp_path: Path) -> None:
    content = bytearray(archives.zipped(CIFAR10))
    content[content.index(b"data_batch_1") + 100] ^= 1
    with pytest.raises(Refusal, match="c.zip/data_batch_1: damaged in its archive"):
        opened(tmp_path, {"c.zip": bytes(content)})


@pytest.mark.parametrize("case", DAMAGED)
def test_a_damaged_data_set_is_refused_by_file(tmp_path: Path, case: str) -> None:
    changes, words = DAMAGED[case]
    files = {**CIFAR10, **changes}
    with pytest.raises(Refusal, match=words):
        opened(tmp_path, {name: content for name, content in files.items() if content is not None})


def test_another_data_set_is_refused_with_what_belongs_there(tmp_path: Path) -> None:
    with pytest.raises(Refusal, match="data_batch_1.* in it: give cifar-10-python.tar.gz"):
        opened(tmp_path, CIFAR100)
    with pytest.raises(Refusal, match="give cifar-100-python.tar.gz"):
        opened(tmp_path / "other", {"a/1.png": b""}, "cifar100")


TINY = archives.cifar100(2, 2)


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(sorted(TINY)),
    st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), max_size=6),
    st.integers(0, 10**6),
)
def test_a_mutated_pickle_is_read_or_refused_and_nothing_else(
    name: str, changes: list[tuple[int, int]], cut: int
) -> None:
    content = bytearray(TINY[name])
    skip = content.find(b"T\x00\x18\x00\x00")  # changes inside the pixels would teach nothing
    for place, value in changes:
        at = place % min(len(content), 420)
        content[at if skip < 0 or at < skip + 5 else at - skip - 5 - 300] = value
    content = content[: cut % (4 * len(content))]
    with tempfile.TemporaryDirectory() as folder:
        try:
            source = opened(Path(folder), {**TINY, name: bytes(content)}, "cifar100")
            assert source.pixels is not None and len(source.pixels) == len(source.items)
        except Refusal as reason:
            assert name in str(reason)


@settings(max_examples=500, deadline=None)
@given(st.lists(st.sampled_from([struct.pack("B", code) for code in unpickle.STEPS] + [b".", b"numpy\n", b"\0"])))
def test_any_order_of_known_steps_is_read_or_refused(steps: list[bytes]) -> None:
    try:
        unpickle.loads(b"".join(steps) + b".")
    except admitted.Foreign as reason:
        assert str(reason)
