"""What roles need anew for a definition that differs from the deployed one."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest

from pipeline.builder import build
from pipeline.config import Config, load_config
from pipeline.definition import Definition
from pipeline.plan import words
from pipeline.plan.permissions import Needed, needed

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def config() -> Config:
    return load_config(ROOT / "pipeline.yaml")


@pytest.fixture(scope="module")
def text(config: Config) -> str:
    return build(config, ROOT / "entrypoints").definition_json


def test_the_same_definition_needs_nothing(config: Config, text: str) -> None:
    assert needed(config, Definition.parse(text), Definition.parse(text)) == ()


def test_another_input_has_to_be_read(config: Config, text: str) -> None:
    new = copy.deepcopy(Definition.parse(text).document)
    prepare = next(step for step in new["Steps"] if step["Name"] == "PrepareData")
    prepare["Arguments"]["ProcessingInputs"][0]["S3Input"]["S3Uri"] = "s3://elsewhere/code/"
    found = needed(config, Definition.parse(text), Definition(new))
    assert ("s3:GetObject",) in [each.actions for each in found]
    assert any("elsewhere" in place for each in found for place in each.resources)


def test_what_is_left_out_needs_nothing(config: Config, text: str) -> None:
    new = copy.deepcopy(Definition.parse(text).document)
    new["Steps"] = [step for step in new["Steps"] if step["Name"] == "PrepareData"]
    assert needed(config, Definition.parse(text), Definition(new)) == ()


def test_another_role_is_told_as_one(config: Config, text: str) -> None:
    new = copy.deepcopy(Definition.parse(text).document)
    prepare = next(step for step in new["Steps"] if step["Name"] == "PrepareData")
    prepare["Arguments"]["RoleArn"] = "arn:aws:iam::111122223333:role/other"
    found = needed(config, Definition.parse(text), Definition(new))
    assert Needed("arn:aws:iam::111122223333:role/other", (), ()) in found


@pytest.mark.parametrize(
    ("actions", "said"),
    [
        ((), "other is another role: darkroom iam has its policies"),
        (("s3:GetObject",), "other needs s3:GetObject on arn:a and 1 more"),
    ],
)
def test_it_is_said_in_one_line(actions: tuple[str, ...], said: str) -> None:
    assert words.permission(Needed("arn:aws:iam::1:role/other", actions, ("arn:a", "arn:b"))) == said
