"""The confusion matrix of the page: which classes it has, and which pictures its cells lead to."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reported import ARN, anything, finished_run

from pipeline.report import confusion
from pipeline.report.collect import Run, collect
from pipeline.report.confusion import LARGEST_MATRIX, MOST_CHARACTERS, view
from pipeline.report.sections import ERROR, is_ours


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return collect(finished_run(tmp_path_factory.mktemp("run")), ARN)


def evaluated(run: Run, matrix: dict[str, dict[str, int]], *pictures: Any, **more: Any) -> dict[str, Any]:
    section = {"errors": {"pictures": list(pictures)}, **more}
    return view(
        dataclasses.replace(
            run,
            evaluation={"multiclass_classification_metrics": {"confusion_matrix": matrix}},
            sections={"evaluation": section},
        )
    )


def error(actual: str, predicted: str, picture: str = "AAAA", kind: str = "png") -> dict[str, Any]:
    return {"name": f"{actual}.png", "actual": actual, "predicted": predicted, "probability": 0.9, kind: picture}


MATRIX = {"cat": {"cat": 5, "dog": 2}, "dog": {"cat": 1, "dog": 7}}


def test_a_cell_has_the_pictures_of_its_own_confusion(run: Run) -> None:
    found = evaluated(
        run, MATRIX, error("cat", "dog"), error("dog", "cat", "BBBB", "jpeg"), error("cat", "dog", "CC==")
    )
    names = {cell.name: [row.get("png", row.get("jpeg")) for row in cell.pictures] for cell in found["with_pictures"]}
    assert names == {"e0-1": ["AAAA", "CC=="], "e1-0": ["BBBB"]}
    assert (found["shown"], found["wrong"]) == (3, 3)


def test_a_cell_without_pictures_leads_nowhere(run: Run) -> None:
    found = evaluated(run, MATRIX, error("cat", "dog"))
    cells = {(row["class"], cell["class"]): cell["name"] for row in found["rows"] for cell in row["cells"]}
    assert cells == {("cat", "cat"): "", ("cat", "dog"): "e0-1", ("dog", "cat"): "", ("dog", "dog"): ""}


def test_a_cell_has_no_more_pictures_than_it_counts(run: Run) -> None:
    found = evaluated(run, MATRIX, *[error("dog", "cat")] * 3)
    assert [len(cell.pictures) for cell in found["with_pictures"]] == [1]


@pytest.mark.parametrize("bad", ["", '"><script>', "AAAA BBBB", "AAAA\n", "data:,x"])
def test_what_is_no_base64_is_no_picture(run: Run, bad: str) -> None:
    assert evaluated(run, MATRIX, error("cat", "dog", bad))["shown"] == 0


def test_pictures_beyond_the_room_are_left_out(run: Run) -> None:
    large = "A" * (MOST_CHARACTERS // 2)
    found = evaluated(run, MATRIX, error("cat", "dog", large), error("cat", "dog", large), worst=[error("dog", "cat")])
    assert len(found["worst"]) == 1
    assert found["shown"] == 1


def test_names_take_room_as_pictures_do(run: Run) -> None:
    long = {**error("cat", "dog"), "name": "n" * (MOST_CHARACTERS // 2)}
    assert evaluated(run, MATRIX, long, long, error("dog", "cat"))["shown"] == 2


def test_of_too_many_classes_those_with_most_errors_are_shown_in_their_order(run: Run) -> None:
    names = [f"c{number}" for number in range(LARGEST_MATRIX + 20)]
    matrix = {name: {name: 9, names[0]: 1 if number >= 20 else 0} for number, name in enumerate(names)}
    found = evaluated(run, matrix)
    assert found["chosen"] == names[20:]
    assert len(found["classes"]) == len(names)


def test_a_class_without_pictures_has_no_error(run: Run) -> None:
    found = evaluated(run, {"cat": {"cat": 0, "dog": 0}, "dog": {"cat": 1, "dog": 1}})
    assert [row["error"] for row in found["rows"]] == ["0", "0.500000"]


rows = st.fixed_dictionaries({}, optional={key.removesuffix("?"): anything for key in ERROR})


@given(st.fixed_dictionaries({}, optional={"errors": anything | st.fixed_dictionaries({"pictures": st.lists(rows)})}))
@settings(max_examples=60, deadline=None)
def test_errors_of_any_content_are_shown_or_left_out(content: dict[str, Any]) -> None:
    content = json.loads(json.dumps(content))
    kept = content if is_ours("evaluation", content) else {}
    listed = (kept.get("errors") or {}).get("pictures", [])
    shown, room = confusion.within(listed, MOST_CHARACTERS)
    assert len(shown) <= len(listed)
    assert 0 <= room <= MOST_CHARACTERS
