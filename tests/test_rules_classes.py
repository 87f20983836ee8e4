"""Rules over classes: how often the network saw each one, and what it takes its pictures for."""

from __future__ import annotations

from typing import Any

import pytest
from health.rules.classes import class_imbalance, confusion
from health.verdicts import ISSUES_FOUND, NO_ISSUES_FOUND, NOT_EVALUATED
from health.view import Records

GOOD = [[95, 5], [5, 95]]


def classes(*shown: list[int], matrix: list[list[int]] | None = None, mode: str = "validation") -> Records:
    rows: list[dict[str, Any]] = [
        {"step": 10 * place, "epoch": place, "mode": "train", "shown": each} for place, each in enumerate(shown, 1)
    ]
    if matrix:
        shown_there = [sum(row) for row in matrix]
        rows.append({"step": 99, "epoch": 1, "mode": mode, "shown": shown_there, "confusion": matrix})
    return Records.of(classes=rows)


def test_classes_that_are_shown_too_rarely_are_named() -> None:
    verdict = class_imbalance(classes([500, 100, 40]))
    assert (verdict.status, verdict.step, verdict.tensor, verdict.points) == (ISSUES_FOUND, 10, "class 2", 640)
    assert (verdict.value, verdict.threshold) == (12.5, 10.0)
    assert "Class 0 was shown 500 times" in verdict.message


def test_a_class_that_is_never_shown_is_infinitely_rare() -> None:
    verdict = class_imbalance(classes([500, 0]))
    assert (verdict.status, verdict.value) == (ISSUES_FOUND, float("inf"))
    assert "never class 1" in verdict.message


def test_what_is_shown_is_added_up_over_epochs() -> None:
    assert class_imbalance(classes([500, 10], [10, 500])).status == NO_ISSUES_FOUND


def test_labels_have_to_be_seen_first() -> None:
    verdict = class_imbalance(classes([450, 1]))
    assert (verdict.status, verdict.points) == (NOT_EVALUATED, 451)
    assert class_imbalance(classes([450, 1]), samples=451).status == ISSUES_FOUND
    assert class_imbalance(Records.of()).status == NOT_EVALUATED


def test_validation_s_classes_are_not_what_the_network_was_shown() -> None:
    assert class_imbalance(classes(matrix=[[1000, 0], [0, 1]])).status == NOT_EVALUATED


def test_a_class_that_stays_behind_is_an_issue_and_a_network_that_knows_nothing_yet_is_none() -> None:
    behind = [[90, 10], [16, 4]]
    verdict = class_imbalance(classes([300, 300], matrix=behind))
    assert (verdict.status, verdict.step, verdict.tensor, verdict.threshold) == (ISSUES_FOUND, 99, "class 1", 0.7)
    assert verdict.value == pytest.approx(0.8)
    assert class_imbalance(classes([300, 300], matrix=[[0, 100], [50, 50]])).status == NO_ISSUES_FOUND
    assert class_imbalance(classes([300, 300], matrix=[[90, 10], [4, 0]])).status == NO_ISSUES_FOUND  # four pictures


def test_a_good_matrix_is_fine() -> None:
    verdict = confusion(classes(matrix=GOOD))
    assert (verdict.status, verdict.points) == (NO_ISSUES_FOUND, 200)
    assert "at least 95 %" in verdict.message


def test_a_class_that_others_are_taken_for_is_named_by_its_column() -> None:
    verdict = confusion(classes(matrix=[[100, 0, 40], [0, 100, 0], [0, 0, 60]]))
    assert (verdict.status, verdict.step, verdict.tensor, verdict.threshold) == (ISSUES_FOUND, 99, "class 2", 0.9)
    assert verdict.value == pytest.approx(0.6)


def test_a_pair_of_classes_is_named_where_the_diagonal_is_allowed() -> None:
    verdict = confusion(classes(matrix=[[80, 5], [20, 95]]), min_diag=0.5)
    assert (verdict.status, verdict.tensor, verdict.threshold) == (ISSUES_FOUND, "class 0", 0.1)
    assert verdict.value == pytest.approx(0.2)
    assert "are of class 1" in verdict.message


def test_a_class_that_is_never_predicted_is_not_judged() -> None:
    assert confusion(classes(matrix=[[95, 0], [5, 0]])).status == NO_ISSUES_FOUND


def test_the_latest_validation_is_judged_and_training_where_there_is_none() -> None:
    records = classes(matrix=[[1, 9], [9, 1]])
    later = [*records.classes, {"step": 200, "epoch": 2, "mode": "validation", "confusion": GOOD}]
    training = [*later, {"step": 300, "epoch": 3, "mode": "train", "confusion": [[1, 9], [9, 1]]}]
    assert confusion(records._replace(classes=training)).status == NO_ISSUES_FOUND
    assert confusion(classes(matrix=[[1, 9], [9, 1]], mode="train")).status == ISSUES_FOUND
    assert confusion(classes([300, 300])).status == NOT_EVALUATED
