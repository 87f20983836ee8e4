"""What Debugger's managed rules said, beside ours: in one line, for programs, and on the report's page."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from judged_training import FINE, STEP, clients, content
from reported import EVIL, Elements, section, words

from pipeline.client import Clients
from pipeline.control import health, managed

DEBUG, PROFILER = managed.MEMBERS
NO_PROFILER = {"ProfilerReport": ("Error", "SageMaker's profiler is not on this machine")}


def rows(rules: dict[str, tuple[str, str]]) -> list[dict[str, str]]:
    return [
        {"RuleConfigurationName": name, "RuleEvaluationStatus": status, "StatusDetails": details}
        for name, (status, details) in rules.items()
    ]


def made(home: Path, debug: dict[str, Any], profiler: dict[str, Any] | None = None, asked: bool = True) -> Clients:
    found = clients(home, content(FINE) if asked else None)
    found.sagemaker.managed = {DEBUG: rows(debug), PROFILER: rows(profiler or {})}
    if not asked:
        found.sagemaker.told = {}
    return found


GOOD = {"Overfit": ("NoIssuesFound", ""), "DeadRelu": ("NoIssuesFound", "")}
ISSUE = {"Overfit": ("IssuesFound", "loss 0.9 above training's")}
BROKEN = {"Overfit": ("Error", "no smdebug"), "DeadRelu": ("Error", "no smdebug")}


@pytest.mark.parametrize(
    ("debug", "profiler", "line"),
    [
        (GOOD, {}, "managed: 2 rules, no issues"),
        (GOOD | ISSUE, {}, "managed: 1 of 2 rules found issues: Overfit (loss 0.9 above training's)"),
        (BROKEN, NO_PROFILER, "managed: 2 rules; not judged: Overfit, DeadRelu (no smdebug)"),
        (
            GOOD | {"Overfit": ("Error", "Not evaluated: no losses"), "AllZero": ("Error", "")},
            {},
            "managed: 1 of 3 rules judged, no issues; not judged: Overfit (no losses), AllZero",
        ),
        (
            {"Overfit": ("InProgress", ""), "DeadRelu": ("Stopping", ""), "AllZero": ("Strange", "")},
            {},
            "managed: 3 rules; still being judged: Overfit; stopped: DeadRelu; unknown status: AllZero",
        ),
        (GOOD, {"LowGPU": ("IssuesFound", "idle")}, "managed: 2 rules, no issues; managed profiler: 1 of 1 rule "),
        ({}, NO_PROFILER, "managed profiler: 1 rule; not judged: ProfilerReport (SageMaker's profiler"),
    ],
)
def test_the_line_says_what_is_not_green(tmp_path: Path, debug: Any, profiler: Any, line: str) -> None:
    found = health.read(made(tmp_path, debug, profiler), [STEP])
    assert found is not None and health.told(found).startswith(f"1 rule, no issues; {line}")
    alone = health.read(made(tmp_path, debug, profiler, asked=False), [STEP])
    assert alone is not None and health.told(alone).startswith(line)


@pytest.mark.parametrize("status", ["Failed", "Stopped"])
def test_a_training_that_failed_still_has_its_managed_line(tmp_path: Path, status: str) -> None:
    found = clients(tmp_path)
    found.sagemaker.managed, found.sagemaker.status = {DEBUG: rows(ISSUE)}, status
    judged = health.read(found, [STEP])
    assert judged is not None and health.told(judged).startswith("managed: 1 of 1 rule found issues")


def test_a_program_gets_them_under_sagemakers_names(tmp_path: Path) -> None:
    full = health.in_full(health.read(made(tmp_path, ISSUE, NO_PROFILER), [STEP]))
    assert full is not None
    assert (full[DEBUG], full[PROFILER]) == (rows(ISSUE), rows(NO_PROFILER))
    assert full["Rules"][0]["RuleConfigurationName"] == "DeadRelu"


@pytest.mark.parametrize("asked", [True, False])
def test_the_page_has_them_issues_first(tmp_path: Path, asked: bool) -> None:
    debug = {"AllZero": ("NoIssuesFound", ""), "DeadRelu": ("InProgress", ""), "Evil": ("Error", EVIL), **ISSUE}
    html = section(made(tmp_path, debug, NO_PROFILER, asked), "Training health")
    text = words(html)
    managed_part = text[text.index("Managed rules of SageMaker Debugger") :]
    places = [managed_part.rindex(name) for name in ("Overfit", "Evil", "DeadRelu", "AllZero", "ProfilerReport")]
    assert places == sorted(places)
    assert "1 of 4 rules found issues: Overfit" in managed_part and "loss 0.9 above training's" in managed_part
    assert ("tensors of every 6" in text) is asked
    assert not {"script", "img"} & set(Elements(html).tags)


@pytest.mark.parametrize(("details", "look"), [("Not evaluated: no losses", "stopped"), ("KeyError: 7", "bad")])
def test_what_only_lacks_something_does_not_look_broken(tmp_path: Path, details: str, look: str) -> None:
    html = section(made(tmp_path, {"Overfit": ("Error", details)}), "Training health")
    assert f'<span class="badge {look}">Error</span>' in html and details in html


def test_a_training_without_managed_rules_shows_nothing_of_them(tmp_path: Path) -> None:
    assert "Managed" not in words(section(clients(tmp_path, content(FINE)), "Training health"))


@settings(max_examples=100, deadline=None, derandomize=True)
@given(
    found=st.lists(
        st.fixed_dictionaries(
            {},
            optional={
                "RuleConfigurationName": st.text(),
                "RuleEvaluationStatus": st.sampled_from(["Error", "IssuesFound", "InProgress"]) | st.text(),
                "StatusDetails": st.none() | st.text(),
            },
        ),
        min_size=1,
        max_size=5,
    )
)
def test_any_status_gives_one_harmless_line(found: list[dict[str, str]]) -> None:
    judged = managed.of({DEBUG: found})
    line = managed.told(judged)
    assert line.isprintable() and line.startswith("managed: ")
    json.dumps(managed.in_full(judged)).encode()
