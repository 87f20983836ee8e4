"""Rules over weights: how they begin, how much they are changed, whether they change at all."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from health.rules.weights import poor_weight_initialization, unchanged_tensor, weight_update_ratio
from health.verdicts import ISSUES_FOUND, NO_ISSUES_FOUND, NOT_EVALUATED
from health.view import Records
from hypothesis import given
from hypothesis import strategies as st

FLAT = [2.3, 2.31, 2.29, 2.32, 2.28, 2.3, 2.31, 2.29, 2.3, 2.3]
FALLING = [2.3, 2.2, 2.1, 2.0, 1.9, 1.8, 1.7, 1.6, 1.5, 1.4]


def beginning(losses: list[float], deviations: tuple[float, float], spread: float = 0.1, step: int = 0) -> Records:
    """Inputs of two ReLUs and a gradient, in one record."""
    return Records.of(
        steps={"loss": losses, "mode": "train"},
        tensors={
            "step": step,
            "kind": ["input", "input", "gradient"],
            "name": ["relu1", "relu2", "fc.weight"],
            "layer": ["ReLU", "ReLU", "Linear"],
            "std": [*deviations, 1.0],
            "p5": -spread / 2,
            "p95": spread / 2,
        },
    )


def test_variances_that_differ_too_much_and_a_loss_that_stays_are_a_poor_beginning() -> None:
    verdict = poor_weight_initialization(beginning(FLAT, (4.0, 1.0)))
    assert (verdict.status, verdict.step, verdict.tensor, verdict.points) == (ISSUES_FOUND, 0, "relu2", 13)
    assert (verdict.value, verdict.threshold) == (16.0, 10.0)
    assert "16 times the variance" in verdict.message
    assert "from 2.3 to 2.3 in the first 10 steps" in verdict.message


def test_a_loss_that_falls_excuses_variances() -> None:
    verdict = poor_weight_initialization(beginning(FALLING, (4.0, 1.0)))
    assert verdict.status == NO_ISSUES_FOUND
    assert "though what goes into relu1" in verdict.message


def test_a_loss_that_stays_alone_is_no_fault_of_the_weights() -> None:
    assert poor_weight_initialization(beginning(FLAT, (2.0, 1.0))).status == NO_ISSUES_FOUND


def test_gradients_that_are_all_alike_and_a_loss_that_stays_are_a_poor_beginning() -> None:
    verdict = poor_weight_initialization(beginning(FLAT, (1.0, 1.0), spread=1e-5))
    assert (verdict.status, verdict.tensor, verdict.threshold) == (ISSUES_FOUND, "fc.weight", 0.001)
    assert verdict.value == pytest.approx(1e-5)


@pytest.mark.parametrize("loss", [np.nan, np.inf])
def test_a_loss_that_is_not_finite_does_not_converge(loss: float) -> None:
    assert poor_weight_initialization(beginning([2.3] * 5 + [loss] * 5, (4.0, 1.0))).status == ISSUES_FOUND


def test_a_layer_fed_zeros_only_has_infinitely_less_variance() -> None:
    assert poor_weight_initialization(beginning(FLAT, (0.0, 1.0))).tensor == "relu1"


def test_the_beginning_is_judged_once_its_steps_are_over() -> None:
    verdict = poor_weight_initialization(beginning(FLAT[:7], (4.0, 1.0)))
    assert (verdict.status, verdict.points) == (NOT_EVALUATED, 7)
    assert "needs the losses of 10 steps and has 7" in verdict.message
    assert poor_weight_initialization(beginning(FLAT[:7], (4.0, 1.0)), steps=6, patience=3).status == ISSUES_FOUND


def test_what_is_recorded_after_the_first_steps_is_no_beginning() -> None:
    records = beginning([*FLAT, *FALLING], (1.0, 1.0))
    later = beginning(FLAT, (4.0, 1.0), step=15)
    both = {name: np.concatenate([records.tensors[name], later.tensors[name]]) for name in records.tensors}
    assert poor_weight_initialization(records._replace(tensors=both)).status == NO_ISSUES_FOUND
    assert poor_weight_initialization(records._replace(tensors=later.tensors)).status == ISSUES_FOUND  # the first one


def test_without_tensors_a_beginning_is_not_judged() -> None:
    verdict = poor_weight_initialization(Records.of(steps={"loss": FLAT}))
    assert verdict.status == NOT_EVALUATED
    assert verdict.advice


def updates(**columns: Any) -> dict[str, Any]:
    return {"kind": "update", "name": "fc.weight", "count": 100, "std": 0.001, "mean": 0.0, **columns}


def test_updates_that_are_too_large_are_told_from_such_that_are_too_small() -> None:
    large = weight_update_ratio(Records.of(tensors=updates(ratio=[0.01, 11.0])))
    assert (large.status, large.step, large.value, large.threshold) == (ISSUES_FOUND, 1, 11.0, 10.0)
    assert "lower the learning rate" in large.advice
    small = weight_update_ratio(Records.of(tensors=updates(ratio=[0.01, 1e-9])))
    assert (small.status, small.threshold, "raise" in small.advice) == (ISSUES_FOUND, 1e-8, True)
    assert weight_update_ratio(Records.of(tensors=updates(ratio=[0.01, 0.1]))).status == NO_ISSUES_FOUND


def test_an_update_of_zeros_is_too_small() -> None:
    assert weight_update_ratio(Records.of(tensors=updates(ratio=[0.0], std=0.0))).status == ISSUES_FOUND


def test_weights_that_were_zero_have_no_ratio() -> None:
    lengths = np.array([0.001 * 10])  # of 100 elements that deviate by 0.001
    records = Records.of(tensors=updates(ratio=lengths / 1e-9))
    assert weight_update_ratio(records).status == NOT_EVALUATED


def test_biases_and_a_job_without_updates_are_not_judged() -> None:
    assert weight_update_ratio(Records.of(tensors=updates(name="fc.bias", ratio=[1e-12]))).status == NOT_EVALUATED
    assert weight_update_ratio(Records.of()).status == NOT_EVALUATED


def test_a_schedule_that_ends_near_zero_may_hold_weights_still() -> None:
    tensors = updates(step=[0, 9], ratio=[0.01, 1e-10])
    fallen = {"step": np.arange(10), "lr": [0.1] * 9 + [1e-6]}
    assert weight_update_ratio(Records.of(steps=fallen, tensors=tensors)).status == NO_ISSUES_FOUND
    constant = {"step": np.arange(10), "lr": 0.1}
    assert weight_update_ratio(Records.of(steps=constant, tensors=tensors)).status == ISSUES_FOUND


def weights(**columns: Any) -> dict[str, Any]:
    return {"kind": "weight", "name": "fc.weight", **columns}


def test_weights_are_unchanged_when_enough_records_in_a_row_are_equal() -> None:
    changes = [np.nan, 5.0, 0.5, 2.0, 0.9, 1.0]
    records = Records.of(tensors=weights(step=np.arange(6) * 100, change=changes))
    verdict = unchanged_tensor(records)
    assert (verdict.status, verdict.step, verdict.value, verdict.points) == (ISSUES_FOUND, 500, 1.0, 5)
    assert unchanged_tensor(records, num_steps=2).step == 200
    longer = unchanged_tensor(records, num_steps=4)
    assert (longer.status, "at most over 3" in longer.message) == (NO_ISSUES_FOUND, True)


def test_equal_records_of_different_tensors_are_not_a_row() -> None:
    names = ["a.weight", "b.weight"] * 3
    changes = [np.nan, np.nan, 9.0, 0.1, 0.1, 9.0]
    records = Records.of(tensors=weights(step=[0, 0, 1, 1, 2, 2], name=names, change=changes))
    assert unchanged_tensor(records).status == NO_ISSUES_FOUND


def test_frozen_weights_and_weights_that_are_not_a_number_may_stay() -> None:
    table = weights(step=[0, 1, 2], change=[np.nan, 0.0, 0.0], nan=5)
    assert unchanged_tensor(Records.of(tensors=table)).status == NO_ISSUES_FOUND
    assert unchanged_tensor(Records.of(tensors=table), equal_nan=True).status == ISSUES_FOUND
    frozen = {
        "step": [0, 0, 1, 1],
        "kind": ["weight", "gradient"] * 2,
        "name": ["frozen.weight", "fc.weight"] * 2,
        "change": [np.nan, np.nan, 0.0, np.nan],
    }
    assert unchanged_tensor(Records.of(tensors=frozen), num_steps=2).status == NOT_EVALUATED


def test_weights_have_to_be_recorded_twice() -> None:
    verdict = unchanged_tensor(Records.of(tensors=weights(change=[np.nan])))
    assert (verdict.status, verdict.points) == (NOT_EVALUATED, 1)
    assert unchanged_tensor(Records.of()).status == NOT_EVALUATED


def test_a_schedule_that_ends_may_leave_weights_equal() -> None:
    table = weights(step=[0, 8, 9], change=[np.nan, 0.5, 0.5])
    rates = {"step": np.arange(10), "lr": [0.1] * 8 + [0.02] * 2}
    assert unchanged_tensor(Records.of(steps=rates, tensors=table)).status == NO_ISSUES_FOUND
    assert unchanged_tensor(Records.of(steps={**rates, "lr": 0.1}, tensors=table)).status == ISSUES_FOUND


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from([np.nan, 0.5, 1.0, 2.0])), max_size=30),
    st.integers(2, 5),
)
def test_equal_records_are_counted_as_a_loop_would(rows: list[tuple[str, float]], num_steps: int) -> None:
    streaks, steps = dict.fromkeys("abc", 0), []
    for step, (name, change) in enumerate(rows):
        streaks[name] = streaks[name] + 1 if change <= 1 else 0
        steps += [step] if streaks[name] >= num_steps - 1 else []
    names, changes = [name for name, _ in rows], [change for _, change in rows]
    verdict = unchanged_tensor(Records.of(tensors=weights(name=names, change=changes)), num_steps=num_steps)
    if all(np.isnan(changes)):
        assert verdict.status == NOT_EVALUATED
    else:
        assert verdict.step == (steps[0] if steps else None)
