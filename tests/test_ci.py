"""The workflows: pinned, with no more rights than each job needs, and made of commands that exist."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.cli import SUMMARIES, parser
from pipeline.config import Config

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
        "image": {**read, "id-token": "write"},
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


def test_a_pull_requests_plan_is_its_comment_and_main_upserts_what_was_planned_and_starts_it() -> None:
    def lines(job: str) -> str:
        return "\n".join(step["run"] for step in JOBS[job]["steps"] if "run" in step)

    assert "github.event_name == 'pull_request'" in JOBS["plan"]["if"]
    assert lines("plan").endswith("darkroom plan --target aws --markdown > plan.md")
    sent, fetched = (
        next(step["with"]["name"] for step in JOBS[job]["steps"] if f"{verb}-artifact" in step.get("uses", ""))
        for job, verb in (("plan", "upload"), ("comment", "download"))
    )
    assert (JOBS["comment"]["needs"], sent) == ("plan", fetched)
    assert re.search(r"plan\.md > comment\.md.*\ngh pr comment .*--body-file comment\.md", lines("comment"))
    deploying = re.findall(r"darkroom (\w+) ?(\S*)", lines("deploy"))
    assert [name for name, _ in deploying] == ["plan", "upsert", "start"]
    assert ("upsert", "plan.json") in deploying and "-o plan.json" in lines("deploy")


def test_the_serving_image_is_built_on_main_as_packages_name_it() -> None:
    """An immutable tag is pushed once; what the script builds from is there."""
    assert JOBS["image"]["needs"] == "test"
    assert "github.event_name == 'push'" in JOBS["image"]["if"]
    (script,) = (step["run"] for step in JOBS["image"]["steps"] if "run" in step)
    assert Config().serving_image.endswith(f"/{script.split()[1]}")
    text = (ROOT / ".ci/image").read_text()
    assert os.access(ROOT / ".ci/image", os.X_OK)
    assert subprocess.run(["bash", "-n", str(ROOT / ".ci/image")]).returncode == 0
    assert (ROOT / re.findall(r"containers/\S+$", text, re.MULTILINE)[-1] / "Dockerfile").is_file()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_the_commands_are_darkrooms_own_with_their_own_options(path: Path) -> None:
    lines = re.findall(r"\.venv/bin/darkroom ([^>|;\n#]+)", path.read_text(encoding="utf-8"))
    assert {line.split()[0] for line in lines} == {"validate", "plan", "upsert", "start"}
    for line in lines:
        name, *words = shlex.split(line)
        assert name in SUMMARIES
        parser(name).parse_args(words)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_service_runs_what_people_run(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert isinstance(yaml.safe_load(text), dict)
    assert "make check" in text
    assert ".ci/run" in text
    assert "AWS_SECRET" not in text


GITLAB: dict[str, Any] = yaml.safe_load((ROOT / "examples/ci/gitlab-ci.yml").read_text(encoding="utf-8"))
BUILDSPEC: dict[str, Any] = yaml.safe_load((ROOT / "examples/ci/buildspec.yml").read_text(encoding="utf-8"))
# https://docs.gitlab.com/ci/yaml/: those of a job that are in use here, and of the file itself
GITLAB_JOB = {"stage", "rules", "script", "before_script", "extends", "id_tokens", "artifacts", "resource_group"}
GITLAB_GLOBAL = {"stages", "default"}
# https://docs.aws.amazon.com/codebuild/latest/userguide/build-spec-ref.html
PHASES = {"install": {"runtime-versions", "commands"}, "pre_build": {"commands"}, "build": {"commands"}}


def gitlab_jobs() -> dict[str, dict[str, Any]]:
    """Each with what it extends, as GitLab merges them; hidden ones are no jobs."""
    found = {name: each for name, each in GITLAB.items() if name not in GITLAB_GLOBAL}
    return {
        name: {**found.get(each.get("extends", ""), {}), **each}
        for name, each in found.items()
        if not name.startswith(".")
    }


def test_gitlabs_file_has_jobs_of_its_stages_with_keys_that_gitlab_knows() -> None:
    jobs = gitlab_jobs()
    assert [each["stage"] for each in jobs.values()] == GITLAB["stages"] == list(jobs)
    for name, each in jobs.items():
        assert set(each) <= GITLAB_JOB, name
        assert each.get("extends", ".aws") in GITLAB
        assert all(set(rule) == {"if"} and re.match(r"\$[A-Z_]+ (==|&&) ", rule["if"]) for rule in each["rules"])
        assert all(isinstance(line, str) for line in each["script"] + each.get("before_script", []))
    asks = {name: set(each.get("id_tokens", {})) for name, each in jobs.items()}
    assert asks == {"test": set(), "plan": {"GITLAB_TOKEN"}, "deploy": {"GITLAB_TOKEN"}}
    assert GITLAB[".aws"]["id_tokens"]["GITLAB_TOKEN"] == {"aud": "sts.amazonaws.com"}


def test_codebuilds_file_has_phases_and_keys_that_codebuild_knows() -> None:
    assert set(BUILDSPEC) == {"version", "env", "phases"}
    assert BUILDSPEC["version"] == 0.2
    assert {name: set(phase) for name, phase in BUILDSPEC["phases"].items()} == PHASES
    assert BUILDSPEC["phases"]["install"]["runtime-versions"] == {"python": 3.12}
    assert all(isinstance(value, str) for value in BUILDSPEC["env"]["variables"].values())
    assert all(isinstance(line, str) for phase in BUILDSPEC["phases"].values() for line in phase["commands"])


def scripts() -> Iterator[tuple[str, str]]:
    for name, each in gitlab_jobs().items():
        yield f"gitlab {name}", "\n".join(each.get("before_script", []) + each["script"])
    for name, phase in BUILDSPEC["phases"].items():
        yield f"codebuild {name}", "\n".join(phase["commands"])
    for name, job in JOBS.items():
        yield f"github {name}", "\n".join(step["run"] for step in job["steps"] if "run" in step)


SCRIPTS = dict(scripts())


@pytest.mark.parametrize("where", SCRIPTS)
def test_scripts_are_what_a_shell_can_read_and_name_targets_that_make_has(where: str) -> None:
    script = SCRIPTS[where]
    read = subprocess.run(["sh", "-n"], input=script, capture_output=True, text=True, check=False)
    assert (read.returncode, read.stderr) == (0, ""), where
    for target in re.findall(r"^make (\S+)", script, re.MULTILINE):
        known = {".venv/.installed": "$(STAMP)"}.get(target, target)
        assert f"\n{known}:" in (ROOT / "Makefile").read_text(encoding="utf-8"), where


def test_codebuild_refuses_an_action_that_it_does_not_know() -> None:
    [script] = BUILDSPEC["phases"]["build"]["commands"]
    done = subprocess.run(["sh"], input=script, env={"ACTION": "x"}, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (2, "ACTION is 'x': take plan or deploy\n")


def test_darkroom_of_a_job_looks_at_the_account_that_its_role_is_of() -> None:
    """Credentials come from a file that only a job of the pipeline is given: no key is in a variable."""
    for job in ("plan", "deploy"):
        script = "\n".join(gitlab_jobs()[job]["before_script"] + gitlab_jobs()[job]["script"])
        assert re.findall(r"export AWS_ROLE_ARN=\"\$(\w+)\"", script) == [f"{job.upper()}_ROLE"]
        assert "AWS_WEB_IDENTITY_TOKEN_FILE" in script
        assert "--target aws" in script
