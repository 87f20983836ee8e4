"""The champion in its own process: judged by its own code, and no answer of it believed."""

from __future__ import annotations

import io
import json
import os
import select
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pictures
import pytest
from data import Split, open_split
from evaluation import champion

# Answers by colour alone, with the standard library and NumPy: starts fast, unlike torch.
BY_COLOUR = """
import io, json
import numpy as np

def model_fn(folder):
    print("loading")
    return ("red", "green", "blue")

def input_fn(body, content_type):
    assert content_type == "application/x-npy"
    return np.load(io.BytesIO(body))

def predict_fn(squares, names):
    return [{"class": names[int(square.mean((0, 1)).argmax())]} for square in squares]

def output_fn(found, accept):
    return json.dumps({"predictions": found})
"""
CLASSES = ["blue", "green", "red"]


@pytest.fixture(scope="module")
def test_split(tmp_path_factory: pytest.TempPathFactory) -> Split:
    root = pictures.colours(tmp_path_factory.mktemp("champion"), {"test": 30})
    return open_split(root / "test")


def put(folder: Path, code: str, card: object = None, **more: str) -> Path:
    """`folder` with a model.tar.gz of a card and a code/inference.py."""
    folder.mkdir(exist_ok=True)
    files = {"model.json": json.dumps(card or {"classes": CLASSES}), "code/inference.py": code, **more}
    with tarfile.open(folder / "model.tar.gz", "w:gz") as archive:
        for name, text in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(text.encode())
            archive.addfile(entry, io.BytesIO(text.encode()))
    return folder


def changed(function: str, body: str) -> str:
    return f"{BY_COLOUR}\ndef {function}:\n    {body}\n"


def test_each_picture_is_judged_by_the_archives_own_code(tmp_path: Path, test_split: Split) -> None:
    found = champion.judged(put(tmp_path, BY_COLOUR), test_split, 60)
    assert found is not None
    assert found.predicted == [CLASSES[label] for label in test_split.labels]  # 90 pictures: more than one batch
    assert found.classes == tuple(CLASSES)
    assert len(found.sha256) == 64
    assert not found.same_data  # its card does not say so


@pytest.mark.parametrize(
    ("data", "same"),
    [
        ({"digest": "0", "settings": {}}, True),
        ({"digest": "0", "settings": {"seed": 1}}, False),
        ({"digest": "1", "settings": {}}, False),
        (["0"], False),
    ],
)
def test_data_are_the_same_by_digest_and_settings(test_split: Split, data: object, same: bool) -> None:
    assert champion._is_of({"data": data}, test_split) == same


def test_modules_of_the_archive_come_before_ours(tmp_path: Path, test_split: Split) -> None:
    code = f"{BY_COLOUR}\nimport payload, refusal\nassert payload.OWN and refusal.OWN"
    modules = {"code/payload.py": "OWN = True", "code/refusal.py": "OWN = True"}
    assert champion.judged(put(tmp_path, code, **modules), test_split, 60) is not None


def test_what_the_archive_lacks_is_not_taken_from_us(tmp_path: Path, test_split: Split) -> None:
    with pytest.raises(champion.NotJudged, match="No module named 'evaluation'"):
        champion.judged(put(tmp_path, f"from evaluation import metrics\n{BY_COLOUR}"), test_split, 60)


def test_without_an_archive_there_is_no_champion(tmp_path: Path, test_split: Split) -> None:
    (tmp_path / "none").write_text("no approved model")
    assert champion.judged(tmp_path, test_split, 60) is None
    assert champion.judged(tmp_path / "missing", test_split, 60) is None


def test_the_marker_in_place_of_an_archive_is_no_champion(tmp_path: Path, test_split: Split) -> None:
    assert champion.judged(put(tmp_path, BY_COLOUR), test_split, 60, champion.NONE) is None


PACKAGE = "arn:aws:sagemaker:us-east-1:111122223333:model-package/colours/3"


def test_an_archive_under_another_name_is_judged_alike(tmp_path: Path, test_split: Split) -> None:
    (put(tmp_path, BY_COLOUR) / "model.tar.gz").rename(tmp_path / "colours-v3.tar.gz")
    assert champion.judged(tmp_path, test_split, 60, PACKAGE) is not None


def test_our_own_name_comes_before_its_neighbours(tmp_path: Path, test_split: Split) -> None:
    put(tmp_path, BY_COLOUR)
    (tmp_path / "a.tar.gz").write_bytes(b"no archive")
    assert champion.judged(tmp_path, test_split, 60, PACKAGE) is not None


@pytest.mark.parametrize("names", [(), ("weights.pth",), ("a.tar.gz", "b.tar.gz")])
def test_a_package_that_is_not_one_archive_is_told(tmp_path: Path, test_split: Split, names: tuple[str, ...]) -> None:
    for name in names:
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(champion.NotJudged, match=r"gave [02] archives \(.tar.gz\), not one"):
        champion.judged(tmp_path, test_split, 60, PACKAGE)


UNUSABLE: dict[str, tuple[str, object, str]] = {
    "raises": (
        changed("model_fn(folder)", "raise ValueError('no\\x1b[2J weights')"),
        None,
        "ValueError: no [2J weights",
    ),
    "no json": (changed("output_fn(found, accept)", "return '{'"), None, "its code ended with 1"),
    "too few": (changed("predict_fn(squares, names)", "return []"), None, "one answer for each of 90"),
    "other names": (changed("predict_fn(s, n)", "return [{'class': 'x'}] * len(s)"), None, "none of the classes"),
    "numbers": (changed("predict_fn(s, n)", "return [{'class': 1}] * len(s)"), None, "none of the classes"),
    "silent end": (changed("model_fn(folder)", "import os; os._exit(0)"), None, "answers.json is missing"),
    "killed": (changed("model_fn(folder)", "import os; os.kill(os.getpid(), 9)"), None, "ended with -9"),
    "syntax": ("def model_fn(", None, "SyntaxError"),
    "no classes": (BY_COLOUR, {"classes": {"a": 1}}, "no list of classes"),
    "strange classes": (BY_COLOUR, {"classes": ["a", 3]}, "no list of classes"),
    "card is a list": (BY_COLOUR, [1], "no list of classes"),
    "endless log": (changed("model_fn(f)", "\n    while True: print('x' * 2**20)"), None, "its code ended with"),
}


@pytest.mark.parametrize("case", UNUSABLE)
def test_a_champion_without_usable_answers_is_told(tmp_path: Path, test_split: Split, case: str) -> None:
    code, card, words = UNUSABLE[case]
    with pytest.raises(champion.NotJudged) as caught:
        champion.judged(put(tmp_path, code, card), test_split, 60)
    assert words in str(caught.value)
    assert str(caught.value).isprintable()


def test_answers_through_a_link_are_not_read(tmp_path: Path, test_split: Split) -> None:
    body = "import os, sys; os.symlink('/etc/passwd', sys.argv[2]); os._exit(0)"
    with pytest.raises(champion.NotJudged, match="is no plain file"):
        champion.judged(put(tmp_path, changed("model_fn(folder)", body)), test_split, 60)


def test_answers_that_would_never_end_are_not_read(tmp_path: Path, test_split: Split) -> None:
    body = "import os, sys; os.mkfifo(sys.argv[2]); os._exit(0)"
    with pytest.raises(champion.NotJudged, match="is no plain file"):
        champion.judged(put(tmp_path, changed("model_fn(folder)", body)), test_split, 60)


@pytest.mark.parametrize("name", ["a" * 300, "model.json/below"])
def test_an_archive_that_no_disk_can_hold_is_told(tmp_path: Path, test_split: Split, name: str) -> None:
    with pytest.raises(champion.NotJudged, match="its archive cannot be unpacked"):
        champion.judged(put(tmp_path, BY_COLOUR, **{name: "x"}), test_split, 60)


def test_a_hostile_archive_is_not_unpacked(tmp_path: Path, test_split: Split) -> None:
    with pytest.raises(champion.NotJudged, match="outside the folder"):
        champion.judged(put(tmp_path / "in", BY_COLOUR, **{"../evil": "x"}), test_split, 60)
    assert not (tmp_path / "evil").exists()


def test_an_archive_without_code_is_told(tmp_path: Path, test_split: Split) -> None:
    with tarfile.open(tmp_path / "model.tar.gz", "w:gz") as archive:
        text = json.dumps({"classes": CLASSES}).encode()
        entry = tarfile.TarInfo("model.json")
        entry.size = len(text)
        archive.addfile(entry, io.BytesIO(text))
    with pytest.raises(champion.NotJudged, match=r"no code/inference\.py"):
        champion.judged(tmp_path, test_split, 60)


def test_one_that_takes_too_long_is_ended_with_all_that_it_started(tmp_path: Path, test_split: Split) -> None:
    """The grandchild holds a pipe open, which hangs up when its last writer is gone."""
    fifo = tmp_path / "alive"
    os.mkfifo(fifo)
    body = f"import subprocess, time; subprocess.Popen(['sh', '-c', 'exec 9>{fifo}; sleep 300']); time.sleep(300)"
    watched = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    with pytest.raises(champion.NotJudged, match="not done within 3 seconds, and the new model was"):
        champion.judged(put(tmp_path / "in", changed("model_fn(folder)", body)), test_split, 3)
    poll = select.poll()
    poll.register(watched, select.POLLHUP)
    assert poll.poll(30_000)
    os.close(watched)


def test_credentials_stay_with_us(tmp_path: Path, test_split: Split, environment: None) -> None:
    code = f"{BY_COLOUR}\nimport os\nassert not [name for name in os.environ if 'AWS' in name], sorted(os.environ)"
    assert champion.judged(put(tmp_path, code), test_split, 60) is not None


@pytest.fixture
def environment() -> Iterator[None]:
    os.environ["AWS_DARKROOM_TEST"] = "secret"
    yield
    del os.environ["AWS_DARKROOM_TEST"]
