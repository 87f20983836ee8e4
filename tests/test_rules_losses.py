"""Rules over losses and time: does training get anywhere, does it fit too much, does it go on at all?"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from health.rules.losses import loss_not_decreasing, overfit, overtraining, stalled_training
from health.verdicts import ISSUES_FOUND, NO_ISSUES_FOUND, NOT_EVALUATED
from health.view import Records
from hypothesis import given
from hypothesis import strategies as st


def training(*losses: float) -> Records:
    return Records.of(steps={"loss": list(losses), "mode": "train"})


def epochs(train: list[float], validation: list[float]) -> Records:
    """Two batches an epoch, of 30 and 10 pictures, with the mean that is given; then a validation."""
    steps: dict[str, list[Any]] = {name: [] for name in ("step", "epoch", "mode", "loss", "examples")}
    for place, (mean, judged) in enumerate(zip(train, validation, strict=True)):
        steps["step"] += [2 * place, 2 * place + 1, 2 * place + 1]
        steps["epoch"] += [place + 1] * 3
        steps["mode"] += ["train", "train", "validation"]
        steps["loss"] += [mean / 2, mean * 2.5, judged]
        steps["examples"] += [30, 10, 100]
    return Records.of(steps=steps)


@pytest.mark.parametrize("rule", [loss_not_decreasing, overfit, overtraining, stalled_training])
def test_a_job_without_a_step_is_not_judged(rule: Any) -> None:
    verdict = rule(Records.of())
    assert (verdict.status, verdict.points) == (NOT_EVALUATED, 0)
    assert verdict.advice


def test_training_losses_are_compared_by_blocks() -> None:
    verdict = loss_not_decreasing(training(3, 1, 1, 2, 1.5, 0.5), num_steps=2)
    assert verdict.status == NO_ISSUES_FOUND  # 3, 1, 1.5 would be an issue
    assert verdict.points == 6


def test_a_block_that_does_not_decrease_is_named_with_its_step() -> None:
    verdict = loss_not_decreasing(training(3, 1, 2, 2, 1, 1), num_steps=2)
    assert (verdict.status, verdict.step, verdict.value, verdict.threshold) == (ISSUES_FOUND, 2, 2.0, 2.0)
    assert "2 after 2 at step 0 (1 of 2 comparisons)" in verdict.message


def test_a_block_that_is_not_whole_yet_is_not_compared() -> None:
    assert loss_not_decreasing(training(3, 3, 2, 2, 9), num_steps=2).status == NO_ISSUES_FOUND
    assert loss_not_decreasing(training(3, 3, 9), num_steps=2).status == NOT_EVALUATED


def test_validation_comes_before_training_and_mode_says_otherwise() -> None:
    records = epochs([2, 1, 3], [2, 1.5, 1])
    assert loss_not_decreasing(records, num_steps=2).status == NO_ISSUES_FOUND
    assert loss_not_decreasing(records, num_steps=2, mode="TRAIN").step == 4
    assert loss_not_decreasing(records, num_steps=2, mode="GLOBAL").step == 4
    assert loss_not_decreasing(records, num_steps=2, mode="EVAL").points == 3


def test_losses_are_compared_over_at_least_so_many_steps_as_aws_s_example_has_it() -> None:
    steps = np.arange(0, 40, 3)
    losses = np.where(np.isin(steps, [9, 21, 33]), 1.0, 5.0)
    records = Records.of(steps={"step": steps[3:], "loss": losses[3:], "mode": "validation"})
    verdict = loss_not_decreasing(records)
    assert (verdict.step, "step 9" in verdict.message, "2 of 2" in verdict.message) == (21, True, True)


def test_a_loss_has_to_decrease_by_so_many_percent() -> None:
    records = epochs([1, 1], [2.0, 1.8])
    assert loss_not_decreasing(records, num_steps=1, diff_percent=10.0).status == NO_ISSUES_FOUND
    verdict = loss_not_decreasing(records, num_steps=1, diff_percent=10.1)
    assert (verdict.status, "by 10.1 %" in verdict.message) == (ISSUES_FOUND, True)


@pytest.mark.parametrize("loss", [np.nan, np.inf])
def test_a_loss_that_is_not_finite_does_not_decrease(loss: float) -> None:
    verdict = loss_not_decreasing(training(3, 3, 2, 2, loss, 1, 1, 1), num_steps=2)
    assert (verdict.status, verdict.step) == (ISSUES_FOUND, 4)


@given(st.lists(st.floats(0, 10), max_size=40), st.integers(1, 12))
def test_blocks_are_judged_as_a_loop_would(losses: list[float], num_steps: int) -> None:
    blocks = [losses[start : start + num_steps] for start in range(0, len(losses), num_steps)]
    means = [sum(block) / num_steps for block in blocks if len(block) == num_steps]
    verdict = loss_not_decreasing(training(*losses), num_steps=num_steps)
    if len(means) < 2:
        assert verdict.status == NOT_EVALUATED
        return
    close = [abs(one - other) < 1e-9 for one, other in zip(means, means[1:], strict=False)]
    if not any(close):  # the sums are added up in another order
        worse = [other >= one for one, other in zip(means, means[1:], strict=False)]
        assert verdict.status == (ISSUES_FOUND if any(worse) else NO_ISSUES_FOUND)
        assert verdict.step == ((worse.index(True) + 1) * num_steps if any(worse) else None)


def test_validation_that_is_worse_than_training_is_overfit() -> None:
    records = epochs([2.0, 1.0, 0.5], [2.0, 1.05, 1.0])
    verdict = overfit(records)
    assert (verdict.status, verdict.step, verdict.points, verdict.threshold) == (ISSUES_FOUND, 5, 3, 0.1)
    assert verdict.value == pytest.approx(1.0)
    assert "100 % above training loss 0.5" in verdict.message


def test_validation_as_good_as_training_is_no_overfit() -> None:
    verdict = overfit(epochs([2.0, 1.0], [1.5, 1.05]))
    assert (verdict.status, "5 % above" in verdict.message) == (NO_ISSUES_FOUND, True)
    assert "25 % below" in overfit(epochs([3.0, 2.0], [1.5, 1.5])).message


def test_validation_that_still_falls_fast_is_no_overfit() -> None:
    assert overfit(epochs([1.6, 1.0, 0.7, 0.6], [67.0, 2.3, 1.5, 0.6])).status == NO_ISSUES_FOUND
    assert overfit(epochs([1.6, 1.0, 0.7, 0.6], [67.0, 2.3, 2.2, 0.6])).step == 5


def test_overfit_waits_for_its_patience_in_a_row() -> None:
    records = epochs([1.0] * 5, [2.0, 2.0, 1.0, 2.0, 2.0])
    assert overfit(records).step == 3
    assert overfit(records, patience=2).step == 9
    assert overfit(records, patience=3).status == NO_ISSUES_FOUND
    assert overfit(records, start_step=4).step == 7
    assert overfit(records, patience=2, start_step=8).status == NO_ISSUES_FOUND
    assert overfit(records, start_step=10).status == NOT_EVALUATED


def test_one_epoch_says_nothing_of_overfit() -> None:
    assert overfit(epochs([1.0], [2.0])).status == NOT_EVALUATED


@pytest.mark.parametrize("train", [np.nan, 0.0, np.inf])
def test_an_epoch_without_a_usable_loss_is_left_out(train: float) -> None:
    assert overfit(epochs([train, 1.0], [1.0, 2.0])).status == NOT_EVALUATED
    assert overfit(epochs([train, 1.0, 1.0], [1.0, 2.0, 2.0])).points == 2


def test_losses_that_both_stand_still_are_overtraining() -> None:
    records = epochs([1.0, 0.5, 0.45, 0.45, 0.45], [1.0, 0.6, 0.55, 0.55, 0.55])
    verdict = overtraining(records, patience_train=2, patience_validation=3)
    assert (verdict.status, verdict.step, verdict.points) == (ISSUES_FOUND, 9, 5)
    assert verdict.value == pytest.approx(0.05)
    assert "For 3 epochs" in verdict.message


def test_training_that_still_improves_is_no_overtraining() -> None:
    train = [1.0, 0.8, 0.6, 0.4, 0.2]
    assert overtraining(epochs(train, [1.0] * 5), patience_train=2, patience_validation=2).status == NO_ISSUES_FOUND
    assert overtraining(epochs([1.0] * 5, train), patience_train=2, patience_validation=2).status == NO_ISSUES_FOUND


def test_overtraining_needs_more_epochs_than_its_patience() -> None:
    verdict = overtraining(epochs([1.0] * 10, [1.0] * 10))
    assert (verdict.status, verdict.points) == (NOT_EVALUATED, 10)


def test_losses_that_are_not_a_number_do_not_improve() -> None:
    nothing = [np.nan] * 4
    assert overtraining(epochs(nothing, nothing), patience_train=2, patience_validation=2).status == ISSUES_FOUND


def clock(ended: list[float], seconds: list[float], **more: Any) -> Records:
    return Records.of(steps={"step": np.arange(len(ended)) + 5, "ended": ended, "seconds": seconds, **more})


def test_a_step_that_takes_too_long_has_stalled() -> None:
    verdict = stalled_training(clock([10, 2010, 2020], [1, 2000, 10]))
    assert (verdict.status, verdict.step, verdict.value) == (ISSUES_FOUND, 6, 2000.0)
    assert "at step 6" in verdict.message


def test_a_job_that_goes_on_has_not_stalled_until_now_is_too_late() -> None:
    records = clock([10, 20], [10, 10])
    assert stalled_training(records).status == NO_ISSUES_FOUND
    assert stalled_training(records, now=1820).status == NO_ISSUES_FOUND
    verdict = stalled_training(records, now=1821)
    assert (verdict.status, verdict.value, "after step 6" in verdict.message) == (ISSUES_FOUND, 1801.0, True)


def test_the_time_between_two_lives_of_a_job_does_not_count() -> None:
    assert stalled_training(clock([10, 99_999], [10, 10])).status == NO_ISSUES_FOUND


def test_steps_without_a_clock_of_their_own_are_told_by_their_ends() -> None:
    assert stalled_training(clock([10, 99_999], [np.nan, np.nan])).step == 6
    assert stalled_training(clock([10], [np.nan])).status == NO_ISSUES_FOUND
    assert stalled_training(Records.of(steps={"loss": [1.0]})).status == NOT_EVALUATED
