"""Pictures of a data set for people: charts of classes and sizes, a sheet of each class, pairs of the same, samples."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import images
import numpy as np
from numpy.typing import NDArray

from preparation import plots, sheets
from preparation.examination import DROPPED
from preparation.items import SPLITS, Source

if TYPE_CHECKING:
    from preparation.doctor import Diagnosis
    from preparation.staging import Staged

TEST = SPLITS.index("test")
SHEETS = 200  # contact sheets: one of each of the first classes
SHEET_PICTURES = 24
FEW_CLASSES, LARGE_TILE, SMALL_TILE = 30, 96, 56  # 200 sheets of small tiles are about 4 MB, 30 of large ones 1.5 MB
SAMPLED_CLASSES = 200
SAMPLES_PER_CLASS = 3
OURS = ("classes*.svg", "sizes.svg", "duplicates/*.jpg", "contact/*.jpg")
LONGEST_NAME = 60  # letters of a class in a file name


def draw(folder: Path, source: Source, staged: Staged, diagnosis: Diagnosis, image_size: int) -> dict[str, Any]:
    """Which pictures were drawn, by their names below `folder`: the key "pictures" of dataset.json.

    `size` stands for the chart of sizes where all originals have one; `duplicates` is there only if there are any.
    """
    for old in (path for pattern in OURS for path in folder.glob(pattern)):
        old.unlink()
    pictures: dict[str, Any] = {"classes": _draw_classes(folder, source, diagnosis.splits)}
    pictures |= _draw_sizes(folder, staged, image_size)
    pictures["contact"] = _draw_contact(folder, source, staged, diagnosis.splits)
    if diagnosis.pairs:
        numbers = range(len(diagnosis.pairs))
        pictures["duplicates"] = [_draw_pair(folder, source, staged, diagnosis, number) for number in numbers]
    return pictures


def samples(folder: Path, source: Source, staged: Staged, splits: NDArray[np.int8]) -> None:
    """A few test pictures a class as stored, `<class>_<n>.png`, for `darkroom predict`.

    The endpoint cuts the centre out of any square, so of these it sees just what evaluation saw.
    """
    for old in folder.glob("*.png"):
        old.unlink()
    classes = source.classes[:SAMPLED_CLASSES]
    by_class = _by_class(source, splits == TEST)
    for label, name in enumerate(file_names(classes)):
        for number, row in enumerate(by_class[label][:SAMPLES_PER_CLASS]):
            _write(folder, f"{name}_{number}.png", images.png(staged.pixels([row])[0]))


def file_names(classes: tuple[str, ...]) -> list[str]:
    """A file name for each class, different ones even where a file system does not tell capitals from small letters."""
    found: list[str] = []
    taken: set[str] = set()
    for label, name in enumerate(classes):
        safe = plain = safe_name(name)
        while safe.lower() in taken:
            safe = f"{plain}-{label}" if safe == plain else f"{safe}-"
        taken.add(safe.lower())
        found.append(safe)
    return found


def safe_name(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]", "-", name[:LONGEST_NAME]).lstrip(".") or "class"


def _draw_classes(folder: Path, source: Source, splits: NDArray[np.int8]) -> list[str]:
    labels = np.array([item.label for item in source.items], dtype=np.int64)
    number = len(source.classes)
    counts = np.stack([np.bincount(labels[splits == split], minlength=number) for split in range(len(SPLITS))])
    charts = plots.class_charts(source.classes, counts)
    names = ["classes.svg", *(f"classes-{part}.svg" for part in range(2, len(charts) + 1))]
    return [_write(folder, name, chart.encode()) for name, chart in zip(names, charts, strict=True)]


def _draw_sizes(folder: Path, staged: Staged, image_size: int) -> dict[str, Any]:
    readable = (staged.width > 0) & (staged.height > 0)
    width, height = staged.width[readable], staged.height[readable]
    if not len(width):
        return {}
    if (width == width[0]).all() and (height == height[0]).all():
        return {"size": [int(width[0]), int(height[0])]}
    return {"sizes": _write(folder, "sizes.svg", plots.size_chart(width, height, image_size).encode())}


def _draw_contact(folder: Path, source: Source, staged: Staged, splits: NDArray[np.int8]) -> list[str]:
    tile = LARGE_TILE if len(source.classes) <= FEW_CLASSES else SMALL_TILE
    names = []
    for label, rows in enumerate(_by_class(source, splits != DROPPED)[:SHEETS]):
        if len(rows):
            spread = np.linspace(0, len(rows) - 1, min(len(rows), SHEET_PICTURES)).round().astype(np.int64)
            name = f"contact/{label:03d}-{safe_name(source.classes[label])}.jpg"
            names.append(_write(folder, name, sheets.contact(staged.pixels(rows[spread]), tile)))
    return names


def _draw_pair(folder: Path, source: Source, staged: Staged, diagnosis: Diagnosis, number: int) -> dict[str, Any]:
    """`places` are the splits in which the two ended, or "dropped"."""
    rows, splits = diagnosis.pairs[number], diagnosis.splits
    squares = staged.pixels(np.array(rows))
    items = [source.items[row] for row in rows]
    return {
        "file": _write(folder, f"duplicates/{number:02d}.jpg", sheets.pair(squares[0], squares[1])),
        "names": [item.name for item in items],
        "classes": [source.classes[item.label] for item in items],
        "places": ["dropped" if splits[row] == DROPPED else SPLITS[splits[row]] for row in rows],
    }


def _by_class(source: Source, kept: NDArray[np.bool_]) -> list[NDArray[np.int64]]:
    """The rows of each class, in order of name."""
    rows = np.flatnonzero(kept)
    labels = np.array([source.items[row].label for row in rows], dtype=np.int64)
    order = rows[np.argsort(labels, kind="stable")]
    return np.split(order, np.cumsum(np.bincount(labels, minlength=len(source.classes)))[:-1])


def _write(folder: Path, name: str, content: bytes) -> str:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return name
