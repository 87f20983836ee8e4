"""PrepareData as a whole: splits, bytes, the report, and everything that it refuses."""

from __future__ import annotations

import hashlib
import itertools
import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import archives
import data
import images
import numpy as np
import payload
import pictures
import prepare
import pytest
from PIL import Image
from refusal import Refusal

PROGRAM = Path(prepare.__file__)


def run(root: Path, *arguments: str, kind: str = "imagefolder") -> int:
    places = (("--input-dir", "in"), ("--output-dir", "out"), ("--message-file", "message"))
    paths = [word for option, name in places for word in (option, str(root / name))]
    return prepare.main(["--kind", kind, *paths, "--image-size", "16", *arguments])


def report(root: Path) -> dict[str, Any]:
    return pictures.json_of(root / "out/report/dataset.json")  # type: ignore[return-value]


def message(root: Path) -> str:
    return (root / "message").read_text()


def folders(root: Path, **counts: int) -> None:
    """Splits of class folders whose pictures all differ."""
    for number, (split, count) in enumerate(counts.items()):
        for label, (name, colour) in enumerate(pictures.COLOURS.items()):
            (root / split / name).mkdir(parents=True)
            for index in range(count):
                pixels = pictures.noisy(colour, (24, 20), 10_000 * number + 1000 * label + index)
                (root / split / name / f"{index:03d}.png").write_bytes(pictures.encoded(pixels))


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


def test_digits_keep_what_scikit_learn_ships(digits: Path) -> None:
    from sklearn.datasets import load_digits

    test = data.open_split(digits / "test")
    number = int(Path(test.names[7]).stem)
    grey = np.round(load_digits().images[number] * 255 / 16).astype(np.uint8)
    coarse = test.images[7].reshape(8, 4, 8, 4, 3).mean((1, 3, 4))
    assert np.corrcoef(coarse.ravel(), grey.ravel())[0, 1] > 0.95
    assert test.labels[7] == load_digits().target[number]


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


def test_the_endpoint_sees_samples_as_evaluation_sees_the_test_pictures(digits: Path, tmp_path: Path) -> None:
    pictures.folder(tmp_path / "in")
    run(tmp_path)
    for folder, count, size, stored in ((digits, 30, 32, 32), (tmp_path / "out", 6, 16, 18)):
        test = data.open_split(folder / "test")
        first = int(np.flatnonzero(test.labels == 2)[0])
        sample = (folder / f"report/samples/{test.classes[2]}_0.png").read_bytes()
        assert np.array_equal(images.model_input(sample, size, stored), test.centred(first, first + 1)[0])
        assert len(list((folder / "report/samples").iterdir())) == count


@pytest.mark.parametrize("square", images.SQUARES)
def test_the_endpoint_sees_files_of_any_size_and_format_as_evaluation_does(tmp_path: Path, square: str) -> None:
    sides = [(32, 32), (37, 37), (32, 50), (20, 14), (150, 100), (96, 96)]  # first the model's own and the stored size
    turned = Image.Exif()
    turned[images.EXIF_ORIENTATION] = 6
    for number, (size, label) in enumerate(itertools.product(sides, ("a", "b"))):
        (tmp_path / "in" / label).mkdir(parents=True, exist_ok=True)
        pixels = pictures.noisy((90, 120, 150), size, number)
        for kind in ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF"):
            options = {"exif": turned} if kind == "JPEG" else {"lossless": True} if kind == "WEBP" else {}
            content = pictures.encoded(pixels, kind, **options)
            (tmp_path / "in" / label / f"{number:02d}.{kind.lower()}").write_bytes(content)
    assert run(tmp_path, "--image-size", "32", "--square", square, "--doctor", "leaks=warn") == 0
    for name in ("train", "validation", "test"):
        split = data.open_split(tmp_path / "out" / name)
        frame = payload.Frame(split.image_size, split.stored_size, split.manifest["square"])
        for row, file in enumerate(split.names):
            served = payload.decode((tmp_path / "in" / file).read_bytes(), frame)
            assert np.array_equal(served, split.centred(row, row + 1)), file
            assert split.classes[split.labels[row]] == file[0]


def test_the_shipped_digits_lose_and_move_no_picture(digits: Path) -> None:
    told = pictures.json_of(digits / "report/dataset.json")
    assert told["findings"] == []
    counts = {split: sum(each.values()) for split, each in told["counts"].items()}
    assert counts == {"train": 1259, "validation": 269, "test": 269}


def test_mean_and_deviation_are_those_of_the_training_pixels(tmp_path: Path) -> None:
    pictures.folder(tmp_path / "in")
    run(tmp_path)
    train = data.open_split(tmp_path / "out/train")
    assert np.allclose(train.manifest["mean"], train.images.mean((0, 1, 2)) / 255, atol=1e-5)
    assert np.allclose(train.manifest["deviation"], train.images.std((0, 1, 2)) / 255, atol=1e-5)
    assert data.open_split(tmp_path / "out/test").manifest["mean"] == train.manifest["mean"]


def test_folders_that_are_split_already_stay_so(tmp_path: Path) -> None:
    folders(tmp_path / "in/outer", train=6, valid=3, test=2)
    for split in ("train", "valid", "test"):
        os.rename(tmp_path / "in/outer" / split / "blue", tmp_path / "in/outer" / split / "001.Blue")
    assert run(tmp_path) == 0
    sizes = {split: len(data.open_split(tmp_path / "out" / split)) for split in ("train", "validation", "test")}
    assert sizes == {"train": 18, "validation": 9, "test": 6}
    assert data.open_split(tmp_path / "out/test").classes == ("Blue", "green", "red")


def test_a_missing_test_folder_is_taken_from_train(tmp_path: Path) -> None:
    folders(tmp_path / "in", train=10, val=2)
    run(tmp_path, "--test-fraction", "0.2")
    assert len(data.open_split(tmp_path / "out/test")) == 6
    assert len(data.open_split(tmp_path / "out/validation")) == 6
    assert all(name.startswith("train/") for name in data.open_split(tmp_path / "out/test").names)


def test_folder_zip_and_tar_of_the_same_pictures_give_the_same_shards(tmp_path: Path) -> None:
    pictures.folder(tmp_path / "folder/in")
    files = {
        path.relative_to(tmp_path / "folder/in").as_posix(): path.read_bytes()
        for path in (tmp_path / "folder/in").rglob("*.png")
    }
    for name, content in (("zip", archives.zipped(files)), ("tar.gz", archives.tarred(files))):
        (tmp_path / name / "in").mkdir(parents=True)
        (tmp_path / name / f"in/photos.{name}").write_bytes(content)
    shards = []
    for name in ("folder", "zip", "tar.gz"):
        assert run(tmp_path / name) == 0
        shards.append(tree(tmp_path / name / "out")["train/00000.arrow"])
    assert len(set(shards)) == 1


def test_cifar_keeps_its_test_part_its_classes_and_its_pixels(tmp_path: Path) -> None:
    files = {f"cifar-10-batches-py/{name}": content for name, content in archives.cifar10(20).items()}
    (tmp_path / "in").mkdir()
    (tmp_path / "in/cifar-10-python.tar.gz").write_bytes(archives.tarred(files))
    assert run(tmp_path, "--image-size", "32", "--test-fraction", "0.9", kind="cifar10") == 0
    test, train = data.open_split(tmp_path / "out/test"), data.open_split(tmp_path / "out/train")
    assert (len(train), len(test)) == (80, 20)
    assert np.array_equal(test.images, archives.rows(20, 5).reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1))
    assert test.classes[:2] == ("class0", "class1")


def test_a_list_with_groups_keeps_each_group_in_one_split(tmp_path: Path) -> None:
    pictures.folder(tmp_path / "in", 12)
    names = [path.relative_to(tmp_path / "in").as_posix() for path in sorted((tmp_path / "in").rglob("*.png"))]
    lines = [f"{name},{name.split('/')[0]},{name.split('/')[0]}-{number % 4}" for number, name in enumerate(names)]
    (tmp_path / "in/list.csv").write_text("path,label,group\n" + "\n".join(lines))
    assert run(tmp_path, "--manifest", "list.csv", kind="manifest") == 0
    group = dict(line.split(",")[::2] for line in lines)
    held = [
        {group[name] for name in data.open_split(tmp_path / "out" / split).names}
        for split in ("train", "validation", "test")
    ]
    assert sum(map(len, held)) == len(set.union(*held)) == 12


def test_pictures_are_stored_with_a_margin_for_crops(tmp_path: Path) -> None:
    pictures.folder(tmp_path / "in")
    run(tmp_path, "--image-size", "28")
    train = data.open_split(tmp_path / "out/train")
    assert (train.image_size, train.stored_size) == (28, 32)
    assert report(tmp_path)["stored_size"] == 32


def test_above_the_limit_squares_are_jpegs(tmp_path: Path) -> None:
    pictures.folder(tmp_path / "in")
    run(tmp_path, "--raw-limit-mib", "0")
    train = data.open_split(tmp_path / "out/train")
    assert train.manifest["encoding"] == "jpeg"
    assert train.take(np.array([0, 1])).shape == (2, 18, 18, 3)


@pytest.mark.parametrize("arguments", [(), ("--raw-limit-mib", "0")], ids=["raw", "jpeg"])
def test_any_number_of_processes_writes_the_same_bytes(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    pictures.folder(tmp_path / "in", 30)
    trees = []
    for count in ("1", "2"):
        assert run(tmp_path, "--processes", count, *arguments) == 0
        trees.append(tree(tmp_path / "out"))
    assert trees[0] == trees[1]


def test_a_leak_is_moved_out_of_train_reported_and_drawn(tmp_path: Path) -> None:
    folders(tmp_path / "in", train=6, valid=3, test=3)
    leaked = (tmp_path / "in/test/red/000.png").read_bytes()
    (tmp_path / "in/train/red/again.png").write_bytes(leaked)
    assert run(tmp_path) == 0
    assert "train/red/again.png" not in data.open_split(tmp_path / "out/train").names
    finding = next(each for each in report(tmp_path)["findings"] if each["finding"] == "leaks")
    assert finding["action"] == "move"
    assert ["test/red/000.png", "train/red/again.png"] in [sorted(group) for group in finding["groups"]]
    drawn = report(tmp_path)["pictures"]["duplicates"][0]["file"]
    assert (tmp_path / "out/report" / drawn).is_file()


def test_other_settings_of_the_doctor_are_followed_and_written_down(tmp_path: Path) -> None:
    folders(tmp_path / "in", train=6, valid=3, test=3)
    (tmp_path / "in/train/red/again.png").write_bytes((tmp_path / "in/test/red/000.png").read_bytes())
    assert run(tmp_path, "--doctor", "leaks=fail") == 1
    assert "doctor.leaks" in message(tmp_path)
    assert "train/red/again.png" in message(tmp_path)
    assert run(tmp_path, "--doctor", "leaks=drop") == 0
    assert report(tmp_path)["settings"]["doctor"]["leaks"] == "drop"


def test_class_weights_come_from_what_is_left_to_train_on(tmp_path: Path) -> None:
    pictures.folder(tmp_path / "in", 20)
    for path in sorted((tmp_path / "in/red").iterdir())[8:]:
        path.unlink()
    run(tmp_path)
    counts = report(tmp_path)["counts"]["train"]
    expected = [sum(counts.values()) / (3 * count) for count in counts.values()]
    assert np.allclose(data.open_split(tmp_path / "out/train").manifest["class_weights"], expected, atol=1e-5)


def test_files_that_are_no_pictures_are_reported_and_left_out(tmp_path: Path) -> None:
    pictures.folder(tmp_path / "in")
    (tmp_path / "in/red/notes.txt").write_text("no picture")
    (tmp_path / "in/red/.DS_Store").write_bytes(b"\0")
    run(tmp_path)
    finding = next(each for each in report(tmp_path)["findings"] if each["finding"] == "not_pictures")
    assert (finding["count"], finding["files"]) == (1, ["red/notes.txt"])


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
def test_an_unreadable_picture_is_left_out_and_named(tmp_path: Path, name: str) -> None:
    content, reason = HOSTILE[name]
    pictures.folder(tmp_path / "in")
    (tmp_path / "in/red" / name).write_bytes(content)
    assert run(tmp_path) == 0
    finding = next(each for each in report(tmp_path)["findings"] if each["finding"] == "unreadable")
    assert finding["files"] == [f"red/{name}"]
    assert reason in finding["reasons"][0]


def test_an_unreadable_picture_ends_preparation_where_that_is_asked_for(tmp_path: Path) -> None:
    pictures.folder(tmp_path / "in")
    (tmp_path / "in/red/cut.jpg").write_bytes(JPEG[:200])
    assert run(tmp_path, "--doctor", "unreadable=fail") == 1
    assert "red/cut.jpg" in message(tmp_path)
    assert not list((tmp_path / "out").rglob("manifest.json"))


def test_a_failing_run_takes_the_finished_mark_off_the_run_before(tmp_path: Path) -> None:
    pictures.folder(tmp_path / "in")
    run(tmp_path)
    (tmp_path / "in/red/cut.jpg").write_bytes(JPEG[:200])
    run(tmp_path, "--doctor", "unreadable=fail")
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
    "limit": (["--raw-limit-mib", "-1"], "0 or more"),
    "square": (["--square", "stretch"], "invalid choice"),
    "finding": (["--doctor", "leeks=move"], "did you mean leaks"),
    "action": (["--doctor", "leaks=maybe"], "move, drop, warn or fail"),
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
    assert capsys.readouterr().err.endswith(
        "/out: File exists: a file stands where a folder belongs; give another folder\n"
    )


def test_two_at_once_do_not_write_into_one_folder(tmp_path: Path) -> None:
    pictures.folder(tmp_path / "in")
    (tmp_path / "out").mkdir()
    with prepare.alone(tmp_path / "out"):
        assert run(tmp_path) == 1
    assert "another prepare.py writes there: wait for it" in message(tmp_path)
    assert run(tmp_path) == 0


def test_where_the_disk_filled_up_is_told_and_nothing_is_left_there(tmp_path: Path) -> None:
    """A limit on the size of files stands in for the disk; CIFAR needs no scratch file."""
    archives.write(tmp_path / "in", archives.cifar10(20))
    program = "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000)); import prepare; "
    words = ["--kind", "cifar10", "--input-dir", "in", "--output-dir", "out", "--message-file", "message"]
    command = [sys.executable, "-c", f"{program}sys.exit(prepare.main())", *words]
    environment = {**os.environ, "PYTHONPATH": str(PROGRAM.parent)}
    ended = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert (ended.returncode, ended.stderr) == (1, "error: out/train/00000.arrow.partial: File too large\n")
    assert message(tmp_path) == "out/train/00000.arrow.partial: File too large"
    assert [path for path in (tmp_path / "out").rglob("*") if path.is_file()] == []
