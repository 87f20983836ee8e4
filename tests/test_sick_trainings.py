"""Trainings by train.py, each of a network with an illness of its own: the job's health.json names it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pictures
import pytest
import slowed_trainings

STACK = """
from torch import nn


def build(num_classes):
    layers = [layer for _ in range({depth}) for layer in (nn.Linear(32, 32), nn.{activation}())]
    network = nn.Sequential(nn.Flatten(), nn.Linear(768, 32), *layers, nn.Linear(32, num_classes))
{changes}    return network
"""
SIGMOIDS = STACK.format(depth=14, activation="Sigmoid", changes="")
SMALL = """
    for layer in network:
        if isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight, std=0.01)
"""
TOO_SMALL = STACK.format(depth=4, activation="ReLU", changes=SMALL)
DEAD = STACK.format(depth=2, activation="ReLU", changes="    nn.init.constant_(network[2].bias, -100.0)\n")
SATURATED = STACK.format(depth=1, activation="Tanh", changes="    nn.init.normal_(network[2].weight, std=50.0)\n")
SOUND = STACK.format(depth=1, activation="ReLU", changes="")
RULES = "VanishingGradient+ExplodingTensor+PoorWeightInitialization+SaturatedActivation+DeadRelu+WeightUpdateRatio"
RULES += "+AllZero+UnchangedTensor"


@pytest.fixture(scope="module")
def colours(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pictures.colours(tmp_path_factory.mktemp("colours"), {"train": 40, "validation": 4})


def verdicts(colours: Path, root: Path, network: str, lr: float) -> dict[str, dict[str, Any]]:
    more = [
        "--batch_size",
        "8",
        "--lr",
        str(lr),
        "--schedule",
        "constant",
        "--warmup",
        "0",
        "--profile",
        "false",
        "--weight_decay",
        "0",
    ]
    said = slowed_trainings.judged(colours, root, network, 2, *more, "--health_rules", RULES)
    return {str(verdict["rule"]): verdict for verdict in said}


@pytest.mark.parametrize(
    ("network", "lr", "found"),
    [
        (SIGMOIDS, 0.05, {"VanishingGradient"}),
        (TOO_SMALL, 0.01, {"PoorWeightInitialization"}),
        (DEAD, 0.05, {"DeadRelu", "AllZero", "UnchangedTensor", "WeightUpdateRatio"}),
        (SATURATED, 0.01, {"SaturatedActivation"}),
    ],
    ids=["sigmoids", "too small", "dead", "saturated"],
)
def test_a_job_names_what_its_network_suffers_from(
    colours: Path, tmp_path: Path, network: str, lr: float, found: set[str]
) -> None:
    said = verdicts(colours, tmp_path, network, lr)
    ill = {name for name, verdict in said.items() if verdict["status"] == "IssuesFound"}
    assert found <= ill, {name: verdict["message"] for name, verdict in said.items()}
    assert all(said[name]["step"] is not None and said[name]["advice"] for name in found)
    assert "Error" not in {verdict["status"] for verdict in said.values()}


def test_a_job_of_a_sound_network_names_nothing(colours: Path, tmp_path: Path) -> None:
    said = verdicts(colours, tmp_path, SOUND, 0.02)
    assert said.pop("SaturatedActivation")["status"] == "NotEvaluated"  # it has no sigmoid
    assert {name: verdict["status"] for name, verdict in said.items()} == dict.fromkeys(said, "NoIssuesFound")
