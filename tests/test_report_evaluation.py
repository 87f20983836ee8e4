"""The page's sections on the model's evaluation: calibration, Grad-CAM, the champion."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reported import ARN, COMPARED, EVIL, Elements, anything, finished_run, put_json, section, sources, words

from pipeline.client import Clients
from pipeline.models.evaluation import Evaluation
from pipeline.report import write_report
from pipeline.report.evaluation import OPEN_CLASSES, view
from pipeline.report.sections import EVALUATION, is_ours


@pytest.fixture
def clients(tmp_path: Path) -> Clients:
    return finished_run(tmp_path)


def put_evaluation(clients: Clients, **more: Any) -> None:
    put_json(clients.storage, "s3://bucket/report/evaluation.json", more)


def put_measured(clients: Clients, **more: Any) -> None:
    """evaluation.json: what gates and registry go by."""
    matrix = {"cat": {"cat": 8, "owl": 2}, "owl": {"cat": 0, "owl": 10}}
    quality = {"accuracy": {"value": 0.9}, "confusion_matrix": matrix}
    body = {"multiclass_classification_metrics": quality, "darkroom": more}
    put_json(clients.storage, "s3://bucket/evaluation/evaluation.json", body)


def class_row(name: str, difference: float, interval: list[float]) -> dict[str, Any]:
    shares = {"recall": 0.5 + difference, "champion_recall": 0.5}
    return {"class": name, "count": 40, **shares, "difference": difference, "interval": interval}


def test_an_evaluation_of_an_earlier_version_is_shown_without_what_it_lacks(clients: Clients) -> None:
    put_evaluation(clients, accuracy_interval=[0.9, 0.97])
    assert section(clients, "How sure the model may be") == ""
    assert section(clients, "Compared with the champion") == ""


def test_calibration_is_drawn_and_told(clients: Clients) -> None:
    bins = [{"count": 20, "confidence": 0.5 + n / 10, "accuracy": 0.4 + n / 10} for n in range(4)]
    figures = {"temperature": 1.7, "in_the_model": True, "error_before": 0.1, "error_after": 0.02}
    put_evaluation(clients, calibration=figures, reliability={"before": bins, "after": bins[:2]})
    found = section(clients, "How sure the model may be")
    assert "differ by 10.00 % on average" in words(found)
    assert "it is 2.00 %" in words(found)
    assert "temperature of 1.7" in words(found)
    assert "The temperature is in the model" in words(found)
    assert found.count("<circle") == 2 + 4 + 2


def test_calibration_without_bins_is_told_without_a_drawing(clients: Clients) -> None:
    put_evaluation(clients, calibration={"temperature": 1.0, "error_before": math.nan, "error_after": 0.1})
    found = section(clients, "How sure the model may be")
    assert "<svg" not in found
    assert "saved without a temperature" in words(found)


def test_macro_figures_top_5_and_speed_stand_with_the_accuracy(clients: Clients) -> None:
    put_evaluation(clients, macro={"f1": 0.912}, top_5_accuracy=0.9876, pictures_per_second=1234.4)
    text = words(section(clients, "Accuracy"))
    assert all(part in text for part in ("91.20 %", "98.76 %", "1,234"))


def test_a_grad_cam_stands_beside_its_picture(clients: Clients) -> None:
    error = {"name": "a.png", "actual": "cat", "predicted": EVIL, "probability": 0.9, "png": "AAAA"}
    errors = [{**error, "gradcam": "BBBB"}, error]
    put_evaluation(clients, worst=errors, gradcam={"layer": EVIL, "size": [4, 4]})
    found = section(clients, "Worst errors")
    assert sources(found) == [f"data:image/png;base64,{each}" for each in ("AAAA", "BBBB", "AAAA")]
    assert f"Grad-CAM of {EVIL}" in words(found)


def test_the_champion_is_compared_with_the_largest_loss_first(clients: Clients) -> None:
    rows = [
        class_row("owl", 0.2, [0.1, 0.3]),
        class_row(EVIL, -0.25, [-0.4, -0.1]),
        class_row("cat", -0.01, [-0.1, 0.1]),
    ]
    champion = {**COMPARED, "per_class": rows, "regressions": [EVIL], "classes_new": [EVIL], "left_out": 7}
    put_evaluation(clients, champion=champion)
    found = section(clients, "Compared with the champion")
    text = words(found)
    assert "+1.00 points, 95 % between -2.00 and +4.00" in text
    assert "7 pictures of classes that the champion does not know" in text
    assert text.index("-25.0") < text.index("-1.0") < text.index("+20.0")
    assert re.findall(r'<td class="right (\w*)">([-+.0-9]+)<', found) == [
        ("bad", "-25.0"),
        ("", "-1.0"),
        ("good", "+20.0"),
    ]
    assert "script" not in Elements(found).tags


PACKAGE = "arn:aws:sagemaker:us-east-1:111122223333:model-package/"


@pytest.mark.parametrize(
    ("package", "called"),
    [
        (f"{PACKAGE}owls/3", "version 3"),
        (f"{PACKAGE}alone", "alone"),
        (f"{PACKAGE}{EVIL}", f"version {EVIL.rpartition('/')[2]}"),
    ],
)
def test_the_champion_is_named_at_the_top_too(clients: Clients, package: str, called: str) -> None:
    compared = {**COMPARED, "package": package, "regressions": ["owl", EVIL]}
    put_evaluation(clients, champion=compared)
    put_measured(clients, champion=compared)
    page = Path(write_report(clients, ARN)).read_text(encoding="utf-8")
    assert f"+1.00 points against {called}, 95 % between -2.00 and +4.00" in words(page)
    found = section(clients, "Compared with the champion")
    assert f"the approved one, {called}, on 90.00 %" in words(found)
    assert f"Worse at: owl, {EVIL}." in words(found)
    assert Elements(page).tags.count("script") == 1


def test_a_champion_that_could_not_be_compared_is_named_with_its_version(clients: Clients) -> None:
    put_evaluation(clients, champion={"compared": False, "reason": "damaged", "package": f"{PACKAGE}owls/3"})
    assert "The champion, version 3, could not be compared. damaged" in words(
        section(clients, "Compared with the champion")
    )


@pytest.mark.parametrize(("number", "folded"), [(OPEN_CLASSES, 0), (OPEN_CLASSES + 1, 1)])
def test_many_classes_of_a_comparison_are_folded(clients: Clients, number: int, folded: int) -> None:
    rows = [class_row(f"c{each}", 0.0, [-0.1, 0.1]) for each in range(number)]
    put_evaluation(clients, champion={**COMPARED, "per_class": rows})
    found = section(clients, "Compared with the champion")
    assert found.count("<details>") == folded
    assert found.count('<td class="wrap">') == number


@pytest.mark.parametrize(("same", "warned"), [(False, True), (True, False)])
def test_a_champion_of_other_data_is_told_to_be_so(clients: Clients, same: bool, warned: bool) -> None:
    put_evaluation(clients, champion={**COMPARED, "same_data": same})
    assert ("trained on other data" in words(section(clients, "Compared with the champion"))) == warned


def test_a_champion_that_could_not_be_judged_is_told_with_its_reason(clients: Clients) -> None:
    put_evaluation(clients, champion={"compared": False, "reason": EVIL})
    found = section(clients, "Compared with the champion")
    assert f"could not be compared. {EVIL}" in words(found)
    assert "script" not in Elements(found).tags


judgements = {key.removesuffix("?"): anything for key in EVALUATION}
champions = st.fixed_dictionaries({key: anything for key in COMPARED}) | st.fixed_dictionaries({"reason": anything})
shares = st.floats()
fitting = st.fixed_dictionaries({"temperature": shares, "error_before": shares, "error_after": shares})
spots = st.lists(st.fixed_dictionaries({"count": st.integers(0, 9), "confidence": shares, "accuracy": shares}))


@given(
    st.fixed_dictionaries(
        {},
        optional={
            **judgements,
            "champion": champions | st.just(COMPARED),
            "calibration": fitting,
            "reliability": st.fixed_dictionaries({}, optional={"before": spots, "after": spots}),
        },
    )
)
@settings(max_examples=150, deadline=None)
def test_an_evaluation_json_of_any_content_is_shown_or_left_out(content: dict[str, Any]) -> None:
    kept = content if is_ours("evaluation", content) else {}
    shown = view(kept, Evaluation())
    assert ("champion" in shown) == ("champion" in kept)
    assert ("calibration" in shown) == ("calibration" in kept)
