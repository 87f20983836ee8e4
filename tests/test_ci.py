"""The workflows: pinned, with no more rights than each job needs, and made of commands that exist."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.cli import SUMMARIES, _commands, _parser

ROOT = Path(__file__).parent.parent
WORKFLOW = ROOT / ".github/workflows/ci.yml"
FILES = [WORKFLOW, *sorted((ROOT / "examples/ci").glob("*.yml"))]
TEXT = WORKFLOW.read_text(encoding="utf-8")
JOBS: dict[str, Any] = yaml.safe_load(TEXT)["jobs"]
PINNED = re.compile(r"[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+")


def test_actions_are_pinned_by_commit_with_the_version_beside_it() -> None:
    used = re.findall(r"uses: (.+)", TEXT)
    assert len(used) > 5
    assert [each for each in used if not PINNED.fullmatch(each)] == []


def test_rights_are_given_job_by_job_and_nothing_is_stored() -> None:
    assert yaml.safe_load(TEXT)["permissions"] == {}
    rights = {name: job["permissions"] for name, job in JOBS.items()}
    read = {"contents": "read"}
    assert rights == {
        "test": read,
        "plan": {**read, "id-token": "write"},
        "comment": {"pull-requests": "write"},
        "deploy": {**read, "id-token": "write"},
    }
    assert "secrets." not in TEXT
    assert "pull_request_target" not in TEXT


def test_what_may_write_to_pull_requests_runs_none_of_their_code() -> None:
    assert not any("checkout" in step.get("uses", "") for step in JOBS["comment"]["steps"])


def test_a_checkout_leaves_no_token_behind() -> None:
    checkouts = [step for job in JOBS.values() for step in job["steps"] if "checkout" in step.get("uses", "")]
    assert {step["with"]["persist-credentials"] for step in checkouts} == {False}


def test_no_script_has_an_expression_in_it() -> None:
    """A branch's name is text of whoever opened the pull request: it comes by a variable, never into a script."""
    scripts = [step["run"] for job in JOBS.values() for step in job["steps"] if "run" in step]
    assert scripts
    assert [each for each in scripts if "${{" in each] == []


def test_only_main_changes_anything_and_only_after_the_tests() -> None:
    assert JOBS["deploy"]["needs"] == "test"
    assert "github.event_name == 'push'" in JOBS["deploy"]["if"]
    assert yaml.safe_load(TEXT)[True] == {"pull_request": None, "push": {"branches": ["main"]}}
    assert JOBS["deploy"]["concurrency"] == {"group": "deploy", "cancel-in-progress": False}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_the_commands_are_darkrooms_own_with_their_own_options(path: Path) -> None:
    lines = re.findall(r"\.venv/bin/darkroom ([^>|;\n#]+)", path.read_text(encoding="utf-8"))
    assert {line.split()[0] for line in lines} == {"validate", "plan", "upsert", "start"}
    for line in lines:
        name, *words = shlex.split(line)
        assert name in SUMMARIES
        parser = _parser(name)
        _commands(name)[name].arguments(parser)
        parser.parse_args(words)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_service_runs_what_people_run(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert isinstance(yaml.safe_load(text), dict)
    assert "make check" in text
    assert ".ci/run" in text
    assert "AWS_SECRET" not in text
