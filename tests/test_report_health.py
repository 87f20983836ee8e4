"""The page's section about training's health: verdicts and profile are shown; nothing of them runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from health.verdicts import Verdict
from hypothesis import HealthCheck, given, settings
from judged_training import ARCHIVE, FAILED, FINE, FOUND, MISSING, clients, content
from reported import EVIL, Elements, section, words
from test_control_health import ANYTHING

TITLE = "Training health"


def shown(home: Path, judged: Any, page: bytes | None = None) -> str:
    files = {} if page is None else {"health__profiler-report.html": page}
    return section(clients(home, judged, **files), TITLE)


def test_each_verdict_has_a_row_issues_first(tmp_path: Path) -> None:
    html = shown(tmp_path, content(FINE, MISSING, FOUND, FAILED))
    text = words(html)
    places = [text.index(each.rule, text.index("points")) for each in (FOUND, FAILED, MISSING, FINE)]
    assert places == sorted(places)
    for word in ("IssuesFound", "NotEvaluated", "step 120", "0.91, threshold 0.1", "Try: more data", "1,200"):
        assert word in text
    assert "176 steps, tensors of every 6." in text
    assert ARCHIVE in text


@pytest.mark.parametrize("judged", [None, b"{", {"rules": 3}])
def test_verdicts_that_cannot_be_read_are_not_known(tmp_path: Path, judged: Any) -> None:
    text = words(shown(tmp_path, judged))
    assert "Whether Train is well is not known." in text
    assert "health/health.json" in text


def test_html_in_verdicts_is_shown_and_not_run(tmp_path: Path) -> None:
    evil = Verdict(EVIL, "IssuesFound", 3, EVIL, 1, EVIL, 1.0, 2.0, EVIL, EVIL)
    elements = Elements(shown(tmp_path, content(evil)))
    assert not {"script", "img"} & set(elements.tags)
    assert not [name for name, _ in elements.attributes if name.startswith("on")]
    assert "".join(elements.text).count("<script>alert(1)</script>") >= 5


def test_the_profile_is_shown_where_nothing_of_it_can_run(tmp_path: Path) -> None:
    page = f"<!doctype html><title>x</title></iframe>{EVIL}".encode()
    elements = Elements(shown(tmp_path, content(FINE), page))
    assert elements.tags.count("iframe") == 1
    assert not {"script", "img"} & set(elements.tags)
    attributes = dict(elements.attributes)
    assert attributes["sandbox"] in (None, "")
    assert attributes["srcdoc"] == page.decode()


def test_a_profile_that_is_too_large_stays_where_it_lies(tmp_path: Path) -> None:
    html = shown(tmp_path, content(FINE), b" " * (4 * 2**20 + 1))
    assert "iframe" not in Elements(html).tags
    assert "health/profiler-report.html" in words(html)


def test_a_training_without_rules_has_no_section(tmp_path: Path) -> None:
    made = clients(tmp_path, content(FINE))
    made.sagemaker.told = {}
    assert section(made, TITLE) == ""


@settings(max_examples=15, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(judged=ANYTHING)
def test_any_content_leaves_a_page(tmp_path: Path, judged: Any) -> None:
    made = {"rules": [{"rule": "a", "status": "IssuesFound", "message": judged, "value": judged, "step": judged}]}
    assert "a" in words(shown(tmp_path, json.loads(json.dumps(made, default=str))))
