"""The examples compile to definitions that the service would take; the two published cases as published."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.builder import build
from pipeline.cli import SUMMARIES
from pipeline.config import Config, load_config
from pipeline.validate import validate

ROOT = Path(__file__).parent.parent
EXAMPLES = sorted((ROOT / "examples").glob("*.yaml"))
every_example = pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)


def definition(config: Config) -> dict[str, Any]:
    built: dict[str, Any] = json.loads(build(config, ROOT / "entrypoints").definition_json)
    return built


def defaults(document: dict[str, Any]) -> dict[str, Any]:
    return {each["Name"]: each["DefaultValue"] for each in document["Parameters"]}


def test_both_cases_are_there() -> None:
    assert {path.stem for path in EXAMPLES} >= {"cifar10", "dog_breeds"}


@every_example
def test_each_example_compiles_to_a_definition_without_findings(path: Path) -> None:
    assert [str(finding) for finding in validate(definition(load_config(path)))] == []


@every_example
def test_each_example_trains_on_a_gpu_and_reads_its_archive_from_s3(path: Path) -> None:
    document = definition(load_config(path))
    values = defaults(document)
    assert values["DatasetUri"].startswith("s3://your-bucket/")
    assert values["DatasetUri"].endswith((".zip", ".tar.gz"))
    assert values["TrainingInstanceType"].startswith("ml.g")
    assert re.search(r":2\.12-cu\d+-", json.dumps(document["Steps"]))


@every_example
def test_each_example_searches_the_published_ranges(path: Path) -> None:
    ranges = load_config(path).tuning.ranges
    assert (ranges["lr"].min, ranges["lr"].max) == (0.001, 0.1)
    assert ranges["batch_size"].values == (16, 32, 64, 128, 256, 512)
    assert (ranges["epochs"].min, ranges["epochs"].max) == (2, 6)


@every_example
def test_each_example_also_compiles_as_the_second_published_case(path: Path, tmp_path: Path) -> None:
    """ResNet50, and 50 epochs instead of those of the trials."""
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    document["model"]["name"] = "resnet50"
    document["training"]["hyperparameters"]["epochs"] = 50
    del document["tuning"]["ranges"]["epochs"]
    (tmp_path / "pipeline.yaml").write_text(json.dumps(document))
    second = definition(load_config(tmp_path / "pipeline.yaml"))
    assert defaults(second)["TrainingEpochs"] == 50
    assert [str(finding) for finding in validate(second)] == []


@every_example
def test_the_commands_of_each_example_fit_its_pipeline(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    commands = [shlex.split(line) for line in re.findall(r"(?m)^#   (darkroom .+)$", text)]
    assert [words[:4] for words in commands] == [["darkroom", "run", "-c", f"examples/{path.name}"]]
    assert "run" in SUMMARIES
    named = {word.partition("=")[0] for words in commands for word in words if "=" in word}
    assert named
    assert named <= set(defaults(definition(load_config(path))))


def test_the_published_test_split_of_cifar_is_left_as_it_is() -> None:
    config = load_config(ROOT / "examples" / "cifar10.yaml")
    assert (config.dataset.kind, config.dataset.image_size) == ("cifar10", 32)
    assert (config.doctor.leaks, config.doctor.conflicting_labels) == ("drop", "warn")


@every_example
def test_names_of_examples_do_not_meet_in_one_account(path: Path) -> None:
    names = [load_config(each).pipeline.name for each in (*EXAMPLES, ROOT / "pipeline.yaml")]
    assert names.count(load_config(path).pipeline.name) == 1


def test_the_network_of_ones_own_compiles_and_its_commands_are_ours() -> None:
    path = ROOT / "examples/own_network/pipeline.yaml"
    assert [str(finding) for finding in validate(definition(load_config(path)))] == []
    commands = [shlex.split(line)[:4] for line in re.findall(r"(?m)^#   (darkroom .+?)(?:  .*)?$", path.read_text())]
    assert commands == [["darkroom", word, "-c", "examples/own_network/pipeline.yaml"] for word in ("validate", "run")]
    assert load_config(path).pipeline.name not in [load_config(each).pipeline.name for each in EXAMPLES]
