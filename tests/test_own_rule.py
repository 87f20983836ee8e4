"""A rule of somebody's own: loaded from its file, asked, and blamed by its line."""

from __future__ import annotations

from pathlib import Path

import pytest
from health import verdicts
from health.rules import own_rule
from health.verdicts import ERROR, ISSUES_FOUND, NO_ISSUES_FOUND, Verdict
from health.view import Records
from refusal import Refusal

RECORDS = Records.of(steps={"loss": [3.0, 2.0]})


def written(folder: Path, text: str) -> Path:
    path = folder / "mine.py"
    path.write_text(text, encoding="utf-8")
    return path


def test_it_may_answer_by_a_pair_a_truth_or_a_verdict(tmp_path: Path) -> None:
    verdict = own_rule.load(written(tmp_path, "def rule(records):\n    return True, 'loss of 3'"))(RECORDS)
    assert verdict == Verdict("mine", ISSUES_FOUND, 2, "loss of 3")
    assert own_rule.load(written(tmp_path, "def rule(records):\n    return False"))(RECORDS).status == NO_ISSUES_FOUND
    text = "from health.verdicts import fine\ndef rule(records):\n    return fine('Mine', 1, 'good')"
    assert own_rule.load(written(tmp_path, text))(RECORDS) == Verdict("Mine", NO_ISSUES_FOUND, 1, "good")


def test_numpy_s_truth_is_a_truth(tmp_path: Path) -> None:
    text = "def rule(records):\n    return records.steps['loss'].max() > 2, 'loss'"
    assert own_rule.load(written(tmp_path, text))(RECORDS).status == ISSUES_FOUND


@pytest.mark.parametrize("code", ["1 / 0", "raise SystemExit(3)", "records.steps['los']"])
def test_what_it_raises_is_an_error_with_its_line(tmp_path: Path, code: str) -> None:
    verdict = own_rule.load(written(tmp_path, f"def rule(records):\n    {code}\n"))(RECORDS)
    assert (verdict.status, verdict.advice) == (ERROR, "mend the file")
    assert verdict.message.startswith("mine.py, line 2: ")


def test_an_answer_that_is_none_says_what_to_return(tmp_path: Path) -> None:
    verdict = own_rule.load(written(tmp_path, "def rule(records):\n    pass\n"))(RECORDS)
    assert (verdict.status, "returned None" in verdict.message) == (ERROR, True)
    assert "return (True" in verdict.advice


@pytest.mark.parametrize(
    "given",
    [
        "status='Fired'",
        "status=['Error']",
        "value=records.steps['loss']",
        "step='seven'",
        "points=None",
        "message=None",
        "tensor=3",
    ],
)
def test_a_verdict_that_health_json_cannot_hold_is_an_error(tmp_path: Path, given: str) -> None:
    """Written when training is over, it would fail the job; a status of nobody's would count as no issue."""
    text = "from health.verdicts import fine\ndef rule(records):\n    return fine('m', 1, 'x')._replace({})\n"
    verdict = own_rule.load(written(tmp_path, text.format(given)))(RECORDS)
    assert (verdict.rule, verdict.status) == ("mine", ERROR)
    assert verdict.message.startswith(f"mine.py: the verdict of rule(records) has {given.partition('=')[0]} ")


def test_words_that_are_no_text_are_replaced_in_health_json(tmp_path: Path) -> None:
    verdict = own_rule.load(written(tmp_path, "def rule(records):\n    return True, 'a\\ud800'\n"))(RECORDS)
    assert verdicts.body(verdict)["message"] == "a?"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("def rule(", "line 1: it does not run .SyntaxError"),
        ("x = 1\nimport nothing_of_that_name", "line 2: it does not run .ModuleNotFoundError"),
        ("def rules(records): ...", "no function rule: write def rule"),
        ("rule = 3", "no function rule"),
    ],
)
def test_a_file_that_cannot_be_a_rule_is_refused_before_training(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(Refusal, match=words):
        own_rule.load(written(tmp_path, text))


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refusal, match="no such file"):
        own_rule.load(tmp_path / "mine.py")
