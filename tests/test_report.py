"""The page of a run: what it shows, and that nothing on it can run."""

from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path
from typing import Any

import pytest
from reported import ARN, COMPARED, EVIL, Elements, finished_run, put_archive, put_json

from pipeline import report
from pipeline.client import Clients
from pipeline.errors import StorageError
from pipeline.report import write_report
from pipeline.report.collect import collect
from pipeline.report.page import render


@pytest.fixture
def clients(tmp_path: Path) -> Clients:
    return finished_run(tmp_path)


def ours(name: str) -> str:
    return Path(report.__file__).with_name(name).read_text(encoding="utf-8")


@pytest.fixture
def html(clients: Clients) -> str:
    return Path(write_report(clients, ARN)).read_text(encoding="utf-8")


def test_the_report_lies_with_its_execution(clients: Clients) -> None:
    assert write_report(clients, ARN) == f"{clients.home}/executions/abc123/report.html"
    assert [path.name for path in Path(clients.home, "executions", "abc123").iterdir()] == ["report.html"]


def test_html_in_names_logs_and_reports_is_shown_and_not_run(html: str) -> None:
    elements = Elements(html)
    assert elements.tags.count("script") == 1
    assert ours("report.js") in html
    assert not [name for name, _ in elements.attributes if name.startswith("on")]
    assert "".join(elements.text).count("<script>alert(1)</script>") >= 8


def test_nothing_is_asked_for_twice(clients: Clients) -> None:
    asked: list[str] = []
    counted = clients._replace(sagemaker=Counted(clients.sagemaker, asked), storage=Counted(clients.storage, asked))
    write_report(counted, ARN)
    expensive = [each for each in asked if each.startswith(("describe_", "list_")) or "output.tar.gz" in each]
    assert len(expensive) > 8
    assert sorted(expensive) == sorted(set(expensive))


def test_an_archive_that_is_too_large_is_named(clients: Clients) -> None:
    class Small(Counted):
        def get_bytes(self, uri: str, most: int = 0) -> bytes:
            if uri.endswith("output.tar.gz") and most:
                raise StorageError(f"{uri} has more than {most:,} bytes")
            return bytes(self._inner.get_bytes(uri, most))

    html = render(collect(clients._replace(storage=Small(clients.storage, [])), ARN))
    assert "Train: s3://bucket/j/output/output.tar.gz has more than 268,435,456 bytes, and is not looked into." in html
    assert 'id="curves"' not in html and 'id="steps"' in html


class Counted:
    """Notes every call with what it is given."""

    def __init__(self, inner: Any, asked: list[str]) -> None:
        self._inner, self._asked = inner, asked

    def __getattr__(self, name: str) -> Any:
        def noted(*values: Any, **request: Any) -> Any:
            self._asked.append(f"{name} {values} {request}")
            return getattr(self._inner, name)(*values, **request)

        return noted


def test_the_page_is_self_contained(html: str) -> None:
    addresses = [value for name, value in Elements(html).attributes if name in ("src", "href", "srcset", "action")]
    assert all(re.match(r"data:image/(png|jpeg|svg\+xml);base64,|#[a-z]", str(value)) for value in addresses)
    assert "@import" not in html
    assert "url(" not in html
    assert "default-src 'none'" in html


def test_the_policy_lets_our_own_script_run_and_no_other(html: str) -> None:
    digest = base64.b64encode(hashlib.sha256(ours("report.js").encode()).digest()).decode()
    (policy,) = [value for name, value in Elements(html).attributes if str(value).startswith("default-src")]
    assert f"script-src 'sha256-{digest}';" in str(policy)
    assert "script-src 'unsafe" not in str(policy)


@pytest.mark.parametrize(
    "section", ["verdict", "accuracy", "confusion", "curves", "tuning", "data", "steps", "parity", "lineage"]
)
def test_every_section_that_is_named_in_the_menu_is_there(html: str, section: str) -> None:
    attributes = Elements(html).attributes
    assert ("id", section) in attributes
    assert ("href", f"#{section}") in attributes or section == "verdict"


def test_every_link_leads_to_something(html: str) -> None:
    attributes = Elements(html).attributes
    known = {f"#{value}" for name, value in attributes if name == "id"}
    assert {value for name, value in attributes if name == "href"} <= known


def test_a_figure_stands_for_each_thing_that_people_look_for(html: str) -> None:
    text = re.sub(r"\s+", " ", "".join(Elements(html).text))
    for words in ("94.44 %", "95 % between 90.00 and 97.00", "3 trials", "cache hit", "Learning curves", "10.0 s"):
        assert words in text
    for words in ("What was different from AWS", "python 3.11", "Failed failed: Publish"):
        assert words in text


def test_what_a_job_left_half_written_is_left_out(clients: Clients) -> None:
    assert set(collect(clients, ARN).sections) == {"dataset", "evaluation", "training"}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("dataset", {"counts": 3}),
        ("dataset", {"classes": "ab", "counts": {"train": [1, 2]}}),
        ("dataset", {"classes": ["a"], "counts": {"train": {"a": -1}}}),
        ("dataset", {"classes": ["a"], "counts": {"train": {"a": 10**400}}}),
        ("dataset", {"findings": {"leaks": 3}}),
        ("dataset", {"findings": [{"finding": "leaks", "groups": [["a", 1]]}]}),
        ("dataset", {"findings": [{"finding": "small_classes", "classes": {"a": "few"}}]}),
        ("dataset", {"pictures": {"classes": "classes.svg"}}),
        ("dataset", {"pictures": {"duplicates": [{"file": "duplicates/00.jpg"}]}}),
        ("dataset", {"class_weights": ["1"]}),
        ("dataset", {"image_size": True}),
        ("evaluation", {"accuracy_interval": [0.9, 10**400]}),
        ("evaluation", {"accuracy_interval": [0.9]}),
        ("evaluation", {"worst": [{"name": "a"}]}),
        ("evaluation", {"worst": [{"name": "a", "actual": "b", "predicted": "c", "probability": "high", "png": ""}]}),
        ("evaluation", {"top_5_accuracy": "high"}),
        ("evaluation", {"calibration": {"temperature": 1.5}}),
        ("evaluation", {"calibration": {"temperature": 1, "error_before": 0, "error_after": 0, "in_the_model": 1}}),
        ("evaluation", {"reliability": {"before": [{"count": 1}]}}),
        ("evaluation", {"gradcam": {"layer": "layer4", "size": [4]}}),
        ("evaluation", {"champion": {"compared": True}}),
        ("evaluation", {"champion": {**COMPARED, "per_class": [{"class": "a"}]}}),
        ("evaluation", {"champion": {**COMPARED, "interval": [0.1, 10**400]}}),
        ("training", {"epochs": 3}),
        ("training", {"epochs": [{"loss": 0.5}]}),
        ("training", {"hyperparameters": ["lr"]}),
    ],
)
def test_a_report_of_the_same_name_that_somebody_else_wrote_is_left_out(
    clients: Clients, name: str, content: dict[str, Any]
) -> None:
    put_json(clients.storage, f"s3://bucket/report/{name}.json", content)
    if name == "training":
        put_archive(clients.storage, "s3://bucket/j/output/output.tar.gz", content)
    assert name not in collect(clients, ARN).sections
    assert Path(write_report(clients, ARN)).stat().st_size > 10_000


@pytest.mark.parametrize("matrix", [[[1, 2], [3, 4]], {"a": [1]}, {"a": {"a": "many"}}, "none"])
def test_a_confusion_matrix_of_another_shape_is_left_out(clients: Clients, matrix: Any) -> None:
    quality = {"accuracy": {"value": 0.5}, "confusion_matrix": matrix}
    put_json(clients.storage, "s3://bucket/evaluation/evaluation.json", {"multiclass_classification_metrics": quality})
    assert "Confusion matrix" not in Path(write_report(clients, ARN)).read_text(encoding="utf-8")


def test_a_trial_without_an_objective_is_listed_and_not_plotted(clients: Clients) -> None:
    tuning = collect(clients, ARN).tunings[0]
    assert [trial.objective for trial in tuning.trials] == [0.9, 0.91, None]
    assert [trial.best for trial in tuning.trials] == [False, True, False]


def test_the_log_of_the_failed_step_alone_is_shown(clients: Clients) -> None:
    assert collect(clients, ARN).logs == {"Publish": ["first", EVIL]}
