"""Batches: crops from the margin, the same ones for the same seed, and every picture at most once an epoch."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import images
import numpy as np
import pictures
import pytest
import torch
from data import Split, open_split
from numpy.typing import NDArray
from refusal import Refusal
from training import batches

CPU = torch.device("cpu")


def grid(count: int, side: int) -> NDArray[np.uint8]:
    """Pictures whose pixels say where they are: red is the row, green the column, blue the picture."""
    pixels = np.empty((count, side, side, 3), dtype=np.uint8)
    pixels[..., 0] = np.arange(side)[None, :, None]
    pixels[..., 1] = np.arange(side)[None, None, :]
    pixels[..., 2] = np.arange(count)[:, None, None]
    return pixels


def opened(root: Path, pixels: NDArray[np.uint8], image_size: int, **options: object) -> Split:
    """Neither mean nor deviation: what comes out are the pixels themselves."""
    shared = {"mean": [0.0] * 3, "deviation": [1 / 255] * 3, "image_size": image_size, **options}
    return open_split(pictures.split(root / "s", pixels, [0] * len(pixels), ["a", "b"], **shared))


def epoch(split: Split, augment: str, seed: int = 0, size: int = 10) -> NDArray[np.uint8]:
    """(n, H, W, 3) of one epoch."""
    shown = batches.Batches(split, CPU).shuffled(size, augment, torch.Generator().manual_seed(seed))
    return torch.cat([part for part, _ in shown]).permute(0, 2, 3, 1).round().byte().numpy()


def corner(picture: NDArray[np.uint8]) -> tuple[int, int]:
    return int(picture[0, 0, 0]), int(picture[0, 0, 1])


def test_a_crop_is_a_window_of_its_picture_anywhere_in_the_margin(tmp_path: Path) -> None:
    whole = grid(200, 9)
    split = opened(tmp_path, whole, 6)
    crops = epoch(split, "shift")
    assert crops.shape == (200, 6, 6, 3)
    for crop in crops:
        top, left = corner(crop)
        assert np.array_equal(crop, whole[crop[0, 0, 2], top : top + 6, left : left + 6])
    assert {corner(crop) for crop in crops} == {(top, left) for top in range(4) for left in range(4)}


def test_flip_crops_and_mirrors_about_half(tmp_path: Path) -> None:
    crops = epoch(opened(tmp_path, grid(200, 9), 6), "flip")
    mirrored = crops[:, 0, 0, 1] > crops[:, 0, 5, 1]
    assert 60 < mirrored.sum() < 140
    upright = np.where(mirrored[:, None, None, None], crops[:, :, ::-1], crops)
    assert {corner(crop) for crop in upright} == {(top, left) for top in range(4) for left in range(4)}


def test_none_takes_the_centre_and_an_odd_margin_leaves_more_below_and_right(tmp_path: Path) -> None:
    split = opened(tmp_path, grid(20, 9), 6)
    assert {corner(crop) for crop in epoch(split, "none")} == {(1, 1)}
    assert np.array_equal(images.centre(grid(20, 9), 6), split.centred(0, 20))


@pytest.mark.parametrize("augment", ["none", "shift", "flip"])
@pytest.mark.parametrize("margin", [0, 3])
def test_the_same_seed_shows_the_same_and_another_one_other_pictures(tmp_path: Path, augment: str, margin: int) -> None:
    split = opened(tmp_path, grid(40, 16), 16 - margin)
    assert np.array_equal(epoch(split, augment, 3), epoch(split, augment, 3))
    assert not np.array_equal(epoch(split, augment, 3), epoch(split, augment, 4))


@pytest.mark.parametrize("encoding", ["raw", "jpeg"])
def test_validation_is_shown_in_order_by_its_centres(tmp_path: Path, encoding: str) -> None:
    split = opened(tmp_path, grid(30, 9), 6, encoding=encoding)
    shown = torch.cat([part for part, _ in batches.Batches(split, CPU).in_order()])
    assert np.array_equal(shown.permute(0, 2, 3, 1).round().byte().numpy(), split.take(np.arange(30))[:, 1:7, 1:7])


def test_validation_of_several_batches_has_each_picture_with_its_own_label(tmp_path: Path) -> None:
    pixels = grid(300, 4)  # their blue begins anew at 256
    labels = [index // 256 for index in range(300)]
    split = open_split(
        pictures.split(tmp_path / "s", pixels, labels, ["a", "b"], mean=[0.0] * 3, deviation=[1 / 255] * 3)
    )
    shown = list(batches.Batches(split, CPU).in_order())
    assert [len(part) for part, _ in shown] == [256, 44]
    assert torch.cat([part[:, 2, 0, 0] for part, _ in shown]).round().tolist() == [*range(256), *range(44)]
    assert torch.cat([part for _, part in shown]).tolist() == labels


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
@pytest.mark.parametrize("augment", batches.AUGMENTATIONS)
@pytest.mark.parametrize("margin", [0, 3])
def test_a_gpu_is_shown_the_same_pictures_as_a_cpu(tmp_path: Path, augment: str, margin: int) -> None:
    split = opened(tmp_path, grid(46, 16), 16 - margin)
    shown = [
        batches.Batches(split, torch.device(name)).shuffled(10, augment, torch.Generator().manual_seed(1))
        for name in ("cpu", "cuda")
    ]
    for (pixels, labels), (there, labels_there) in zip(*shown, strict=True):
        assert torch.allclose(pixels, there.cpu())
        assert torch.equal(labels, labels_there.cpu())


def test_without_a_margin_pixels_are_shifted_and_none_invented(tmp_path: Path) -> None:
    whole = grid(100, 20)
    moved = epoch(opened(tmp_path, whole, 20), "shift")
    rows, columns = moved[:, 10, 10, 0], moved[:, 10, 10, 1]
    assert set(rows.tolist()) == set(columns.tolist()) == {8, 9, 10, 11, 12}
    assert int(moved[..., :2].max()) == 19


def test_flip_without_a_margin_shifts_and_mirrors() -> None:
    source = torch.arange(20).expand(100, 3, 20, 20)
    moved = batches.augmented(source, *batches.drawn(100, 20, "flip", False, torch.Generator().manual_seed(0)))
    mirrored = moved[:, 0, 0, 5] > moved[:, 0, 0, 15]
    assert 25 < mirrored.sum() < 75
    assert len({int(picture[0, 0, 10]) for picture in moved}) > 5


def test_an_epoch_shows_each_picture_at_most_once_with_its_own_label(tmp_path: Path) -> None:
    pixels = grid(45, 8)
    labels = [index % 2 for index in range(45)]
    shared = {"mean": [0.0] * 3, "deviation": [1 / 255] * 3}
    split = open_split(pictures.split(tmp_path / "s", pixels, labels, ["a", "b"], shard_bytes=2000, **shared))
    shown = list(batches.Batches(split, CPU).shuffled(8, "none", torch.Generator().manual_seed(1)))
    numbers = torch.cat([part[:, 2, 0, 0] for part, _ in shown]).round().long().tolist()
    assert len(set(numbers)) == len(numbers) == 40
    assert torch.cat([part for _, part in shown]).tolist() == [number % 2 for number in numbers]


def test_the_way_of_each_batch_to_the_device_is_timed_apart(tmp_path: Path) -> None:
    laps: list[str] = []
    shown = batches.Batches(opened(tmp_path, grid(40, 8), 8), CPU).shuffled(
        10, "none", torch.Generator(), first=1, lap=laps.append
    )
    for _ in shown:
        laps.append("step")
    assert laps == ["data_wait", "transfer", "step"] * 3


def test_an_epoch_that_is_left_early_ends_its_reader(tmp_path: Path) -> None:
    import threading

    shown: Iterator[object] = batches.Batches(opened(tmp_path, grid(40, 8), 8), CPU).shuffled(
        4, "none", torch.Generator()
    )
    next(shown)
    assert any(thread.name.startswith("reading") for thread in threading.enumerate())
    shown.close()  # type: ignore[attr-defined]
    assert not any(thread.name.startswith("reading") for thread in threading.enumerate())


def test_a_row_that_cannot_be_read_is_refused_where_the_batch_is_asked_for(tmp_path: Path) -> None:
    split = opened(tmp_path, grid(40, 8), 8, encoding="jpeg")
    pictures.forge(split.folder, lambda content: content.replace(b"\xff\xd8\xff", b"\xff\xd9\xff"))
    with pytest.raises(Refusal, match=r"row \d+ is no readable JPEG"):
        epoch(open_split(split.folder), "none")


def test_an_unknown_augmentation_is_an_error() -> None:
    with pytest.raises(ValueError, match="cutmix"):
        batches.drawn(1, 4, "cutmix", False, torch.Generator())


@pytest.mark.parametrize("augment", ["none", "shift", "flip"])
@pytest.mark.parametrize("margin", [0, 3])
@pytest.mark.parametrize("sampled", ["shuffled", "balanced"])
def test_a_resumed_epoch_shows_the_rest_of_it_as_it_would_have_been(
    tmp_path: Path, augment: str, margin: int, sampled: str
) -> None:
    shown = batches.Batches(opened(tmp_path, grid(46, 16), 16 - margin), CPU)
    whole, rest = torch.Generator().manual_seed(5), torch.Generator().manual_seed(5)
    expected = [part for part, _ in shown.shuffled(10, augment, whole, sampled)]
    resumed = [part for part, _ in shown.shuffled(10, augment, rest, sampled, first=3)]
    assert len(resumed) == 1
    assert torch.equal(resumed[0], expected[3])
    assert torch.equal(whole.get_state(), rest.get_state())


def test_a_resumed_epoch_does_not_read_what_it_has_shown(tmp_path: Path) -> None:
    """Every JPEG is damaged: reading one would be refused."""
    split = opened(tmp_path, grid(40, 8), 8, encoding="jpeg")
    pictures.forge(split.folder, lambda content: content.replace(b"\xff\xd8\xff", b"\xff\xd9\xff"))
    shown = batches.Batches(open_split(split.folder), CPU)
    assert not list(shown.shuffled(10, "none", torch.Generator(), first=4))
