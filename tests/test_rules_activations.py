"""Rules over activations: saturated sigmoids and tanhs, dead ReLUs."""

from __future__ import annotations

from typing import Any

import pytest
from health.rules.activations import dead_relu, saturated_activation
from health.verdicts import ISSUES_FOUND, NO_ISSUES_FOUND, NOT_EVALUATED
from health.view import Records


def outputs(**columns: Any) -> Records:
    return Records.of(tensors={"kind": "output", "name": "act", "layer": "Tanh", **columns})


def test_a_layer_is_saturated_on_both_sides_together() -> None:
    verdict = saturated_activation(outputs(below=[0.1, 0.3], above=[0.3, 0.3]))
    assert (verdict.status, verdict.step, verdict.tensor, verdict.points) == (ISSUES_FOUND, 1, "act", 2)
    assert verdict.value == pytest.approx(60)
    assert "beyond -9.5 and 9.5" in verdict.message


def test_a_sigmoid_is_told_with_its_own_bounds() -> None:
    verdict = saturated_activation(outputs(layer="Sigmoid", below=[0.9], above=0.0), threshold_sigmoid=(-5.0, 4.0))
    assert "beyond -5 and 4" in verdict.message


def test_a_layer_that_is_half_saturated_is_fine() -> None:
    assert saturated_activation(outputs(below=[0.25], above=[0.25])).status == NO_ISSUES_FOUND
    assert saturated_activation(outputs(below=[0.25], above=[0.25]), threshold_layer=40.0).status == ISSUES_FOUND


def test_aws_s_patterns_and_collections_say_which_layers() -> None:
    records = outputs(step=0, name=["a", "b"], layer=["Tanh", "Sigmoid"], below=1.0, above=0.0)
    assert saturated_activation(records, tensor_regex=(".*tanh_input", ".*sigmoid_input")).points == 2
    assert saturated_activation(records, tensor_regex=(".*sigmoid_input",)).tensor == "b"
    assert saturated_activation(records, collection_names=("tanh_input",)).tensor == "a"


@pytest.mark.parametrize("rule", [saturated_activation, dead_relu])
def test_a_network_without_such_layers_is_not_judged(rule: Any) -> None:
    verdict = rule(Records.of(tensors={"kind": ["output", "input"], "layer": "GELU"}))
    assert (verdict.status, verdict.points) == (NOT_EVALUATED, 0)
    assert "drop the rule" in verdict.advice


def test_a_layer_of_dead_relus_is_named() -> None:
    records = outputs(step=[0, 0, 5, 5], name=["relu1", "relu2"] * 2, layer="ReLU", idle_share=[0.1, 0.5, 0.6, 0.9])
    verdict = dead_relu(records)
    assert (verdict.status, verdict.step, verdict.tensor, verdict.points) == (ISSUES_FOUND, 5, "relu2", 4)
    assert verdict.value == pytest.approx(90)
    assert dead_relu(records, tensor_regex=("relu1_",)).tensor == "relu1"
    assert dead_relu(records, threshold_layer=90.5).status == NO_ISSUES_FOUND
