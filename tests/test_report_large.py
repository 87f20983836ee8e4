"""The page of 133 classes and 500 trials: what goes by mail, and that its figures are those of evaluation.json."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from breeds import CLASSES, THRESHOLD, breeds
from reported import ARN, Elements, words

from pipeline.client import Clients
from pipeline.control import outcome
from pipeline.report import write_report

MAIL = 5_000_000  # bytes


@pytest.fixture(scope="module")
def clients(tmp_path_factory: pytest.TempPathFactory) -> Clients:
    return breeds(tmp_path_factory.mktemp("breeds"))


@pytest.fixture(scope="module")
def page(clients: Clients) -> str:
    return Path(write_report(clients, ARN)).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def measured(clients: Clients) -> dict[str, Any]:
    found: dict[str, Any] = outcome.read_json(clients, "s3://bucket/evaluation/evaluation.json")
    return found


def part(page: str, name: str) -> str:
    return page.partition(f'<section id="{name}"')[2].partition("</section>")[0]


def rows(html: str) -> list[list[str]]:
    """Texts of the cells of each row in a table's body."""
    bodies = re.findall(r"<tr[^>]*>(.*?)</tr>", html.partition("<tbody>")[2].partition("</tbody>")[0], re.DOTALL)
    return [
        [words(cell).strip() for cell in re.findall(r"<t[hd][^>]*>(.*?)(?=<t[hd]|$)", row, re.DOTALL)] for row in bodies
    ]


def test_it_fits_into_a_mail(page: str) -> None:
    assert 4_000_000 < len(page.encode()) < MAIL
    assert page.count("<iframe") == 1


def test_accuracy_and_interval_are_those_of_evaluation_json(page: str, measured: dict[str, Any]) -> None:
    own, quality = measured["darkroom"], measured["multiclass_classification_metrics"]
    text = words(part(page, "accuracy"))
    low, high = own["accuracy_interval"]
    assert f"{100 * quality['accuracy']['value']:.2f} % of {own['count']} test pictures" in text
    assert f"{own['right']} right, {own['wrong']} wrong; 95 % between {100 * low:.2f} and {100 * high:.2f}" in text


def test_the_matrix_is_that_of_evaluation_json(page: str, measured: dict[str, Any]) -> None:
    matrix = measured["multiclass_classification_metrics"]["confusion_matrix"]
    shown = {row[0]: row[1:] for row in rows(part(page, "confusion"))}
    expected = {name: [str(count or "") for count in row.values()] for name, row in matrix.items()}
    assert shown == expected


def test_the_figures_of_each_class_are_those_of_evaluation_json(page: str, measured: dict[str, Any]) -> None:
    expected = [
        [row["class"], str(row["count"]), *(f"{100 * row[name]:.2f} %" for name in ("precision", "recall", "f1"))]
        for row in measured["darkroom"]["per_class"]
    ]
    assert rows(part(page, "classes")) == expected


def test_the_verdict_tells_gate_champion_and_what_to_type(page: str, measured: dict[str, Any]) -> None:
    text = words(part(page, "verdict"))
    champion = measured["darkroom"]["champion"]
    low, high = (f"{100 * each:+.2f}" for each in champion["interval"])
    accuracy = measured["multiclass_classification_metrics"]["accuracy"]["value"]
    assert f"passed accuracy {accuracy:.4f} ≥ {THRESHOLD} (Threshold)" in text
    assert f"{champion['verdict']} {100 * champion['difference']:+.2f} points" in text
    assert f"95 % between {low} and {high}" in text
    assert "leaks (1): move" in text
    assert 'darkroom approve 7 --group breeds --reason "…"' in text
    assert 'darkroom reject 7 --group breeds --reason "…"' in text


def test_every_cell_off_the_diagonal_leads_to_pictures_of_just_that_confusion(page: str) -> None:
    html = part(page, "confusion")
    links = re.findall(r'<td class="off"[^>]*><a href="#e(\d+)-(\d+)"', html)
    cells = re.findall(r'class="cell" id="e(\d+)-(\d+)".*?aria-label="([^"]*)".*?</div>', html, re.DOTALL)
    assert len(links) > 100
    assert {(one, other) for one, other, _ in cells} == set(links)
    for one, other, label in cells:
        assert (
            Elements(f'<p title="{label}">').attributes[0][1] == f"{CLASSES[int(one)]} taken for {CLASSES[int(other)]}"
        )


def test_names_with_html_in_them_are_shown(page: str) -> None:
    assert Elements(page).tags.count("script") == 1
    assert CLASSES[0] in "".join(Elements(page).text)
