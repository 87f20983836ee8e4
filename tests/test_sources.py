"""The one way in: every kind gives a source of the same shape."""

from __future__ import annotations

import io
import pickle
from pathlib import Path

import archives
import numpy as np
import pytest
from PIL import Image
from preparation.items import Source
from preparation.sources import SPLITS, open_source
from refusal import Refusal

FOLDERS = {f"{split}/{name}/1.png": b"1" for split in ("train", "valid", "test") for name in ("a", "b")}
KINDS = {
    "digits": {},
    "imagefolder": FOLDERS,
    "cifar10": archives.cifar10(6, 3),
    "cifar100": archives.cifar100(6, 4),
    "manifest": {"list.csv": b"path,label,split\nx.png,b,test\ny.png,a,\n", "x.png": b"1", "y.png": b"2"},
}


def opened(kind: str, root: Path) -> Source:
    (root / "scratch").mkdir()
    return open_source(kind, archives.write(root, {f"in/{name}": held for name, held in KINDS[kind].items()}) / "in",
                       root / "scratch")  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_gives_sorted_unique_names_known_labels_and_one_way_to_pixels(tmp_path: Path, kind: str) -> None:
    source = opened(kind, tmp_path)
    names = [item.name for item in source.items]
    assert source.kind == kind
    assert names == sorted(set(names)) and names
    assert {item.label for item in source.items} == set(range(len(source.classes)))
    assert {item.split for item in source.items} <= {"", *SPLITS}
    assert (source.read is None) != (source.pixels is None)
    assert source.pixels is None or (source.pixels.dtype == np.uint8 and len(source.pixels) == len(names))
    assert len(source.digest) == 64 and int(source.digest, 16)


@pytest.mark.parametrize("kind", KINDS)
def test_a_source_opened_twice_is_the_same(tmp_path: Path, kind: str) -> None:
    sources = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        sources.append(opened(kind, tmp_path / name))
    assert sources[0].items == sources[1].items
    assert sources[0].digest == sources[1].digest


@pytest.mark.parametrize("kind", ["digits", "imagefolder", "manifest"])
def test_reading_can_be_sent_to_another_process(tmp_path: Path, kind: str) -> None:
    source = opened(kind, tmp_path)
    assert source.read is not None
    assert pickle.loads(pickle.dumps(source.read))(1) == source.read(1)


def test_the_digits_are_the_pixels_that_scikit_learn_ships(tmp_path: Path) -> None:
    from sklearn.datasets import load_digits

    source, digits = opened("digits", tmp_path), load_digits()
    assert source.classes == tuple("0123456789") and len(source.items) == 1797
    assert source.read is not None
    for index in (0, 700, 1796):
        number = int(Path(source.items[index].name).stem)
        assert source.items[index].label == digits.target[number]
        pixels = np.asarray(Image.open(io.BytesIO(source.read(index))))
        assert np.array_equal(pixels, np.round(digits.images[number] * 255 / 16).astype(np.uint8))


def test_an_unknown_kind_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(Refusal, match="'mnist': take digits, imagefolder, cifar10, cifar100 or manifest"):
        open_source("mnist", tmp_path, tmp_path)
