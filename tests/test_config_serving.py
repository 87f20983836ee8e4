"""The section serving: defaults that train nothing anew, and which image answers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pipeline.config import Config, load_config
from pipeline.errors import ConfigError


def loaded(folder: Path, **sections: Any) -> Config:
    path = folder / "pipeline.yaml"
    path.write_text(json.dumps(sections))
    return load_config(path)


def test_defaults_are_told_to_nobody(tmp_path: Path) -> None:
    serving = loaded(tmp_path).serving
    assert serving.hyperparameters == {}
    assert serving.environment == {}


def test_what_answers_say_is_trained_into_the_card_and_the_rest_is_the_containers(tmp_path: Path) -> None:
    serving = loaded(tmp_path, serving={"unsure_below": 0.6, "top": 3, "max_batch": 8, "queue": 9}).serving
    assert serving.hyperparameters == {"unsure_below": "0.6", "top": "3"}
    assert serving.environment == {"DARKROOM_BATCH": "8", "DARKROOM_QUEUE": "9"}


@pytest.mark.parametrize(("machine", "tag"), [("ml.m5.large", "cpu"), ("ml.g5.xlarge", "cuda")])
def test_ray_is_aws_own_image_for_the_machine(tmp_path: Path, machine: str, tag: str) -> None:
    config = loaded(tmp_path, serving={"server": "ray"}, deploy={"instance_type": machine})
    assert config.serving_image == f"763104351884.dkr.ecr.us-east-1.amazonaws.com/ray:serve-ml-sagemaker-{tag}"


def test_a_named_image_comes_first(tmp_path: Path) -> None:
    image = "763104351884.dkr.ecr.us-east-1.amazonaws.com/ray:serve-ml-sagemaker-cpu-v1.0.0"
    assert loaded(tmp_path, serving={"server": "ray"}, deploy={"image": image}).serving_image == image


def test_ray_outside_the_public_regions_has_to_be_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="deploy.image"):
        loaded(tmp_path, serving={"server": "ray"}, pipeline={"region": "cn-north-1"})


@pytest.mark.parametrize("wrong", [{"unsure_below": 1.5}, {"top": 0}, {"server": "flask"}, {"queue": 0}])
def test_impossible_values_are_refused(tmp_path: Path, wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        loaded(tmp_path, serving=wrong)
