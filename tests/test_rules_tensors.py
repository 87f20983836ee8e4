"""Rules over any tensor: a table that fires each one, one that does not, one without its data."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from health.rules.tensors import all_zero, exploding_tensor, tensor_variance, vanishing_gradient
from health.verdicts import ISSUES_FOUND, NO_ISSUES_FOUND, NOT_EVALUATED
from health.view import Records

RULES = (vanishing_gradient, exploding_tensor, all_zero)


def gradients(**columns: Any) -> Records:
    rows: dict[str, Any] = {"kind": "gradient", "name": "fc.weight", "layer": "Linear", "count": 100}
    return Records.of(tensors={**rows, **columns})


@pytest.mark.parametrize("rule", RULES)
def test_without_tensors_a_rule_says_what_is_missing_and_how_to_get_it(rule: Any) -> None:
    verdict = rule(Records.of())
    assert (verdict.status, verdict.points) == (NOT_EVALUATED, 0)
    assert "recorded" in verdict.message
    assert "let the job record tensors" in verdict.advice


def test_a_gradient_that_vanishes_is_named_with_the_earliest_step_and_the_smallest_of_it() -> None:
    records = gradients(
        step=[0, 0, 100, 100, 200, 200],
        name=["a.weight", "b.weight"] * 3,
        mean_abs=[1e-3, 1e-4, 5e-8, 2e-8, 1e-9, 1e-4],
    )
    verdict = vanishing_gradient(records)
    assert (verdict.status, verdict.step, verdict.tensor, verdict.points) == (ISSUES_FOUND, 100, "b.weight", 6)
    assert verdict.value == pytest.approx(2e-8)
    assert verdict.threshold == 1e-7
    assert "(2 of 2 tensors, 3 of 6 values)" in verdict.message


def test_gradients_that_are_large_enough_are_fine() -> None:
    verdict = vanishing_gradient(gradients(mean_abs=[1e-7, 1e-3, np.nan]))
    assert (verdict.status, verdict.points) == (NO_ISSUES_FOUND, 3)
    assert "1e-07" in verdict.message


def test_the_gradient_of_a_bias_before_a_normalisation_is_no_issue() -> None:
    records = gradients(name=["conv.weight", "conv.bias"], mean_abs=[1e-3, 1e-12], step=0)
    assert vanishing_gradient(records).status == NO_ISSUES_FOUND


def test_biases_are_judged_where_nothing_else_learns() -> None:
    assert vanishing_gradient(gradients(name="fc.bias", mean_abs=[0.0])).status == ISSUES_FOUND


def test_gradients_that_are_all_not_a_number_do_not_vanish() -> None:
    verdict = vanishing_gradient(gradients(mean_abs=[np.nan]))
    assert verdict.status == NO_ISSUES_FOUND
    assert "not a number" in verdict.message


def test_a_tensor_that_explodes_is_named_with_its_counts() -> None:
    verdict = exploding_tensor(gradients(non_finite=[0, 3, 9], nan=[0, 1, 9]))
    assert (verdict.status, verdict.step, verdict.tensor, verdict.value) == (ISSUES_FOUND, 1, "fc.weight", 3.0)
    assert "3 NaN or infinite values of 100" in verdict.message


def test_of_one_step_the_tensor_is_named_that_the_others_got_it_from() -> None:
    kinds = ["weight", "gradient", "input", "output", "update"]
    table = {"step": 7, "kind": kinds, "name": ["w", "w", "first", "second", "w"]}
    found = {
        counts: exploding_tensor(Records.of(tensors={**table, "non_finite": counts})).tensor
        for counts in [(0, 9, 1, 9, 9), (0, 9, 0, 1, 9), (1, 9, 9, 9, 9)]
    }
    assert list(found.values()) == ["first", "second", "w"]


def test_infinity_is_no_issue_where_only_nan_is() -> None:
    assert exploding_tensor(gradients(non_finite=[3], nan=[0]), only_nan=True).status == NO_ISSUES_FOUND
    assert exploding_tensor(gradients(non_finite=[3], nan=[2]), only_nan=True).value == 2.0


@pytest.mark.parametrize("loss", [np.nan, np.inf])
def test_a_loss_that_explodes_before_any_tensor_is_what_is_named(loss: float) -> None:
    records = Records.of(
        steps={"loss": [1.0, loss, np.nan], "mode": "train"}, tensors={"step": [2], "kind": "weight", "non_finite": 5}
    )
    verdict = exploding_tensor(records)
    assert (verdict.status, verdict.step, verdict.tensor, verdict.points) == (ISSUES_FOUND, 1, "loss", 4)
    assert (exploding_tensor(records, only_nan=True).step == 1) == bool(np.isnan(loss))


def test_losses_are_left_out_where_other_collections_are_asked_for() -> None:
    records = Records.of(steps={"loss": [np.nan]}, tensors={"kind": ["weight"], "name": "fc.weight"})
    assert exploding_tensor(records, collection_names=("weights",)).status == NO_ISSUES_FOUND
    assert exploding_tensor(records, collection_names=("losses",)).tensor == "loss"


def test_a_job_that_records_losses_only_is_judged_by_them() -> None:
    verdict = exploding_tensor(Records.of(steps={"loss": [1.0, 0.5]}))
    assert (verdict.status, verdict.points) == (NO_ISSUES_FOUND, 2)


def test_zeros_count_from_the_threshold_on() -> None:
    records = gradients(zero_share=[0.5, 0.75, 1.0])
    verdict = all_zero(records)
    assert (verdict.status, verdict.step, verdict.value) == (ISSUES_FOUND, 2, 100.0)
    assert all_zero(records, threshold=75.0).step == 1
    assert all_zero(gradients(zero_share=[0.99])).status == NO_ISSUES_FOUND


def test_weights_that_begin_at_zero_are_judged_only_where_they_are_asked_for() -> None:
    records = Records.of(tensors={"kind": ["weight"], "name": "bn.weight", "zero_share": 1.0})
    assert all_zero(records).status == NOT_EVALUATED
    assert all_zero(records, collection_names=("weights",)).status == ISSUES_FOUND


def test_collections_and_patterns_are_united() -> None:
    records = Records.of(
        tensors={
            "step": 0,
            "kind": ["weight", "weight", "gradient", "input"],
            "name": ["fc.weight", "fc.bias", "fc.weight", "relu"],
            "layer": ["Linear", "Linear", "Linear", "ReLU"],
            "zero_share": 0.1,
        }
    )
    points = {
        (("weights",), None): 1,
        (("biases",), None): 1,
        (("weights", "biases"), None): 2,
        (("all",), None): 4,
        (("biases",), (".*relu_input",)): 2,
        (None, ("gradient/fc", "fc.w")): 2,
        (("relu_output",), None): 0,
    }
    assert {key: all_zero(records, collection_names=key[0], tensor_regex=key[1]).points for key in points} == points


def test_a_variance_is_judged_by_the_thresholds_that_are_set() -> None:
    records = Records.of(tensors={"kind": "weight", "name": "fc.weight", "std": [1.0, 3.0], "count": 10})
    assert tensor_variance(records).status == NOT_EVALUATED
    high = tensor_variance(records, max_threshold=8.0)
    assert (high.status, high.step, high.value, high.threshold) == (ISSUES_FOUND, 1, 9.0, 8.0)
    low = tensor_variance(records, min_threshold=2.0)
    assert (low.status, low.step, low.value, low.threshold) == (ISSUES_FOUND, 0, 1.0, 2.0)
    assert tensor_variance(records, max_threshold=9.0, min_threshold=1.0).status == NO_ISSUES_FOUND


def test_a_tensor_of_one_value_has_no_variance_to_judge() -> None:
    records = Records.of(tensors={"kind": "weight", "name": "scale", "std": [0.0], "count": 1})
    verdict = tensor_variance(records, min_threshold=0.1)
    assert (verdict.status, "No tensor" in verdict.message) == (NOT_EVALUATED, True)
