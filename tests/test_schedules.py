"""Learning rates: where they begin, peak and end."""

from __future__ import annotations

import pytest
from training import schedules
from training.schedules import factor

SHARES = [number / 200 for number in range(201)]


@pytest.mark.parametrize("schedule", ["onecycle", "cosine", "constant"])
@pytest.mark.parametrize("warmup", [0.1, 0.25, 0.9])
def test_every_schedule_begins_at_a_tenth_and_never_exceeds_the_whole(schedule: str, warmup: float) -> None:
    assert factor(schedule, warmup, 0) == pytest.approx(0.1)
    assert all(0 <= factor(schedule, warmup, done) <= 1 for done in SHARES)


@pytest.mark.parametrize("schedule", ["onecycle", "cosine", "constant"])
def test_without_warm_up_all_begin_at_the_whole(schedule: str) -> None:
    assert factor(schedule, 0, 0) == 1


@pytest.mark.parametrize("warmup", [0.0, 0.25, 0.9])
def test_one_cycle_peaks_after_the_warm_up_and_falls_to_nothing(warmup: float) -> None:
    assert factor("onecycle", warmup, warmup) == pytest.approx(1)
    assert factor("onecycle", warmup, 1) == pytest.approx(0)


def test_cosine_falls_over_all_steps_and_constant_stays() -> None:
    assert factor("cosine", 0.1, 0.5) == pytest.approx(0.5)
    assert factor("cosine", 0.1, 1) == pytest.approx(0)
    assert factor("constant", 0.1, 0.1) == factor("constant", 0.1, 1) == 1


@pytest.mark.parametrize("schedule", ["onecycle", "cosine", "constant"])
def test_no_schedule_jumps(schedule: str) -> None:
    factors = [factor(schedule, 0.25, done) for done in SHARES]
    assert max(abs(after - before) for before, after in zip(factors, factors[1:], strict=False)) < 0.02


def test_an_unknown_schedule_is_an_error() -> None:
    with pytest.raises(ValueError, match="step"):
        schedules.factor("step", 0.1, 0.5)
