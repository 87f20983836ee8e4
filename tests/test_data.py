"""The reader of splits: both encodings, many shards, and every manifest or shard that is not to be believed."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import data
import images
import numpy as np
import pictures
import pyarrow as pa
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from refusal import Refusal

CLASSES = ["a", "b"]


def squares(count: int, side: int = 8) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (count, side, side, 3), dtype=np.uint8)


def many(root: Path, encoding: str) -> tuple[data.Split, NDArray[np.uint8]]:
    """50 squares of 9 px for a model of 6, in several shards, and what they decode to."""
    staged = pictures.Squares(squares(50, 9), encoding)
    labels = list(range(50))
    options = {"shard_bytes": 1500, "encoding": encoding, "image_size": 6}
    folder = pictures.split(root / "s", staged.all, labels, [str(label) for label in labels], **options)
    return data.open_split(folder), staged.pixels(np.arange(50))


def test_one_raw_shard_is_mapped_and_not_copied(tmp_path: Path) -> None:
    split = data.open_split(pictures.split(tmp_path / "s", squares(4), [0, 1, 0, 1], CLASSES))
    assert not split.images.flags.owndata
    assert not split.images.flags.writeable


@pytest.mark.parametrize("encoding", ["raw", "jpeg"])
def test_many_shards_read_as_one(tmp_path: Path, encoding: str) -> None:
    split, pixels = many(tmp_path, encoding)
    assert len(split.shards) >= 7
    assert np.array_equal(split.images, pixels)
    order = np.array([49, 0, 7, 6, 7, 31])
    assert np.array_equal(split.take(order), pixels[order])
    assert split.take(order[:0]).shape == (0, 9, 9, 3)
    assert list(split.labels) == list(range(50))
    assert split.names[31] == "31.png"


@pytest.mark.parametrize("encoding", ["raw", "jpeg"])
def test_crops_are_windows_of_the_squares(tmp_path: Path, encoding: str) -> None:
    split, pixels = many(tmp_path, encoding)
    order, tops, lefts = np.array([49, 3, 3, 20]), np.array([0, 3, 1, 2]), np.array([3, 0, 2, 1])
    windows = [pixels[i, t : t + 6, n : n + 6] for i, t, n in zip(order, tops, lefts, strict=True)]
    assert np.array_equal(split.crops(order, tops, lefts, 6), windows)


def test_centres_have_the_models_size_and_end_with_the_split(tmp_path: Path) -> None:
    split, pixels = many(tmp_path, "raw")
    assert (split.image_size, split.stored_size, split.margin) == (6, 9, 3)
    assert np.array_equal(split.centred(40, 70), pixels[40:, 1:7, 1:7])


def test_several_threads_decode_what_one_does(tmp_path: Path) -> None:
    split, pixels = many(tmp_path, "jpeg")
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        assert np.array_equal(split.take(np.arange(50)), pixels)
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("square", ["crop", "pad"])
def test_the_centre_of_a_stored_picture_is_what_the_endpoint_sees_of_its_file(tmp_path: Path, square: str) -> None:
    for number, (height, width) in enumerate([(190, 240), (60, 41), (300, 73), (128, 128)]):
        content = pictures.encoded(pictures.noisy((90, 120, 60), (height, width), number), "JPEG", quality=90)
        stored = images.read(content, 73, square)[None]
        options = {"image_size": 64, "square": square}
        split = data.open_split(pictures.split(tmp_path / str(number), stored, [0], CLASSES, **options))
        assert np.array_equal(split.centred(0, 1)[0], images.model_input(content, 64, 73, square))


def damaged_bytes(folder: Path) -> None:
    content = bytearray((folder / "00000.arrow").read_bytes())
    content[1000] ^= 1
    (folder / "00000.arrow").write_bytes(content)


def cut_shard(folder: Path) -> None:
    os.truncate(folder / "00000.arrow", 500)


def says(key: str, value: object) -> Callable[[Path], None]:
    """The manifest, with this value there."""

    def change(folder: Path) -> None:
        path = folder / "manifest.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), key: value}))

    return change


def shard_says(**changes: object) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        shard = json.loads((folder / "manifest.json").read_text())["shards"][0]
        says("shards", [{**shard, **changes}])(folder)

    return change


def lacks(key: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        path = folder / "manifest.json"
        manifest = json.loads(path.read_text())
        del manifest[key]
        path.write_text(json.dumps(manifest))

    return change


def text(content: str) -> Callable[[Path], None]:
    return lambda folder: (folder / "manifest.json").write_text(content) and None


def columns(**changes: Any) -> Callable[[Path], None]:
    """The shard written again with these columns, and a manifest that agrees."""

    def change(content: bytes) -> bytes:
        table = pa.ipc.open_file(content).read_all()
        own = {name: table[name].combine_chunks() for name in table.column_names}
        whole = {name: column for name, column in {**own, **changes}.items() if column is not None}
        sink = io.BytesIO()
        with pa.ipc.new_file(sink, pa.record_batch(whole).schema) as writer:
            writer.write_batch(pa.record_batch(whole))
        return sink.getvalue()

    return lambda folder: pictures.forge(folder, change)


def two_batches(content: bytes) -> bytes:
    batch = pa.ipc.open_file(content).get_batch(0)
    sink = io.BytesIO()
    with pa.ipc.new_file(sink, batch.schema) as writer:
        writer.write_batch(batch.slice(0, 2))
        writer.write_batch(batch.slice(2))
    return sink.getvalue()


SHARD = {"file": "00000.arrow", "rows": 4, "bytes": 9, "sha256": "0" * 64}
DAMAGED: dict[str, tuple[Callable[[Path], Any], str]] = {
    "content": (damaged_bytes, "does not match the manifest"),
    "cut": (cut_shard, "500 bytes"),
    "gone": (lambda folder: (folder / "00000.arrow").unlink(), "not there"),
    "text": (text("{"), "not JSON"),
    "deep": (text("[" * 100_000), "not JSON"),
    "list": (text("[]"), "'format' is missing"),
    "bytes": (lambda folder: (folder / "manifest.json").write_bytes(b"\xff\xfe"), "not JSON"),
    "format of before": (says("format", 1), "format 1, and this code reads 2: run PrepareData again"),
    "true format": (says("format", True), "format true"),
    "count": (says("count", 5), "shards have 4 pictures, and its count says 5"),
    "negative count": (says("count", -1), "count has to be a whole number"),
    "broken count": (says("count", 4.0), "count has to be a whole number"),
    "size": (says("image_size", 9), "stored_size 8 is below image_size 9"),
    "other size": (says("stored_size", 9), r"has to be fixed_size_binary\[243\]"),
    "negative size": (says("image_size", -8), "image_size has to be"),
    "huge size": (says("stored_size", 2**40), "stored_size has to be"),
    "square": (says("square", "stretch"), "square has to be one of crop, pad"),
    "encoding": (says("encoding", "png"), "encoding has to be one of raw, jpeg"),
    "other encoding": (says("encoding", "jpeg"), "has to be binary"),
    "classes": (says("classes", ["a", "a"]), "different names"),
    "class names": (says("classes", [1, 2]), "different names"),
    "mean": (says("mean", [0.1, 0.2]), "mean has to be three numbers"),
    "infinite mean": (says("mean", [0.5, 0.5, float("inf")]), "mean has to be"),
    "no deviation": (says("deviation", [0, 0.1, 0.1]), "deviation has to be"),
    "nan deviation": (says("deviation", [float("nan"), 0.1, 0.1]), "deviation has to be"),
    "weights": (says("class_weights", [1.0]), "1 class_weights for 2 classes"),
    "huge weight": (says("class_weights", [1.0, 10**400]), "class_weights has to be"),
    "source": (says("source", {"kind": "digits"}), "source has to be"),
    "no weights": (lacks("class_weights"), "'class_weights' is missing"),
    "no shards": (says("shards", []), "no pictures"),
    "shards": (says("shards", {"0": SHARD}), "shards has to be a list"),
    "path": (shard_says(file="../s/00000.arrow"), "without a folder"),
    "absolute path": (shard_says(file="/etc/passwd"), "without a folder"),
    "newline": (shard_says(file="00000.arrow\n"), "without a folder"),
    "no name": (shard_says(file=None), "without a folder"),
    "rows": (shard_says(rows=-4), "a shard needs file"),
    "other rows": (lambda folder: (shard_says(rows=5)(folder), says("count", 5)(folder)), "4 pictures, and the"),
    "bytes of a shard": (shard_says(bytes=10**9), "says 1000000000"),
    "sha256": (shard_says(sha256="x"), "a shard needs file"),
    "label": (columns(label=pa.array([0, 1, 2, 0], pa.int32())), "outside the 2 classes"),
    "negative label": (columns(label=pa.array([0, 1, -1, 0], pa.int32())), "outside the 2 classes"),
    "label type": (columns(label=pa.array([0.0, 1, 0, 1])), "column label is double"),
    "label gap": (columns(label=pa.array([0, None, 0, 1], pa.int32())), "column label has gaps"),
    "column names": (lambda folder: pictures.forge(folder, lambda c: c.replace(b"label", b"\x80abel")), "not an Arrow"),
    "no label": (columns(label=None), "column label is missing"),
    "names": (columns(name=pa.array([b"\xff"] * 4).view(pa.string())), "damaged"),
    "picture gap": (columns(image=pa.array([None] * 4, pa.binary(192))), "column image has gaps"),
    "two batches": (lambda folder: pictures.forge(folder, two_batches), "2 record batches"),
    "no arrow": (lambda folder: pictures.forge(folder, lambda content: b"hello"), "not an Arrow file"),
    "half an arrow": (lambda folder: pictures.forge(folder, lambda content: content[:900]), "not an Arrow file"),
}


@pytest.mark.parametrize("case", DAMAGED)
def test_a_damaged_or_lying_split_is_refused(tmp_path: Path, case: str) -> None:
    damage, words = DAMAGED[case]
    folder = pictures.split(tmp_path / "s", squares(4), [0, 1, 0, 1], CLASSES)
    damage(folder)
    with pytest.raises(Refusal, match=words) as caught:
        data.open_split(folder)
    assert "run PrepareData again" in str(caught.value)
    assert str(folder) in str(caught.value)


def jpeg(side: tuple[int, int]) -> bytes:
    return pictures.encoded(pictures.noisy((9, 90, 200), side, 1), "JPEG")


GOOD = jpeg((8, 8))
START = GOOD.index(b"\xff\xc0") + 5
ROWS = {
    "empty": (b"", "no readable JPEG"),
    "text": (b"hello", "no readable JPEG"),
    "png": (pictures.encoded(squares(1)[0]), "no readable JPEG"),
    "cut": (GOOD[: START + 20], "no readable JPEG"),
    "larger": (jpeg((9, 8)), "a picture of 8 x 9, and the manifest says 8 x 8"),
    "bomb": (GOOD[:START] + b"\xff\xff\xff\xff" + GOOD[START + 4 :], "a picture of 65535 x 65535"),
}


@pytest.mark.parametrize("case", ROWS)
def test_a_jpeg_row_that_is_no_such_square_is_refused_by_its_number(tmp_path: Path, case: str) -> None:
    content, words = ROWS[case]
    folder = pictures.split(tmp_path / "s", squares(4), [0, 1, 0, 1], CLASSES, encoding="jpeg")
    columns(image=pa.array([GOOD, GOOD, content, GOOD], pa.binary()))(folder)
    split = data.open_split(folder)
    assert split.take(np.array([0, 1, 3])).shape == (3, 8, 8, 3)
    with pytest.raises(Refusal, match=f"00000.arrow: row 2 is .*{words}"):
        split.take(np.array([3, 2]))


def test_a_grey_or_progressive_jpeg_is_read_all_the_same(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    Image.new("L", (8, 8), 77).save(buffer, "JPEG")
    progressive = pictures.encoded(np.full((8, 8, 3), 77, np.uint8), "JPEG", progressive=True)
    folder = pictures.split(tmp_path / "s", squares(2), [0, 1], CLASSES, encoding="jpeg")
    columns(image=pa.array([buffer.getvalue(), progressive], pa.binary()))(folder)
    assert np.unique(data.open_split(folder).images).tolist() == [77]


@pytest.fixture(scope="module", params=["raw", "jpeg"])
def sound(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, bytes]:
    folder = tmp_path_factory.mktemp("sound") / "s"
    pictures.split(folder, squares(4), [0, 1, 0, 1], CLASSES, encoding=request.param)
    return folder, (folder / "00000.arrow").read_bytes()


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0), st.integers(0, 255)), min_size=1, max_size=6), st.integers(0, 9))
def test_a_mutated_shard_with_a_manifest_that_agrees_is_read_or_refused(
    sound: tuple[Path, bytes], changes: list[tuple[int, int]], cut: int
) -> None:
    folder, whole = sound
    content = bytearray(whole)
    for position, value in changes:
        content[position % len(content)] = value
    pictures.forge(folder, lambda _: bytes(content[: len(content) - cut * 40]))
    try:
        assert data.open_split(folder).images.shape == (4, 8, 8, 3)
    except Refusal as refused:
        assert "run PrepareData again" in str(refused)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_any_value_in_a_manifest_is_taken_or_refused(sound: tuple[Path, bytes], draw: st.DataObject) -> None:
    folder, whole = sound
    pictures.forge(folder, lambda _: whole)
    before = (folder / "manifest.json").read_text()
    says(draw.draw(st.sampled_from(sorted(json.loads(before)))), draw.draw(JSON))(folder)
    try:
        assert data.open_split(folder).images.shape == (4, 8, 8, 3)
    except Refusal as refused:
        assert "run PrepareData again" in str(refused)
    finally:
        (folder / "manifest.json").write_text(before)
