"""Answers by Accept header: what is chosen, and what each kind looks like."""

from __future__ import annotations

import csv
import io
import json

import numpy as np
import pytest
from serving import accepting, answers
from serving.answers import CSV, JSON, LINES, NPY, Predictions
from serving.bad_request import BadRequest

ROWS = np.array([[0.2, 0.7, 0.1], [0.4, 0.3, 0.3]], dtype=np.float32)
TWO = Predictions(ROWS, ("blue", 'gr"een,', "réd"), 2, 0.5)


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        (None, JSON),
        ("", JSON),
        ("*/*", JSON),
        ("application/*", JSON),
        ("text/*", CSV),
        ("text/csv", CSV),
        ("TEXT/CSV ; q=0.5", CSV),
        ("application/x-npy, */*;q=0.1", NPY),
        ("text/csv;q=0.3, application/jsonlines;q=0.9", LINES),
        ("application/json;q=0.2, text/csv;q=0.2", JSON),
        ("text/html, application/xhtml+xml, application/xml;q=0.9, */*;q=0.8", JSON),
        ("application/json;q=0, */*", LINES),
        ("application/*;q=0.1, application/x-npy;q=0.05, text/csv;q=0.01", JSON),
        ("text/csv;charset=utf-8;q=0.7, application/json;q=0.6", CSV),
        ("application/json;q=2, text/csv;q=0.1", CSV),  # no weight: as if it were not there
        ("nonsense, text/csv", CSV),
    ],
)
def test_the_highest_weight_wins_and_the_most_exact_range_says_it(accept: str | None, kind: str) -> None:
    assert accepting.chosen(accept) == kind


@pytest.mark.parametrize(
    "accept", ["text/html", "image/*", "*/*;q=0", "application/json;q=0", ";;;,,,", "a/b/c", "q=1"]
)
def test_what_nobody_can_give_is_406(accept: str) -> None:
    with pytest.raises(BadRequest, match="answers are application/json, application/jsonlines, text/csv") as caught:
        accepting.chosen(accept)
    assert caught.value.status == 406


def test_a_header_without_end_costs_nothing() -> None:
    assert accepting.chosen("text/csv," * 100_000) == CSV


def test_json_has_class_probability_doubt_and_the_most_probable_ones() -> None:
    first, second = json.loads(answers.body(TWO, JSON))["predictions"]
    top = [{"class": 'gr"een,', "probability": 0.7}, {"class": "blue", "probability": 0.2}]
    assert first == {**top[0], "unsure": False, "top": top}
    assert (second["class"], second["unsure"]) == ("blue", True)


def test_json_lines_are_the_same_entries() -> None:
    lines = answers.body(TWO, LINES).splitlines()
    assert [json.loads(line) for line in lines] == answers.entries(TWO)


def test_csv_quotes_names() -> None:
    rows = list(csv.reader(io.StringIO(answers.body(TWO, CSV).decode())))
    assert rows == [['gr"een,', "0.700000", "false"], ["blue", "0.400000", "true"]]


def test_npy_holds_every_class_in_the_order_of_the_card() -> None:
    assert np.array_equal(np.load(io.BytesIO(answers.body(TWO, NPY)), allow_pickle=False), ROWS)


def test_probabilities_that_are_none_are_no_answer() -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        answers.body(TWO._replace(rows=ROWS * np.float32("nan")), JSON)


def test_an_unknown_kind_is_a_mistake_of_ours() -> None:
    with pytest.raises(ValueError, match="is none of"):
        answers.body(TWO, "text/html")
