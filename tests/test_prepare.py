"""PrepareData: splits, bytes, pixels, and everything that it refuses."""

from __future__ import annotations

import hashlib
import io
import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import data
import images
import numpy as np
import pictures
import prepare
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from refusal import Refusal

PROGRAM = Path(prepare.__file__)


def run(root: Path, *arguments: str, kind: str = "imagefolder") -> int:
    paths = [
        "--input-dir",
        str(root / "in"),
        "--output-dir",
        str(root / "out"),
        "--message-file",
        str(root / "message"),
    ]
    return prepare.main(["--kind", kind, *paths, "--image-size", "16", *arguments])


def tree(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("digits")
    assert run(root, "--image-size", "32", kind="digits") == 0
    return root / "out"


def test_all_digits_are_split_evenly_by_class(digits: Path) -> None:
    splits = {name: data.open_split(digits / name) for name in ("train", "validation", "test")}
    assert sum(len(split) for split in splits.values()) == 1797
    assert splits["train"].classes == tuple("0123456789")
    for label in range(10):
        counts = {name: int((split.labels == label).sum()) for name, split in splits.items()}
        total = sum(counts.values())
        assert counts["validation"] == counts["test"] == round(0.15 * total)


def test_no_picture_is_in_two_splits(digits: Path) -> None:
    names = [name for split in ("train", "validation", "test") for name in data.open_split(digits / split).names]
    assert len(set(names)) == len(names) == 1797


def test_digits_keep_the_pixels_that_scikit_learn_ships(digits: Path) -> None:
    from sklearn.datasets import load_digits

    test = data.open_split(digits / "test")
    number = int(Path(test.names[7]).stem)
    grey = np.round(load_digits().images[number] * 255 / 16).astype(np.uint8)
    enlarged = np.asarray(Image.fromarray(grey).convert("RGB").resize((32, 32), Image.Resampling.BICUBIC))
    assert np.array_equal(test.images[7], enlarged)


def test_another_process_and_hash_seed_write_the_same_bytes(digits: Path, tmp_path: Path) -> None:
    command = [
        sys.executable,
        str(PROGRAM),
        "--kind",
        "digits",
        "--image-size",
        "32",
        "--output-dir",
        str(tmp_path / "o"),
    ]
    environment = {**os.environ, "PYTHONHASHSEED": "77", "OMP_NUM_THREADS": "1"}
    subprocess.run(command, check=True, cwd=tmp_path, env=environment, capture_output=True)
    assert tree(tmp_path / "o") == tree(digits)


def test_another_seed_splits_otherwise(tmp_path: Path) -> None:
    pictures.folder(tmp_path / "in", 20)
    run(tmp_path)
    first = data.open_split(tmp_path / "out/test").names
    run(tmp_path, "--seed", "5")
    assert data.open_split(tmp_path / "out/test").names != first


def test_a_new_picture_moves_at_most_one_other(tmp_path: Path) -> None:
    pictures.folder(tmp_path / "in", 20)
    run(tmp_path)
    before = set(data.open_split(tmp_path / "out/train").names)
    (tmp_path / "in/red/new.png").write_bytes(pictures.encoded(pictures.noisy((200, 0, 0), (20, 20), 9)))
    run(tmp_path)
    after = set(data.open_split(tmp_path / "out/train").names)
    assert len(before - after) <= 1


def test_samples_are_test_pictures_as_the_model_sees_them(digits: Path) -> None:
    test = data.open_split(digits / "test")
    first = int(np.flatnonzero(test.labels == 3)[0])
    sample = (digits / "report/samples/3_0.png").read_bytes()
    assert np.array_equal(images.read(sample, 32), test.images[first])
    assert len(list((digits / "report/samples").iterdir())) == 30


def test_the_report_counts_each_class_in_each_split(digits: Path) -> None:
    report = pictures.json_of(digits / "report/dataset.json")
    assert {split: sum(counts.values()) for split, counts in report["counts"].items()} == {
        "train": 1259,
        "validation": 269,
        "test": 269,
    }
    assert report["findings"] == []


def test_mean_and_deviation_are_those_of_the_training_pixels(tmp_path: Path) -> None:
    pictures.folder(tmp_path / "in")
    run(tmp_path)
    train = data.open_split(tmp_path / "out/train")
    assert np.allclose(train.manifest["mean"], train.images.mean((0, 1, 2)) / 255, atol=1e-5)
    assert np.allclose(train.manifest["deviation"], train.images.std((0, 1, 2)) / 255, atol=1e-5)
    assert data.open_split(tmp_path / "out/test").manifest["mean"] == train.manifest["mean"]


def test_folders_that_are_split_already_stay_so(tmp_path: Path) -> None:
    for split, count in (("train", 6), ("valid", 3), ("test", 2)):
        pictures.folder(tmp_path / "in/outer" / split, count)
        os.rename(tmp_path / "in/outer" / split / "blue", tmp_path / "in/outer" / split / "001.Blue")
    assert run(tmp_path) == 0
    sizes = {split: len(data.open_split(tmp_path / "out" / split)) for split in ("train", "validation", "test")}
    assert sizes == {"train": 18, "validation": 9, "test": 6}
    assert data.open_split(tmp_path / "out/test").classes == ("Blue", "green", "red")


def test_a_missing_test_folder_is_taken_from_train(tmp_path: Path) -> None:
    pictures.folder(tmp_path / "in/train", 10)
    pictures.folder(tmp_path / "in/val", 2)
    run(tmp_path, "--test-fraction", "0.2")
    assert len(data.open_split(tmp_path / "out/test")) == 6
    assert len(data.open_split(tmp_path / "out/validation")) == 6
    assert all(name.startswith("train/") for name in data.open_split(tmp_path / "out/test").names)


def test_files_that_are_no_pictures_are_reported_and_left_out(tmp_path: Path) -> None:
    pictures.folder(tmp_path / "in")
    (tmp_path / "in/red/notes.txt").write_text("no picture")
    (tmp_path / "in/red/.DS_Store").write_bytes(b"\0")
    run(tmp_path)
    report = pictures.json_of(tmp_path / "out/report/dataset.json")
    assert report["findings"] == [{"finding": "ignored_files", "count": 1, "files": ["red/notes.txt"]}]


def bomb() -> bytes:
    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    chunk = b"IHDR" + header
    end = b"IEND"
    parts = [struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))]
    idat = b"IDAT" + zlib.compress(b"\0" * 100)
    parts.append(struct.pack(">I", len(idat) - 4) + idat + struct.pack(">I", zlib.crc32(idat)))
    parts.append(struct.pack(">I", 0) + end + struct.pack(">I", zlib.crc32(end)))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


JPEG = pictures.encoded(pictures.noisy((10, 200, 10), (60, 60), 1), "JPEG")
HOSTILE = {
    "cut.jpg": (JPEG[: len(JPEG) // 2], "cut short"),
    "text.jpg": (b"this is no picture", "not a JPEG"),
    "empty.png": (b"", "empty"),
    "bomb.png": (bomb(), "pixels"),
    "page.gif": (b"GIF89a", "damaged"),
    "vector.png": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n", "not a JPEG"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_an_unreadable_picture_ends_preparation_by_name(tmp_path: Path, name: str) -> None:
    content, reason = HOSTILE[name]
    pictures.folder(tmp_path / "in")
    (tmp_path / "in/red" / name).write_bytes(content)
    assert run(tmp_path) == 1
    message = (tmp_path / "message").read_text()
    assert f"red/{name}" in message
    assert reason in message
    assert not list((tmp_path / "out").rglob("manifest.json"))


def test_a_failing_run_takes_the_finished_mark_off_the_run_before(tmp_path: Path) -> None:
    pictures.folder(tmp_path / "in")
    run(tmp_path)
    (tmp_path / "in/red/cut.jpg").write_bytes(JPEG[:200])
    run(tmp_path)
    with pytest.raises(Refusal, match="no finished split"):
        data.open_split(tmp_path / "out/train")


REFUSED_ARGUMENTS = {
    "size": (["--image-size", "4"], "8 to 1024"),
    "share": (["--test-fraction", "0"], "between 0 and 1"),
    "shares": (["--test-fraction", "0.6", "--validation-fraction", "0.5"], "leave none to train"),
    "seed": (["--seed", "-1"], "0 or more"),
    "word": (["--seed", "one"], "invalid int"),
    "misspelt": (["--image_size", "32"], "did you mean --image-size"),
    "shortened": (["--image", "32"], "unknown argument"),
    "kind": (["--kind", "pickles"], "invalid choice"),
}


@pytest.mark.parametrize("case", REFUSED_ARGUMENTS)
def test_an_argument_out_of_range_is_refused(tmp_path: Path, case: str) -> None:
    arguments, words = REFUSED_ARGUMENTS[case]
    pictures.folder(tmp_path / "in", 4)
    assert run(tmp_path, *arguments) == 1
    assert words in (tmp_path / "message").read_text()


def one_class(root: Path) -> None:
    pictures.folder(root, 4)
    for name in ("red", "green"):
        os.rename(root / name, root.parent / name)


def too_few(root: Path) -> None:
    pictures.folder(root, 4)
    for path in list((root / "red").iterdir())[2:]:
        path.unlink()


def stranger(root: Path) -> None:
    pictures.folder(root / "train", 4)
    pictures.folder(root / "test", 4)
    (root / "extra").mkdir()


def without_train(root: Path) -> None:
    pictures.folder(root / "valid", 4)
    pictures.folder(root / "test", 4)


def twice(root: Path) -> None:
    pictures.folder(root, 4)
    os.rename(root / "red", root / "001.blue")


def unknown_class(root: Path) -> None:
    pictures.folder(root / "train", 4)
    pictures.folder(root / "test", 4)
    os.rename(root / "test/red", root / "test/pink")


REFUSED_FOLDERS = {
    one_class: "only one class",
    too_few: "class 'red' has 2 pictures",
    stranger: "'extra' stands beside",
    without_train: "no 'train'",
    twice: "two folders stand for class 'blue'",
    unknown_class: "class 'pink' is not in",
    Path.mkdir: "no class folders",
    Path.touch: "no such folder",
}


@pytest.mark.parametrize("make", REFUSED_FOLDERS, ids=lambda make: make.__name__)
def test_a_folder_that_gives_no_data_set_is_refused(tmp_path: Path, make) -> None:  # type: ignore[no-untyped-def]
    make(tmp_path / "in")
    assert run(tmp_path) == 1
    assert REFUSED_FOLDERS[make] in (tmp_path / "message").read_text()


def test_a_full_disk_or_closed_folder_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pictures.folder(tmp_path / "in")
    (tmp_path / "out").write_text("a file where the folder should be")
    assert run(tmp_path) == 1
    assert capsys.readouterr().err.count("\n") == 1


def test_pictures_stand_upright_on_white_at_eight_bits() -> None:
    upright = pictures.noisy((120, 60, 200), (16, 16), 3)
    exif = Image.Exif()
    exif[images.EXIF_ORIENTATION] = 6
    turned = pictures.encoded(np.rot90(upright), "PNG", exif=exif)
    assert np.array_equal(images.read(turned, 16), upright)
    clear = np.zeros((16, 16, 4), dtype=np.uint8)
    assert images.read(pictures.encoded(clear), 16).min() == 255
    deep = (np.arange(256, dtype=np.uint16).reshape(16, 16)) * 257
    assert np.array_equal(images.read(pictures.encoded(deep), 16)[..., 0], np.arange(256).reshape(16, 16))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16"])
def test_every_mode_becomes_rgb(mode: str) -> None:
    kind = "JPEG" if mode == "CMYK" else "PNG"
    buffer = io.BytesIO()
    Image.new(mode, (40, 30)).save(buffer, kind)
    assert images.read(buffer.getvalue(), 16).shape == (16, 16, 3)


def test_the_centre_is_kept_and_the_short_side_fits() -> None:
    wide = np.zeros((20, 60, 3), dtype=np.uint8)
    wide[:, 20:40] = 200
    assert np.array_equal(np.unique(images.read(pictures.encoded(wide), 20)), [200])
    assert abs(images.read(pictures.encoded(wide), 10).mean() - 200) < 5


PICTURE = bytearray(pictures.encoded(pictures.noisy((120, 60, 200), (12, 12), 3), "JPEG"))


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")  # Pillow warns about damage and goes on
@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, len(PICTURE) - 1), st.integers(0, 255)), min_size=1, max_size=8), st.integers(0)
)
def test_a_damaged_picture_is_read_or_refused_and_nothing_else(changes: list[tuple[int, int]], cut: int) -> None:
    content = bytearray(PICTURE)
    for position, value in changes:
        content[position] = value
    content = content[: max(1, cut % (2 * len(content)))]
    try:
        assert images.read(bytes(content), 8).shape == (8, 8, 3)
    except images.Unreadable as reason:
        assert str(reason)


def test_one_shard_is_mapped_and_not_copied(digits: Path) -> None:
    split = data.open_split(digits / "train")
    assert not split.images.flags.owndata
    assert not split.images.flags.writeable


def test_many_shards_read_as_one(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (50, 8, 8, 3), dtype=np.uint8)
    split = data.open_split(pictures.split(tmp_path / "s", pixels, list(range(50)), [str(i) for i in range(50)], 1500))
    assert len(split.shards) == 8
    assert np.array_equal(split.images, pixels)
    order = np.array([49, 0, 7, 6, 7, 31])
    assert np.array_equal(split.take(order), pixels[order])
    assert list(split.labels) == list(range(50))


def damaged_bytes(folder: Path) -> None:
    content = bytearray((folder / "00000.arrow").read_bytes())
    content[1000] ^= 1
    (folder / "00000.arrow").write_bytes(content)


def cut_shard(folder: Path) -> None:
    os.truncate(folder / "00000.arrow", 500)


def rewrite(folder: Path, old: str, new: str) -> None:
    path = folder / "manifest.json"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


DAMAGED_SPLITS = {
    "content": (damaged_bytes, "does not match the manifest"),
    "cut": (cut_shard, "500 bytes"),
    "gone": (lambda folder: (folder / "00000.arrow").unlink(), "not there"),
    "text": (lambda folder: (folder / "manifest.json").write_text("{"), "not JSON"),
    "list": (lambda folder: (folder / "manifest.json").write_text("[]"), "missing"),
    "format": (lambda folder: rewrite(folder, '"format": 1', '"format": 2'), "format 2"),
    "count": (lambda folder: rewrite(folder, '"count": 4', '"count": 5'), "says 5"),
    "size": (lambda folder: rewrite(folder, '"image_size": 8', '"image_size": 9'), "9 x 9"),
}


@pytest.mark.parametrize("case", DAMAGED_SPLITS)
def test_a_damaged_split_is_refused(tmp_path: Path, case: str) -> None:
    damage, words = DAMAGED_SPLITS[case]
    folder = pictures.split(tmp_path / "s", np.zeros((4, 8, 8, 3), np.uint8), [0, 1, 0, 1], ["a", "b"])
    damage(folder)
    with pytest.raises(Refusal, match=words):
        data.open_split(folder)


def test_a_label_outside_the_classes_is_refused(tmp_path: Path) -> None:
    folder = pictures.split(tmp_path / "s", np.zeros((2, 8, 8, 3), np.uint8), [0, 2], ["a", "b"])
    with pytest.raises(Refusal, match="outside the 2 classes"):
        data.open_split(folder)
