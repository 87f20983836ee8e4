"""Pictures of a data set: what they show, under which names, and that nothing in a name can break them."""

from __future__ import annotations

import io
import json
import re
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from preparation import drawings, plots, sheets
from preparation.items import Item, Source

from pipeline.report.pictures import NAME
from pipeline.report.sections import PICTURES, fits

SVG = "{http://www.w3.org/2000/svg}"
TILE = drawings.LARGE_TILE


@dataclass
class Staged:
    """Squares that lie in memory; the n-th pixel of the n-th square tells which one it is."""

    squares: NDArray[np.uint8]
    width: NDArray[np.int32]
    height: NDArray[np.int32]

    @property
    def size(self) -> int:
        return self.squares.shape[1]

    def pixels(self, indices: Any) -> NDArray[np.uint8]:
        return self.squares[indices]


@dataclass
class Diagnosis:
    splits: NDArray[np.int8]
    pairs: list[tuple[int, int]] = field(default_factory=list)


def data_set(
    classes: tuple[str, ...], per_class: int = 10, size: int = 32, seed: int = 0
) -> tuple[Source, Staged, Diagnosis]:
    """Noise of a colour for each class; six of ten pictures are for training, two each for validation and test."""
    random = np.random.default_rng(seed)
    items = [Item(f"{label:03d}/{n:04d}.png", label) for label in range(len(classes)) for n in range(per_class)]
    colours = random.integers(40, 216, (len(classes), 1, 1, 3))
    noise = random.integers(-30, 31, (len(items), size, size, 1))
    squares = np.clip(np.repeat(colours, per_class, axis=0) + noise, 0, 255).astype(np.uint8)
    sides = random.integers(200, 600, (2, len(items))).astype(np.int32)
    splits = np.tile(np.array([0, 0, 0, 1, 2], dtype=np.int8), len(items) // 5 + 1)[: len(items)]
    source = Source("imagefolder", classes, items, lambda index: b"", None, (), "0" * 64)
    return source, Staged(squares, *sides), Diagnosis(splits)


def words(svg: bytes | str) -> list[str]:
    """What is written on a chart; the whole of a shortened name stands in a title before it."""
    elements = ElementTree.fromstring(svg).iter(f"{SVG}text")
    return [(element.text or "") + "".join(child.tail or "" for child in element) for element in elements]


def opened(path: Path) -> Image.Image:
    return Image.open(io.BytesIO(path.read_bytes()))


def files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_what_is_drawn_is_named_and_nothing_else_lies_there(tmp_path: Path) -> None:
    source, staged, diagnosis = data_set(("cat", "dog"))
    diagnosis.pairs = [(0, 1)]
    pictures = drawings.draw(tmp_path, source, staged, diagnosis, 28)
    assert pictures == {
        "classes": ["classes.svg"],
        "sizes": "sizes.svg",
        "contact": ["contact/000-cat.jpg", "contact/001-dog.jpg"],
        "duplicates": [
            {
                "file": "duplicates/00.jpg",
                "names": ["000/0000.png", "000/0001.png"],
                "classes": ["cat", "cat"],
                "places": ["train", "train"],
            }
        ],
    }
    assert set(files(tmp_path)) == {"classes.svg", "sizes.svg", "duplicates/00.jpg", *pictures["contact"]}


def test_what_is_drawn_is_what_the_report_reads(tmp_path: Path) -> None:
    source, staged, diagnosis = data_set(("Gänseblümchen", "犬", "../.."))
    diagnosis.pairs = [(0, 25)]
    pictures = drawings.draw(tmp_path, source, staged, diagnosis, 28)
    assert fits(json.loads(json.dumps(pictures)), PICTURES)
    assert all(NAME.fullmatch(name) for name in files(tmp_path))
    staged.width[:] = staged.height[:] = 40
    assert fits(drawings.draw(tmp_path, source, staged, diagnosis, 28), PICTURES)


def test_the_same_data_set_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("first", "second"):
        source, staged, diagnosis = data_set(("cat", "dog"))
        diagnosis.pairs = [(0, 1), (2, 13)]
        drawings.draw(tmp_path / name, source, staged, diagnosis, 28)
        drawings.samples(tmp_path / name / "samples", source, staged, diagnosis.splits)
    assert files(tmp_path / "first") == files(tmp_path / "second")


def test_pictures_of_an_earlier_run_are_gone(tmp_path: Path) -> None:
    source, staged, diagnosis = data_set(tuple(f"class {n}" for n in range(60)), per_class=5, size=8)
    diagnosis.pairs = [(0, 1)]
    drawings.draw(tmp_path, source, staged, diagnosis, 8)
    drawings.samples(tmp_path / "samples", source, staged, diagnosis.splits)
    assert "classes-2.svg" in files(tmp_path)
    source, staged, diagnosis = data_set(("cat", "dog"))
    pictures = drawings.draw(tmp_path, source, staged, diagnosis, 28)
    drawings.samples(tmp_path / "samples", source, staged, diagnosis.splits)
    left = {name for name in files(tmp_path) if not name.startswith("samples/")}
    assert left == {"classes.svg", "sizes.svg", *pictures["contact"]}
    assert {name.rpartition("_")[0] for name in files(tmp_path / "samples")} == {"cat", "dog"}


# the chart of classes


def test_bars_are_as_long_as_their_counts_and_stand_one_after_the_other() -> None:
    (svg,) = plots.class_charts(("cat", "dog"), np.array([[600, 60], [200, 20], [200, 0]]))
    bars = [rect.attrib for rect in ElementTree.fromstring(svg).iter(f"{SVG}rect") if rect.get("height") == "18"]
    assert [bar["class"] for bar in bars] == ["s0", "s1", "s2", "s0", "s1"]
    assert [round(float(bar["width"]) + 1) for bar in bars] == [95, 32, 32, 10, 3]
    assert float(bars[1]["x"]) == pytest.approx(float(bars[0]["x"]) + float(bars[0]["width"]) + 1, abs=0.2)
    assert words(svg) == ["train", "validation", "test", "cat", "1,000", "dog", "80"]


@pytest.mark.parametrize(("number", "charts"), [(2, 1), (45, 1), (46, 2), (133, 3), (200, 5)])
def test_every_class_has_a_row_in_charts_of_equal_length(number: int, charts: int) -> None:
    names = tuple(f"breed {n}" for n in range(number))
    drawn = plots.class_charts(names, np.ones((3, number), dtype=np.int64))
    rows = [sum(text.startswith("breed") for text in words(svg)) for svg in drawn]
    assert (len(drawn), sum(rows)) == (charts, number)
    assert max(rows) - min(rows) < len(drawn)
    assert max(rows) <= plots.CHART_ROWS


def test_of_very_many_classes_the_largest_and_the_smallest_are_drawn() -> None:
    counts = np.zeros((3, 1000), dtype=np.int64)
    counts[0] = np.arange(1000)[::-1]
    drawn = plots.class_charts(tuple(f"c{n}" for n in range(1000)), counts)
    shown = [text for svg in drawn for text in words(svg) if re.fullmatch(r"c\d+", text)]
    assert shown == [f"c{n}" for n in (*range(100), *range(900, 1000))]
    assert "the 100 largest of 1,000 classes" in words(drawn[0])
    assert "the 100 smallest of 1,000 classes" in words(drawn[-1])


def test_pictures_that_the_doctor_dropped_are_not_counted(tmp_path: Path) -> None:
    source, staged, diagnosis = data_set(("cat", "dog"))
    diagnosis.splits[:4] = -1
    drawings.draw(tmp_path, source, staged, diagnosis, 28)
    assert {"6", "10"} <= set(words((tmp_path / "classes.svg").read_bytes()))


@given(st.text(max_size=80))
@settings(max_examples=60, deadline=None)
def test_any_class_name_gives_a_well_formed_chart(name: str) -> None:
    (svg,) = plots.class_charts((name, "</text><script>"), np.ones((3, 2), dtype=np.int64))
    root = ElementTree.fromstring(svg.encode())
    assert {element.tag.removeprefix(SVG) for element in root.iter()} <= {"svg", "style", "rect", "text", "title"}
    titles = [element.text for element in root.iter(f"{SVG}title")]
    assert words(svg)[3] == plots.printable(name) or titles == [plots.printable(name)]


def test_a_chart_knows_light_and_dark_mode() -> None:
    svg = plots.class_charts(("a", "b"), np.ones((3, 2), dtype=np.int64))[0]
    assert "prefers-color-scheme:dark" in svg
    assert 'class="card"' in svg


# the chart of sizes


def test_a_dot_stands_for_each_size_and_grows_with_its_pictures() -> None:
    svg = plots.size_chart(np.array([300, 300, 400], np.int32), np.array([200, 200, 500], np.int32), 250)
    dots = [circle.attrib for circle in ElementTree.fromstring(svg).iter(f"{SVG}circle")]
    assert len(dots) == 2
    assert float(dots[0]["r"]) > float(dots[1]["r"])
    assert float(dots[0]["cx"]) < float(dots[1]["cx"])
    assert float(dots[0]["cy"]) > float(dots[1]["cy"])
    assert "image_size 250" in words(svg)


sides = st.integers(min_value=1, max_value=60_000)


@given(st.lists(st.tuples(sides, sides), min_size=2, max_size=30), st.integers(min_value=8, max_value=1024))
@settings(max_examples=100, deadline=None)
def test_every_size_lies_inside_the_chart(sizes: list[tuple[int, int]], image_size: int) -> None:
    width, height = np.array(sizes, dtype=np.int32).T
    root = ElementTree.fromstring(plots.size_chart(width, height, image_size))
    dots = [circle.attrib for circle in root.iter(f"{SVG}circle")]
    assert len(dots) == len(set(sizes))
    assert all(plots.LEFT <= float(dot["cx"]) <= plots.WIDTH - plots.RIGHT for dot in dots)
    assert all(plots.TOP <= float(dot["cy"]) <= plots.HEIGHT - plots.BOTTOM for dot in dots)


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (480, 520, {"480", "490", "500", "510", "520"}),
        (100, 20_000, {"100", "1,000", "10,000"}),
        (10, 200, {"10", "20", "50", "100", "200"}),
        (32, 33, {"32", "33"}),
    ],
)
def test_sizes_that_spread_have_logarithmic_axes(low: int, high: int, ticks: set[str]) -> None:
    ends = np.array([low, high], np.int32)
    assert ticks <= set(words(plots.size_chart(ends, ends, 8)))


def test_of_very_many_sizes_some_are_drawn_and_the_chart_says_so() -> None:
    width = np.arange(100, 8100, dtype=np.int32)
    svg = plots.size_chart(width, width[::-1], 224)
    assert svg.count("<circle") == plots.MOST_SIZES
    assert words(svg)[0].startswith("5,000 of 8,000 sizes of 8,000 pictures")


def test_unreadable_pictures_have_no_size(tmp_path: Path) -> None:
    source, staged, diagnosis = data_set(("cat", "dog"))
    staged.width[:] = staged.height[:] = 40
    staged.width[3] = staged.height[3] = 0
    pictures = drawings.draw(tmp_path, source, staged, diagnosis, 28)
    assert pictures["size"] == [40, 40]
    assert "sizes" not in pictures
    staged.width[:] = 0
    assert not {"size", "sizes"} & set(drawings.draw(tmp_path, source, staged, diagnosis, 28))


# contact sheets and pairs


@pytest.mark.parametrize(("number", "columns", "rows"), [(1, 1, 1), (8, 8, 1), (10, 5, 2), (24, 8, 3)])
def test_a_sheet_has_rows_of_equal_length(number: int, columns: int, rows: int) -> None:
    sheet = Image.open(io.BytesIO(sheets.contact(np.zeros((number, 256, 256, 3), np.uint8), TILE)))
    step = TILE + sheets.GAP
    assert sheet.size == (columns * step + sheets.GAP, rows * step + sheets.GAP)


@pytest.mark.parametrize(("side", "shown"), [(256, 96), (97, 96), (96, 96), (50, 50), (32, 96), (28, 84), (8, 96)])
def test_small_squares_are_enlarged_by_whole_numbers(side: int, shown: int) -> None:
    square = np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8)
    tile = np.asarray(sheets.fitted(square, 96))
    assert tile.shape == (shown, shown, 3)
    if side <= 96:
        assert (tile[:: shown // side, :: shown // side] == square).all()


def test_a_sheet_spreads_over_its_class_and_leaves_out_what_was_dropped(tmp_path: Path) -> None:
    source, staged, diagnosis = data_set(("cat", "dog"), per_class=100, size=96)
    staged.squares[:] = np.arange(200, dtype=np.uint8)[:, None, None, None]
    diagnosis.splits[50:100] = -1
    drawings.draw(tmp_path, source, staged, diagnosis, 84)
    sheet = np.asarray(opened(tmp_path / "contact/000-cat.jpg"))
    step = TILE + sheets.GAP
    shown = sheet[sheets.GAP + TILE // 2 :: step, sheets.GAP + TILE // 2 :: step, 0].ravel().astype(int)
    assert len(shown) == drawings.SHEET_PICTURES
    assert np.abs(shown - np.linspace(0, 49, 24)).max() < 3


def test_a_class_without_pictures_has_no_sheet(tmp_path: Path) -> None:
    source, staged, diagnosis = data_set(("cat", "dog"))
    diagnosis.splits[:10] = -1
    assert drawings.draw(tmp_path, source, staged, diagnosis, 28)["contact"] == ["contact/001-dog.jpg"]


def test_at_most_200_classes_have_sheets_and_samples(tmp_path: Path) -> None:
    source, staged, diagnosis = data_set(tuple(f"c{n}" for n in range(210)), per_class=5, size=8)
    pictures = drawings.draw(tmp_path, source, staged, diagnosis, 8)
    drawings.samples(tmp_path / "samples", source, staged, diagnosis.splits)
    assert pictures["contact"][-1] == "contact/199-c199.jpg"
    assert len(pictures["contact"]) == len(files(tmp_path / "samples")) == 200


def test_a_pair_lies_side_by_side_and_says_what_became_of_both(tmp_path: Path) -> None:
    source, staged, diagnosis = data_set(("cat", "dog"), size=sheets.PAIR_TILE)
    diagnosis.pairs = [(0, 14), (1, 2)]
    diagnosis.splits[[0, 14]] = [-1, 2]
    first, second = drawings.draw(tmp_path, source, staged, diagnosis, 126)["duplicates"]
    assert first["names"] == ["000/0000.png", "001/0004.png"]
    assert (first["classes"], first["places"]) == (["cat", "dog"], ["dropped", "test"])
    pixels = np.asarray(opened(tmp_path / first["file"])).astype(int)
    left, right = pixels[sheets.GAP :, sheets.GAP :], pixels[sheets.GAP :, 2 * sheets.GAP + sheets.PAIR_TILE :]
    for half, row in ((left, 0), (right, 14)):
        tile = half[: sheets.PAIR_TILE, : sheets.PAIR_TILE]
        assert np.abs(tile.mean((0, 1)) - staged.squares[row].mean((0, 1))).max() < 3
    assert second["file"] == "duplicates/01.jpg"


# samples


def test_samples_are_test_pictures_as_stored(tmp_path: Path) -> None:
    source, staged, diagnosis = data_set(("cat", "dog"), per_class=20)
    drawings.samples(tmp_path, source, staged, diagnosis.splits)
    assert set(files(tmp_path)) == {f"{name}_{n}.png" for name in ("cat", "dog") for n in range(3)}
    assert (np.asarray(opened(tmp_path / "dog_1.png")) == staged.squares[29]).all()


def test_a_class_without_test_pictures_has_no_samples(tmp_path: Path) -> None:
    source, staged, diagnosis = data_set(("cat", "dog"))
    diagnosis.splits[:10] = 0
    drawings.samples(tmp_path, source, staged, diagnosis.splits)
    assert {name.rpartition("_")[0] for name in files(tmp_path)} == {"dog"}


@given(st.lists(st.text(max_size=70), min_size=1, max_size=12))
@settings(max_examples=100, deadline=None)
def test_file_names_are_safe_and_differ_whatever_the_classes_are_called(classes: list[str]) -> None:
    names = drawings.file_names(tuple(classes))
    assert len({name.lower() for name in names}) == len(classes)
    assert all(re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9._-]*", name) for name in names)


@pytest.mark.parametrize(
    ("classes", "names"),
    [
        (("0", "1"), ["0", "1"]),
        (("a/b", "a b", "A-B"), ["a-b", "a-b-1", "A-B-2"]),
        (("a", "A", "a-1"), ["a", "A-1", "a-1-2"]),
        (("..", "犬", "猫"), ["class", "-", "--2"]),
    ],
)
def test_names_that_become_the_same_get_the_number_of_their_class(classes: tuple[str, ...], names: list[str]) -> None:
    assert drawings.file_names(classes) == names


@pytest.mark.parametrize(
    ("text", "letters", "short"),
    [("terrier", 7, "terrier"), ("terriers", 7, "ter…ers"), ("犬犬犬犬", 7, "犬…犬"), ("", 3, "")],
)
def test_a_long_name_loses_its_middle(text: str, letters: int, short: str) -> None:
    assert plots.shortened(text, letters) == short
