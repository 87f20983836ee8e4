"""`make run` and `make test` find an interpreter that works, and do nothing that is already done."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
OUTER = ("ARGS", "MAKEFLAGS", "MAKELEVEL", "MAKEOVERRIDES", "PYTHON", "VENV")  # of a `make test` that runs this test


def make(*arguments: str, path: str = "") -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name not in OUTER}
    environment["PATH"] = path or environment["PATH"]
    command = ["/usr/bin/make", "-C", str(ROOT), *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def program(folder: Path, name: str, script: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


COMMANDS = {
    "run": "-m pipeline run",
    "test": "-m pytest --numprocesses logical --maxprocesses 4 --dist loadfile --no-loadscope-reorder",
    "package": "-m pipeline infra --functions build/functions",
}


@pytest.mark.parametrize(("target", "command"), COMMANDS.items())
def test_an_installation_that_is_up_to_date_costs_nothing(tmp_path: Path, target: str, command: str) -> None:
    (tmp_path / ".installed").touch()
    done = make("--dry-run", target, f"VENV={tmp_path}", "CHROMIUM=/usr/bin/chromium")
    lines = [line for line in done.stdout.splitlines() if not line.startswith("make")]
    assert [line.strip() for line in lines] == [f"{tmp_path}/bin/python {command}"]


@pytest.mark.parametrize(
    ("uid", "called", "said"), [("0", True, "installing Chromium"), ("1000", False, "apt install")]
)
def test_a_missing_browser_is_installed_by_who_may_and_told_to_others(
    tmp_path: Path, uid: str, called: bool, said: str
) -> None:
    (tmp_path / "venv/bin").mkdir(parents=True)
    (tmp_path / "venv/.installed").touch()
    program(tmp_path / "venv/bin", "python", "exit 0")
    program(tmp_path, "id", f"echo {uid}")
    program(tmp_path, "apt-get", f'echo "$@" >> {tmp_path}/apt')
    done = make("test", f"VENV={tmp_path}/venv", "CHROMIUM=", path=f"{tmp_path}:/bin")
    assert done.returncode == 0
    assert said in done.stderr
    assert (tmp_path / "apt").exists() == called
    if called:
        update, install = (tmp_path / "apt").read_text().splitlines()
        assert "update" in update
        assert install.endswith("--no-install-recommends chromium")


def test_checks_are_those_of_code_types_imports_stack_workflows_and_policies(tmp_path: Path) -> None:
    (tmp_path / ".installed").touch()
    lines = make("--dry-run", "check", f"VENV={tmp_path}").stdout.splitlines()
    commands = [line.removeprefix(f"{tmp_path}/bin/") for line in lines if line.startswith(str(tmp_path))]
    assert [command.partition(" ")[0] for command in commands] == [
        "ruff",
        "ruff",
        "mypy",
        "cfn-lint",
        "zizmor",
        "python",
    ]
    assert {
        "cfn-lint infra/template.yaml infra/serving-image.yaml",
        "zizmor --offline --no-progress .github/workflows",
    } <= set(commands)
    assert commands[-1] == "python -m pytest tests/test_imports.py tests/test_iam_check.py"


def test_the_workflow_linter_finds_what_is_wrong(tmp_path: Path) -> None:
    """Not only that it is called: a text of a stranger in a script ends it with an error."""
    steps = "[{run: 'echo ${{ github.event.pull_request.title }}'}]"
    job = f"jobs: {{a: {{runs-on: ubuntu-24.04, permissions: {{}}, steps: {steps}}}}}"
    (tmp_path / "workflow.yml").write_text(f"name: n\non: pull_request_target\npermissions: {{}}\n{job}\n")
    zizmor = Path(sys.executable).parent / "zizmor"
    found = subprocess.run(
        [zizmor, "--offline", "--no-progress", tmp_path / "workflow.yml"], capture_output=True, text=True, check=False
    )
    assert found.returncode > 0
    assert {"dangerous-triggers", "template-injection"} <= set(re.findall(r"error\[([a-z-]+)\]", found.stdout))


def test_a_changed_lock_installs_again(tmp_path: Path) -> None:
    (tmp_path / ".installed").touch()
    os.utime(tmp_path / ".installed", (0, 0))
    assert "pip install" in make("--dry-run", "run", f"VENV={tmp_path}").stdout


def test_arguments_reach_the_command(tmp_path: Path) -> None:
    (tmp_path / ".installed").touch()
    done = make("--dry-run", "run", f"VENV={tmp_path}", "ARGS=--set AccuracyThreshold=0.9")
    assert "-m pipeline run --set AccuracyThreshold=0.9" in done.stdout


def test_interpreters_that_exist_but_do_not_run_are_passed_over(tmp_path: Path) -> None:
    """As pyenv's shims: `python3.12` is on the PATH and answers 127."""
    program(tmp_path, "python3.12", "exit 127")
    program(
        tmp_path, "python3.11", f'case "$1" in -m) echo "$@" > {tmp_path}/made; exit 1;; --version) echo 3.11;; esac'
    )
    done = make("run", f"VENV={tmp_path}/venv", path=f"{tmp_path}:/bin")
    assert done.returncode != 0
    assert (tmp_path / "made").read_text() == f"-m venv --clear {tmp_path}/venv\n"


@pytest.mark.parametrize(("arguments", "said"), [((), "no Python 3.11 or 3.12"), (("PYTHON=/nowhere",), "as /nowhere")])
def test_without_an_interpreter_it_says_what_to_install(tmp_path: Path, arguments: tuple[str, ...], said: str) -> None:
    for name in ("python3.12", "python3.11", "python3", "python"):
        program(tmp_path, name, "exit 127")
    done = make("run", f"VENV={tmp_path}/venv", *arguments, path=f"{tmp_path}:/bin")
    assert done.returncode != 0
    assert said in done.stderr
    assert "make PYTHON=" in done.stderr
    assert not (tmp_path / "venv").exists()


def test_ci_runs_what_people_run() -> None:
    lines = (ROOT / ".ci" / "run").read_text().splitlines()
    assert "set -euo pipefail" in lines
    assert [line for line in lines if line.startswith("make")] == ["make test", "make run"]
    assert os.access(ROOT / ".ci" / "run", os.X_OK)


def test_the_lock_names_versions_and_no_addresses() -> None:
    lines = [line for line in (ROOT / "requirements.lock").read_text().splitlines() if not line.startswith("#")]
    assert [line for line in lines if "==" not in line or "/" in line or "@" in line] == []
    names = {line.partition("==")[0] for line in lines}
    assert {"torch", "sagemaker", "jinja2", "pytest", "hatchling", "editables", "setuptools"} <= names
    assert "darkroom" not in names
