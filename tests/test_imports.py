"""Who may import whom, as docs/architecture.md says, and what the fast path really imports."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from collections import namedtuple
from functools import cache
from pathlib import Path

import pytest

from pipeline import verdict
from pipeline.compile import SOURCES

ROOT = Path(__file__).parent.parent
SDK = ("sagemaker", "boto3", "botocore")
CLI_LIBRARIES = ("argparse", "rich", "click", "typer")
# `files` and `except_for` are globs; `never` are modules, each with all that is below it
Rule = namedtuple("Rule", "name files except_for never")
STEPS_NEVER = ("entrypoints", "torch", "boto3", "pipeline.cli", *CLI_LIBRARIES)
_ALL = {path.stem for path in (ROOT / "pipeline").iterdir()} - {"__init__", "__pycache__", "__main__"}
_BELOW_LOCAL = {"api_model", "cache_keys", "definition", "digest", "errors", "objects", "request_sizes"}
LOCAL_NEVER = ("steps", "sagemaker", "torch", "pydantic", *(f"pipeline.{n}" for n in _ALL - _BELOW_LOCAL - {"local"}))
BELOW = ("pipeline.local", "pipeline.aws", *SDK)  # the client
AWS_NEVER = ("steps", "sagemaker", *(f"pipeline.{name}" for name in ("local", "control", "cli", "builder", "client")))
# of the local service the plan takes how references and conditions are read: that is AWS's, wherever a pipeline runs
_SHARED = ("resolve", "conditions", "__init__", "__pycache__")
_LOCAL = {path.stem for path in (ROOT / "pipeline" / "local").iterdir()} - set(_SHARED)
PLAN_NEVER = ("pipeline.aws", "pipeline.builder", "steps", "pydantic", *SDK, *(f"pipeline.local.{n}" for n in _LOCAL))
RULES = [
    Rule("1 entrypoints stand alone", "entrypoints/**/*.py", "", ("pipeline", "steps", "sagemaker", "pydantic")),
    Rule("1 only Lambda handlers know boto3", "entrypoints/**/*.py", "lambda_*.py|rollout/*", ("boto3", "botocore")),
    Rule("2 steps know config and SDK", "steps/*.py", "", STEPS_NEVER),
    Rule("3 local runs foreign definitions", "pipeline/local/**/*.py", "", LOCAL_NEVER),
    Rule("4 only builder imports steps", "pipeline/**/*.py", "builder.py", ("steps",)),
    Rule("4 clients are made in client.py", "pipeline/**/*.py", "client.py", ("boto3",)),
    Rule("4 nothing imports the CLI", "pipeline/**/*.py", "cli/*|__main__.py", ("pipeline.cli",)),
    Rule("4 control sees a client", "pipeline/control/*.py", "local_setup.py", BELOW),
    Rule("4 the preflight sees a client", "pipeline/preflight/*.py", "", BELOW),
    Rule("4 the report sees a client", "pipeline/report/*.py", "", BELOW),
    Rule("4 the studio sees a client", "pipeline/studio/*.py", "", ("pipeline.builder", "steps", *BELOW)),
    Rule("4 the CLI sees control", "pipeline/cli/*.py", "", ("pipeline.builder", *BELOW)),
    Rule("4 the plan sees a client", "pipeline/plan/*.py", "", PLAN_NEVER),
    Rule("4 models are seen through a client", "pipeline/models/*.py", "", PLAN_NEVER),
    Rule("4 AWS lies below the client", "pipeline/aws/*.py", "", AWS_NEVER),
    Rule("4 the template needs no service", "pipeline/infra/*.py", "", ("pipeline.local", "pipeline.builder", *SDK)),
    Rule("5 pipeline imports nothing", "pipeline/__init__.py", "", ("",)),
]
# rule 6: the path of `darkroom start --wait` on a validated definition, in the command and in its runner
NEVER_ON_THE_FAST_PATH = (
    *("torch", "numpy", "sagemaker", "pydantic", "botocore", "boto3", "yaml", "rich", "jinja2", "optuna"),
    *("asyncio", "dataclasses", "inspect", "typing", "logging", "subprocess", "tempfile", "uuid", "urllib", "tarfile"),
)


def files(rule: Rule) -> list[Path]:
    left_out = [pattern for pattern in rule.except_for.split("|") if pattern]
    return [path for path in sorted(ROOT.glob(rule.files)) if not any(path.match(pattern) for pattern in left_out)]


@cache
def imported(path: Path) -> set[str]:
    """Absolute names of all modules that a file imports anywhere, `from a import b` as a.b and as a."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: a relative import"
            found.add(node.module or "")
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    return found - {"__future__"} - {name for name in found if name.startswith("__future__.")}


def reaches(name: str, forbidden: str) -> bool:
    return not forbidden or name == forbidden or name.startswith(f"{forbidden}.")


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_each_rule_matches_files_and_none_of_them_breaks_it(rule: Rule) -> None:
    matched = files(rule)
    assert matched
    broken = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in matched
        for name in sorted(imported(path))
        if any(reaches(name, forbidden) for forbidden in rule.never)
    ]
    assert broken == []


def behind(*modules: str) -> set[str]:
    """Files of ours that these modules import, directly or not; without packages' own, and what errors are called."""
    found: set[str] = set()
    waiting = set(modules)
    while waiting:
        file = waiting.pop().replace(".", "/") + ".py"
        package = file.replace(".py", "/__init__.py")
        for path in {file, package} - found:
            if (ROOT / path).is_file():
                found.add(path)
                waiting |= {name for name in imported(ROOT / path) if name.startswith(("pipeline.", "steps."))}
    return {path for path in found if not path.endswith("__init__.py")} - {"pipeline/errors.py"}


def test_a_verdict_is_forgotten_when_what_rules_go_by_changes() -> None:
    beside = {path for path in behind("pipeline.validate.check") if not path.startswith("pipeline/validate/")}
    assert beside == {f"pipeline/{name}" for name in verdict.BESIDE}


def test_what_was_compiled_is_forgotten_when_what_compiles_it_changes() -> None:
    compilers = ("builder", "config", "own_network", "own_rules", "model_files", "compiled", "compile")
    needed = behind(*(f"pipeline.{name}" for name in compilers))
    assert [path for path in sorted(needed) if not path.startswith(SOURCES)] == []


@pytest.mark.parametrize("text", ["import torch.nn", "from torch import nn", "def f():\n    import torch"])
def test_an_import_anywhere_in_a_file_is_seen(tmp_path: Path, text: str) -> None:
    path = tmp_path / "module.py"
    path.write_text(text)
    assert any(reaches(name, "torch") for name in imported(path))


def test_a_module_whose_name_only_begins_alike_is_another_one() -> None:
    assert not reaches("torchvision", "torch")


FAST = (
    "pipeline",
    "pipeline.cli",
    "pipeline.cli.start",
    "pipeline.local.service",
    "pipeline.compile",
    "pipeline.client",
    "pipeline.verdict",
)


@pytest.mark.parametrize("module", FAST)
def test_modules_that_start_fast_import_nothing_heavy(module: str) -> None:
    loaded = loaded_after(f"import {module}") - loaded_after("pass")
    assert module in loaded
    assert not loaded & set(NEVER_ON_THE_FAST_PATH)


@cache
def loaded_after(statement: str) -> set[str]:
    code = f"{statement}; import sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.mark.slow
def test_a_validated_definition_starts_and_ends_without_heavy_imports(tmp_path: Path) -> None:
    definition = tmp_path / "chain.json"
    definition.write_text(json.dumps(chain(tmp_path)))
    command = ["-m", "pipeline", "start", str(definition), "--wait", "--image", "img*=python3"]
    environment = {**os.environ, "DARKROOM_HOME": str(tmp_path / "home")}
    run = {"cwd": ROOT, "env": environment, "capture_output": True, "text": True, "check": True}
    subprocess.run([sys.executable, *command], **run)
    timed = subprocess.run([sys.executable, "-X", "importtime", *command], **run)
    log = tmp_path / "home" / "logs" / timed.stdout.strip().rpartition("/")[2] / "runner.log"
    loaded = modules(timed.stderr) | modules(log.read_text())
    assert {"pipeline.local.executor", "pipeline.cli.start"} <= loaded
    assert not loaded & set(NEVER_ON_THE_FAST_PATH)


def modules(importtime: str) -> set[str]:
    return set(re.findall(r"^import time:.*\| +(\S+)$", importtime, re.MULTILINE))


def chain(folder: Path) -> dict[str, object]:
    """Two no-op processing steps and a condition."""
    program = folder / "step.py"
    program.write_text("print('done')")
    steps = [processing("First", program, []), processing("Second", program, ["First"])]
    condition = {
        "Name": "Check",
        "Type": "Condition",
        "DependsOn": ["Second"],
        "Arguments": {
            "Conditions": [{"Type": "Equals", "LeftValue": {"Get": "Parameters.Wanted"}, "RightValue": 1}],
            "IfSteps": [],
            "ElseSteps": [],
        },
    }
    parameters = [{"Name": "Wanted", "Type": "Integer", "DefaultValue": 1}]
    return {"Version": "2020-12-01", "Metadata": {}, "Parameters": parameters, "Steps": [*steps, condition]}


def processing(name: str, program: Path, after: list[str]) -> dict[str, object]:
    cluster = {"InstanceCount": 1, "InstanceType": "ml.m5.large", "VolumeSizeInGB": 10}
    return {
        "Name": name,
        "Type": "Processing",
        **({"DependsOn": after} if after else {}),
        "Arguments": {
            "AppSpecification": {"ImageUri": "img:1", "ContainerEntrypoint": ["python3", str(program)]},
            "ProcessingResources": {"ClusterConfig": cluster},
            "RoleArn": "arn:aws:iam::111122223333:role/darkroom",
        },
    }
