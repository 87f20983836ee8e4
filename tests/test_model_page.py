"""model.html: every value escaped, nothing loaded, links that lead to pictures."""

from __future__ import annotations

import base64
import re
from typing import Any

import images
import numpy as np
import pytest
from evaluation import calibration, metrics
from evaluation.page import LARGEST_MATRIX, page
from reported import COMPARED, EVIL, Elements, words

DARK, LIGHT = (base64.b64encode(images.png(np.full((8, 8, 3), each, np.uint8))).decode() for each in (40, 220))


def report(classes: tuple[str, ...] = (EVIL, "dog", "owl"), **more: Any) -> dict[str, Any]:
    """report/evaluation.json, as evaluate.py writes it."""
    labels = np.repeat(np.arange(len(classes)), 10)
    predicted = np.where(np.arange(len(labels)) % 10 == 0, (labels + 1) % len(classes), labels)
    matrix = metrics.confusion(labels, predicted, len(classes))
    table = metrics.per_class(matrix)
    bins = [each._asdict() for each in calibration.bins(np.full((len(labels), 2), 0.8), predicted == labels)]
    error = {"name": EVIL, "actual": classes[0], "predicted": classes[1], "probability": 0.91, "png": DARK}
    per_class = [
        {
            "class": name,
            "count": 10,
            **{figure: float(table[figure][label]) for figure in ("precision", "recall", "f1")},
        }
        for label, name in enumerate(classes)
    ]
    return {
        "accuracy": 0.9,
        "accuracy_interval": [0.85, 0.94],
        "count": len(labels),
        "right": int((predicted == labels).sum()),
        "macro": {"f1": 0.9},
        "validation_accuracy": 0.88,
        "per_class": per_class,
        "calibration": {"temperature": 1.3, "in_the_model": True, "error_before": 0.1, "error_after": 0.03},
        "confusion": {"classes": list(classes), "matrix": matrix.tolist()},
        "reliability": {"before": bins, "after": []},
        "worst": [{**error, "gradcam": LIGHT}],
        "errors": {"pictures": [error], "left_out": 2},
        "trained_on_this_data": False,
        "architecture": {"name": EVIL},
        "hyperparameters": {"lr": EVIL, "warm_start": None},
        **more,
    }


def test_html_in_names_and_settings_is_shown_and_not_run() -> None:
    reason = {"compared": False, "reason": EVIL}
    elements = Elements(page(report(champion=reason)))
    assert "script" not in elements.tags
    assert not [name for name, _ in elements.attributes if name.startswith("on")]
    assert "".join(elements.text).count("<script>alert(1)</script>") >= 8
    addresses = [str(value) for name, value in elements.attributes if name in ("src", "href")]
    assert all(re.match(r"data:image/png;base64,|#e\d", address) for address in addresses)


def test_links_of_the_matrix_lead_to_the_pictures_of_that_confusion() -> None:
    html = page(report())
    attributes = Elements(html).attributes
    known = {f"#{value}" for name, value in attributes if name == "id"}
    links = [value for name, value in attributes if name == "href"]
    assert links == ["#e0-1", "#e1-2", "#e2-0"]
    assert set(links) <= known
    group = html.partition('id="e0-1"')[2].partition('id="e1-2"')[0]
    assert DARK in group


def test_it_tells_the_figures_in_words() -> None:
    text = words(page(report(champion=COMPARED, top_5_accuracy=0.987)))
    for said in (
        "90.00 %",
        "95 % between 85.00 and 94.00",
        "27 of 30",
        "98.70 %",
        "+1.00 points",
        "temperature of 1.3",
    ):
        assert said in text
    assert "2 more have no picture here" in text
    assert "another data set" in text
    assert "warm_start" not in text


@pytest.mark.parametrize(("count", "matrices"), [(LARGEST_MATRIX, 1), (LARGEST_MATRIX + 1, 0)])
def test_of_many_classes_the_list_of_confusions_says_it_alone(count: int, matrices: int) -> None:
    html = page(report(tuple(f"c{number}" for number in range(count))))
    assert html.count('class="matrix"') == matrices
    assert html.count('class="confusion"') == count


def test_a_model_without_errors_says_so() -> None:
    matrix = {"classes": ["a", "b"], "matrix": [[3, 0], [0, 4]]}
    whole = report(confusion=matrix, worst=[], errors={"pictures": [], "left_out": 0})
    text = words(page(whole))
    assert "No picture was taken for another class." in text
    assert "Worst errors" not in text
