"""The page's section on the data set: what was prepared, the doctor's findings, pictures."""

from __future__ import annotations

import base64
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reported import (
    ARN,
    EVIL,
    Elements,
    anything,
    definition,
    finished_run,
    put_archive,
    put_json,
    section,
    sources,
    words,
)

from pipeline.client import Clients
from pipeline.definition import Definition
from pipeline.report import write_report
from pipeline.report.collect import Run, collect
from pipeline.report.dataset import MEANINGS, view
from pipeline.report.pictures import BUDGET, LARGEST, Pictures
from pipeline.report.sections import DATASET, FINDING, is_ours

SVG = b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(3)</script></svg>'
JPEG = b"\xff\xd8\xff" + bytes(1000)


@pytest.fixture
def clients(tmp_path: Path) -> Clients:
    return finished_run(tmp_path)


def put_dataset(clients: Clients, **more: Any) -> None:
    counts = {"train": {"cat": 1200, "dog": 20}, "validation": {"cat": 3}, "test": {"cat": 3, "dog": 3}}
    body = {"classes": ["cat", "dog"], "counts": counts, **more}
    put_json(clients.storage, "s3://bucket/report/dataset.json", body)


def put_pictures(clients: Clients, **contents: bytes) -> dict[str, Any]:
    """The key "pictures" as entrypoints/drawings.py writes it, and the files that it names."""
    pair = {"names": [EVIL, "b.png"], "classes": ["cat", EVIL], "places": ["test", "dropped"]}
    files = {"classes.svg": SVG, "sizes.svg": SVG, "contact/000-cat.jpg": JPEG, "duplicates/00.jpg": JPEG}
    for name, content in {**files, **contents}.items():
        clients.storage.put_bytes(f"s3://bucket/report/{name}", content)
    return {
        "classes": ["classes.svg"],
        "sizes": "sizes.svg",
        "contact": ["contact/000-cat.jpg"],
        "duplicates": [{"file": "duplicates/00.jpg", **pair}],
    }


def data_section(clients: Clients) -> str:
    return section(clients, "Data")


def test_a_data_set_of_an_earlier_version_is_shown(clients: Clients) -> None:
    put_dataset(clients, findings=[{"finding": "ignored_files", "count": 1, "files": ["notes.txt"]}])
    text = words(data_section(clients))
    assert "ignored files" in text
    assert "notes.txt" in text
    assert "cat 1,200 3 3" in text


def test_a_data_set_without_findings_says_so(clients: Clients) -> None:
    put_dataset(clients, findings=[])
    assert "Nothing to complain about." in words(data_section(clients))


def test_what_was_prepared_from_what_is_told(clients: Clients) -> None:
    source = {"kind": "imagefolder", "digest": "ab" * 32}
    put_dataset(clients, source=source, image_size=224, stored_size=256, square="pad", encoding="jpeg")
    text = words(data_section(clients))
    for part in ("imagefolder", "ab" * 32, "squares of 224 × 224, cut out of 256 × 256, square: pad, encoding: jpeg"):
        assert part in text


def test_pictures_of_a_data_set_are_part_of_the_page_as_images_only(clients: Clients) -> None:
    put_dataset(clients, pictures=put_pictures(clients))
    section = data_section(clients)
    jpeg, svg = base64.b64encode(JPEG).decode(), base64.b64encode(SVG).decode()
    charts = [f"data:image/svg+xml;base64,{svg}"] * 2
    assert sources(section) == [*charts, *[f"data:image/jpeg;base64,{jpeg}"] * 2]
    assert not {"svg", "script", "object", "iframe", "embed"} & set(Elements(section).tags)
    assert "<script>alert(1)</script>" in words(section)
    assert f"cat or {EVIL}?" in words(section)


def test_a_picture_that_is_gone_is_left_out(clients: Clients) -> None:
    pictures = put_pictures(clients)
    for name in ("classes.svg", "duplicates/00.jpg"):
        clients.storage.delete(f"s3://bucket/report/{name}")
    put_dataset(clients, pictures=pictures)
    section = data_section(clients)
    assert len(sources(section)) == 2
    assert "Pairs that show" not in section
    assert 'class="bar"' in section


@pytest.mark.parametrize(
    "name", ["../evaluation/evaluation.json", "../secret.svg", "/etc/x.svg", "a/b.jpg", "x.html", "contact/.jpg", ""]
)
def test_only_pictures_of_the_report_folder_are_read(clients: Clients, name: str) -> None:
    if name:
        clients.storage.put_bytes(f"s3://bucket/report/{name.lstrip('/')}", SVG)
    clients.storage.put_bytes("s3://bucket/secret.svg", SVG)
    put_dataset(clients, pictures={"classes": [name], "contact": [name], "sizes": name})
    assert collect(clients, ARN).pictures.shown == {}


def test_a_huge_picture_is_not_read(clients: Clients) -> None:
    put_dataset(clients, pictures=put_pictures(clients, **{"sizes.svg": bytes(LARGEST)}))
    assert set(collect(clients, ARN).pictures.shown) == {"classes.svg", "duplicates/00.jpg", "contact/000-cat.jpg"}


def test_pictures_beyond_the_budget_are_counted_and_the_charts_come_first(clients: Clients) -> None:
    names = [f"contact/{number:03d}-c.jpg" for number in range(7)]
    pictures = put_pictures(clients, **dict.fromkeys(names, JPEG + bytes(2**20 // 3)))
    put_dataset(clients, pictures={**pictures, "contact": names})
    found = collect(clients, ARN).pictures
    assert list(found.shown) == ["classes.svg", "sizes.svg", "duplicates/00.jpg", *names[:4]]
    assert sum(map(len, found.shown.values())) < BUDGET
    assert found.left_out == names[4:]
    assert "3 more pictures would make this page too large; they lie in s3://bucket/report ." in words(
        data_section(clients)
    )


def test_pictures_of_a_training_job_of_somebody_else_are_not_looked_for(clients: Clients) -> None:
    clients.storage.delete("s3://bucket/report/dataset.json")
    assert collect(clients, ARN).pictures == Pictures()
    assert "<h2>Data</h2>" not in Path(write_report(clients, ARN)).read_text(encoding="utf-8")


def test_sheets_have_the_names_of_their_classes(clients: Clients) -> None:
    names = ["contact/000-cat.jpg", "contact/001-dog.jpg", "contact/099-other.jpg"]
    put_pictures(clients, **dict.fromkeys(names, JPEG))
    put_dataset(clients, pictures={"contact": names})
    captions = re.findall(r"<figcaption>([^<]*)</figcaption>", data_section(clients))
    assert captions == ["cat", "dog", "contact/099-other.jpg"]


@pytest.mark.parametrize(("count", "folded"), [(5, 0), (6, 1)])
def test_more_than_five_files_are_folded(clients: Clients, count: int, folded: int) -> None:
    files = [f"{number}.png" for number in range(count)]
    put_dataset(clients, findings=[{"finding": "unreadable", "action": "drop", "count": count, "files": files}])
    section = data_section(clients)
    assert section.count("<details>") == folded
    assert section.count("<li>") == count
    assert ("6 listed" in words(section)) == bool(folded)


def test_findings_are_told_with_what_the_doctor_knows_of_each_file(clients: Clients) -> None:
    groups = {"groups": [["a.png", "b.png"]], "splits": [["train", "test"]], "moved": 1}
    findings = [
        {"finding": "unreadable", "action": "drop", "count": 1, "files": ["c.png"], "reasons": ["cut short"]},
        {"finding": "odd_sizes", "action": "warn", "count": 1, "files": ["d.png", "e.png"], "sizes": ["9x900"]},
        {"finding": "leaks", "action": "move", "count": 2, **groups},
        {"finding": "conflicting_labels", "count": 2, "groups": [["f.png", "g.png"]], "classes": [["cat", "dog"]]},
        {"finding": "imbalance", "action": "warn", "count": 2, "classes": {"cat": 1200, "dog": 20}, "ratio": 60.0},
        {"finding": "classes_without_pictures", "split": "validation", "classes": ["dog"]},
        {"finding": "duplicates", "action": "warn", "count": 4000, "files": [], "copies": 2000, "left_out": 3000},
        {"finding": "something_new"},
    ]
    put_dataset(clients, findings=findings)
    text = words(data_section(clients))
    for part in (
        *("c.png: cut short", "d.png: 9x900", "e.png", "a.png (train) = b.png (test)", "1 moved"),
        *("f.png (cat) = g.png (dog)", "cat: 1,200", "60 times", "classes without a picture: validation"),
        *("copies: 2,000", "and 3,000 more", "something new"),
    ):
        assert part in text


def test_a_very_long_list_of_files_is_cut(clients: Clients) -> None:
    files = [f"{number}.png" for number in range(2500)]
    put_dataset(clients, findings=[{"finding": "duplicates", "files": files, "left_out": 10}])
    section = data_section(clients)
    assert section.count("<li>") == 1000
    assert "and 1,510 more" in words(section)


@pytest.mark.parametrize(("number", "folded"), [(20, 0), (21, 1)])
def test_counts_of_many_classes_are_folded(clients: Clients, number: int, folded: int) -> None:
    classes = [f"c{each}" for each in range(number)]
    put_dataset(clients, classes=classes, counts={"train": dict.fromkeys(classes, 5)})
    section = data_section(clients)
    assert section.count("<details>") == folded
    assert section.count("<tr><td") == number
    assert f"all {5 * number}" in words(section)


@pytest.mark.parametrize(("used", "shown"), [("balanced", True), ('"balanced"', True), ("none", False), (None, False)])
def test_class_weights_are_shown_where_training_used_them(clients: Clients, used: str | None, shown: bool) -> None:
    put_dataset(clients, class_weights=[0.5, 1.75])
    parameters = {"class_weights": used} if used else {}
    put_archive(clients.storage, "s3://bucket/j/output/output.tar.gz", {"hyperparameters": parameters})
    assert ("1.75" in words(data_section(clients))) == shown


named = {key.removesuffix("?"): anything for key in FINDING if key.endswith("?")}
findings = st.lists(st.fixed_dictionaries({"finding": st.sampled_from(sorted(MEANINGS))}, optional=named), max_size=2)
members = {key.removesuffix("?"): anything for key in DATASET if key != "findings?"}


@given(st.fixed_dictionaries({"findings": findings}, optional=members))
@settings(max_examples=150, deadline=None)
def test_a_dataset_json_of_any_content_is_shown_or_left_out(content: dict[str, Any]) -> None:
    kept = {"dataset": content} if is_ours("dataset", content) else {}
    shown = view(Run({}, Definition(definition()), [], {}, [], kept, {}, []))
    assert bool(shown) == bool(kept)
    assert len(shown.get("findings", ())) == len(content["findings"] if kept else ())
