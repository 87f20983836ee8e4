"""docs/architecture.md names what is there, and why each dependency is."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from pipeline.config.hyperparameters import Hyperparameters

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")


def section(title: str) -> str:
    return TEXT.partition(f"## {title}\n")[2].partition("\n## ")[0]


TABLES = {  # folder → which table, and what its paths begin with
    "pipeline": (0, "pipeline/"),
    "entrypoints": (1, ""),
    "entrypoints/training": (2, ""),
    "entrypoints/evaluation": (3, ""),
    "entrypoints/serving": (4, ""),
    "entrypoints/health": (5, ""),
    "pipeline/local": (6, ""),
    "pipeline/iam": (7, ""),
    "pipeline/aws": (8, ""),
    "pipeline/preflight": (9, ""),
    "pipeline/models": (10, ""),
    "pipeline/report": (11, ""),
    "pipeline/plan": (12, ""),
    "pipeline/studio": (13, ""),
}
DEEP = "entrypoints/health"  # its table names the files of its folders, too


@pytest.mark.parametrize("folder", TABLES)
def test_the_tables_name_every_module_and_folder_and_no_other(folder: str) -> None:
    number, prefix = TABLES[folder]
    if folder == DEEP:
        paths = (ROOT / folder).rglob("*.py")
        there = {path.relative_to(ROOT / folder).as_posix() for path in paths if path.name != "__init__.py"}
    else:
        there = {path.name for path in (ROOT / folder).glob("*.py") if path.name != "__init__.py"}
        there |= {f"{path.parent.name}/" for path in (ROOT / folder).glob("*/__init__.py")} - {"local/"}
    heads = r"[Bb]elow `(?:entrypoints|pipeline/(?:local|iam|aws|models|preflight|report|plan|studio))[a-z/]*`"
    rows = re.split(heads, section("Where each thing lives"))[number]
    cells = [line.split("|")[1] for line in rows.splitlines() if line.startswith("| `")]
    named = {name.removeprefix(prefix) for cell in cells for name in re.findall(rf"`({prefix}[^`]+)`", cell)}
    assert named == there


def test_each_dependency_has_its_reason() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    needed = {re.split(r"[<>=\[]", line)[0] for line in project["dependencies"]}
    rows = [line.split("|")[1:3] for line in section("Dependencies").splitlines()[2:] if line.startswith("| ")]
    assert {name.strip() for names, _ in rows for name in names.split(",")} == needed
    assert all(reason.strip() for _, reason in rows)


def test_every_module_of_preparation_stands_in_the_way_of_the_data() -> None:
    text = (ROOT / "docs" / "data.md").read_text(encoding="utf-8")
    rows = text.partition("## The way of the data")[2].partition("\n## ")[0]
    named = set(re.findall(r"`(\w+\.py)`", rows)) - {"images.py", "colour.py"}
    assert named == {path.name for path in (ROOT / "entrypoints/preparation").glob("*.py")} - {"__init__.py"}


def test_training_tells_every_option_and_no_other() -> None:
    text = (ROOT / "docs" / "training.md").read_text(encoding="utf-8")
    rows = text.partition("## Options")[2].partition("\n## ")[0].splitlines()
    cells = [line.split("|")[2] for line in rows if "| `" in line]
    several = {"sync_batch_norm"} if "`sync_batch_norm: true`" in text else set()
    named = set(re.findall(r"`(\w+)`", " ".join(cells))) | several
    start = {"name", "stem", "dropout", "trainable_layers", "weights", "warm_start"}
    assert named == {*Hyperparameters.model_fields, *start} - {"seed"}
