"""Shards: what is written, byte for byte, in both encodings, and nothing that counts before the manifest."""

from __future__ import annotations

import json
from pathlib import Path

import images
import numpy as np
import pictures
import pyarrow as pa
import pytest
from data import open_split
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray
from preparation import shards, staging
from preparation.items import Item, Source
from refusal import Refusal


def squares(count: int, side: int = 8, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (count, side, side, 3), dtype=np.uint8)


def items(count: int) -> list[pictures.Named]:
    return [pictures.Named(f"ä/{index:03d}.png", index % 3) for index in range(count)]


def read(path: Path) -> pa.Table:
    with pa.memory_map(str(path)) as file:
        return pa.ipc.open_file(file).read_all()


def test_raw_shards_hold_the_pixels_labels_and_names_of_the_rows_asked_for(tmp_path: Path) -> None:
    pixels, order = squares(10), np.array([7, 1, 4])
    written, _ = shards.write_split(tmp_path, pictures.Squares(pixels), order, items(10))
    table = read(tmp_path / f"{written[0].file}.partial")
    assert table.schema.field("image").type == pa.binary(8 * 8 * 3)
    assert table["image"].to_pylist() == [pixels[row].tobytes() for row in order]
    assert table["label"].to_pylist() == [1, 1, 1]
    assert table["name"].to_pylist() == ["ä/007.png", "ä/001.png", "ä/004.png"]


def test_jpeg_shards_hold_the_very_files(tmp_path: Path) -> None:
    staged = pictures.Squares(squares(10), "jpeg")
    written, _ = shards.write_split(tmp_path, staged, np.array([2, 9]), items(10))
    table = read(tmp_path / f"{written[0].file}.partial")
    assert table.schema.field("image").type == pa.binary()
    assert table["image"].to_pylist() == [staged.jpeg(2), staged.jpeg(9)]


@pytest.mark.parametrize("encoding", ["raw", "jpeg"])
def test_a_shard_ends_where_it_is_full_and_the_sums_do_not_notice(tmp_path: Path, encoding: str) -> None:
    staged = pictures.Squares(squares(40), encoding)
    (tmp_path / "one").mkdir()
    (tmp_path / "many").mkdir()
    one, whole = shards.write_split(tmp_path / "one", staged, np.arange(40), items(40))
    many, parts = shards.write_split(tmp_path / "many", staged, np.arange(40), items(40), 8 * 8 * 3 * 12)
    assert len(one) == 1 and len(many) >= 4
    assert [shard.file for shard in many[:2]] == ["00000.arrow", "00001.arrow"]
    assert sum(shard.rows for shard in many) == one[0].rows == 40
    assert parts == whole


@pytest.mark.parametrize("encoding", ["raw", "jpeg"])
def test_the_same_input_gives_the_same_bytes(tmp_path: Path, encoding: str) -> None:
    classes = ["a", "b", "c"]
    labels = [index % 3 for index in range(30)]
    for name in ("first", "second"):
        pictures.split(tmp_path / name / "train", squares(30), labels, classes, shard_bytes=2000, encoding=encoding)
    first, second = (sorted((tmp_path / name / "train").iterdir()) for name in ("first", "second"))
    assert [path.name for path in first] == [path.name for path in second]
    assert len(first) > 3
    assert all(a.read_bytes() == b.read_bytes() for a, b in zip(first, second, strict=True))


def test_the_sums_of_jpeg_squares_are_those_of_what_they_decode_to(tmp_path: Path) -> None:
    staged = pictures.Squares(squares(6), "jpeg")
    _, sums = shards.write_split(tmp_path, staged, np.arange(6), items(6))
    assert sums == shards.ChannelSums().plus(staged.pixels(np.arange(6)))
    assert sums != shards.ChannelSums().plus(staged.all)


@settings(max_examples=40, deadline=None)
@given(arrays.arrays(np.uint8, st.tuples(st.integers(1, 40), st.integers(1, 9), st.integers(1, 9), st.just(3))))
def test_channel_sums_are_exact(pixels: NDArray[np.uint8]) -> None:
    sums = shards.ChannelSums().plus(pixels)
    wide = pixels.reshape(-1, 3).astype(object)
    assert (sums.pixels, sums.total) == (len(wide), tuple(wide.sum(0)))
    assert sums.squares == tuple((wide**2).sum(0))


def test_the_brightest_pixels_do_not_overflow() -> None:
    """More rows than 32 bits hold squares of 255 from."""
    sums = shards.ChannelSums().plus(np.full((70_000, 1, 1, 3), 255, dtype=np.uint8))
    assert sums.squares == (70_000 * 255**2,) * 3
    assert sums.mean() == [1.0] * 3
    assert all(0 < deviation < 0.01 for deviation in sums.deviation())


def test_mean_and_deviation_are_those_of_numpy(tmp_path: Path) -> None:
    pixels = squares(50)
    _, sums = shards.write_split(tmp_path, pictures.Squares(pixels), np.arange(50), items(50), 2000)
    assert np.allclose(sums.mean(), pixels.mean((0, 1, 2)) / 255, atol=1e-6)
    assert np.allclose(sums.deviation(), pixels.std((0, 1, 2)) / 255, atol=1e-6)


def test_before_publishing_there_is_no_split_and_clearing_takes_it_back(tmp_path: Path) -> None:
    folder = pictures.split(tmp_path / "s", squares(4), [0, 1, 0, 1], ["a", "b"])
    shards.clear(folder)
    assert list(folder.iterdir()) == []
    shards.write_split(folder, pictures.Squares(squares(4)), np.arange(4), items(4))
    assert [path.name for path in folder.iterdir()] == ["00000.arrow.partial"]
    with pytest.raises(Refusal, match="no finished split"):
        open_split(folder)


def test_an_empty_split_has_no_shards(tmp_path: Path) -> None:
    written, sums = shards.write_split(tmp_path, pictures.Squares(squares(4)), np.arange(0), items(4))
    assert (written, sums) == ([], shards.ChannelSums())


@pytest.mark.parametrize(("encoding", "limit"), [("raw", 2**30), ("jpeg", 1)])
def test_what_was_staged_is_what_is_read(tmp_path: Path, encoding: str, limit: int) -> None:
    """From the files of a source to the reader of training, and the mean is that of the very pixels it gets."""
    files = [pictures.encoded(pictures.noisy((90, 120, 60), (30, 40 + n), n), "JPEG") for n in range(9)]
    source = Source(
        "imagefolder", ("a", "b", "c"), [Item(*item) for item in items(9)], files.__getitem__, None, (), "0"
    )
    (tmp_path / "scratch").mkdir()
    staged = staging.stage(source, tmp_path / "scratch", 18, "crop", limit, processes=1)
    rows = np.array([1, 2, 5, 8])
    shards.clear(tmp_path / "train")
    written, sums = shards.write_split(tmp_path / "train", staged, rows, source.items)
    body = {
        "classes": list(source.classes),
        "count": len(rows),
        "image_size": 16,
        "stored_size": staged.size,
        "square": "crop",
        "encoding": staged.encoding,
        "mean": sums.mean(),
        "deviation": sums.deviation(),
        "class_weights": [1.0] * 3,
        "source": {"kind": source.kind, "digest": source.digest},
    }
    shards.publish(tmp_path / "train", written, body)
    split = open_split(tmp_path / "train")
    assert split.manifest["encoding"] == encoding
    assert split.names == tuple(source.items[row].name for row in rows)
    assert np.array_equal(split.images, staged.pixels(rows))
    assert sums == shards.ChannelSums().plus(split.images)
    if encoding == "raw":
        assert all(
            np.array_equal(split.centred(n, n + 1)[0], images.model_input(files[row], 16, 18))
            for n, row in enumerate(rows)
        )


def test_the_manifest_lists_every_shard_with_its_digest(tmp_path: Path) -> None:
    folder = pictures.split(tmp_path / "s", squares(10), [0, 1] * 5, ["a", "b"], shard_bytes=700)
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["format"] == 2
    assert [shard["file"] for shard in manifest["shards"]] == [f"{number:05d}.arrow" for number in range(4)]
    assert all((folder / shard["file"]).stat().st_size == shard["bytes"] for shard in manifest["shards"])
