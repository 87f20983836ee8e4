"""Rules over networks that are really trained: each illness is bred, and a sound network has none."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from health.recording import records
from health.recording.recorder import Recorder
from health.rules.rulebook import BOOK
from health.rules.scaling import Job
from health.verdicts import ISSUES_FOUND, NO_ISSUES_FOUND, NOT_EVALUATED
from health.view import Records
from torch import Tensor, nn
from trained_networks import BATCH, CLASSES, begun_at, data, of_dead_units, of_saturated_units, stack, trained, verdict

OF_THE_MACHINE = {name for name, rule in BOOK.items() if "system" in rule.needs}


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> tuple[Records, Job]:
    return trained(tmp_path_factory.mktemp("sound"), stack(nn.ReLU, 1), lr=0.02)


@pytest.mark.parametrize("name", [*BOOK])
def test_a_sound_network_has_no_issues(name: str, sound: tuple[Records, Job]) -> None:
    needless = {"SaturatedActivation", "TensorVariance", "MaxInitializationTime"}  # no sigmoid, no threshold, no clock
    found = verdict(name, sound)
    absent = name in needless | OF_THE_MACHINE
    assert found.status == (NOT_EVALUATED if absent else NO_ISSUES_FOUND), found.message
    assert absent or found.points > 0


def test_gradients_vanish_in_a_deep_stack_of_sigmoids(tmp_path: Path) -> None:
    found = verdict("VanishingGradient", trained(tmp_path, stack(nn.Sigmoid, 12), epochs=1))
    assert (found.status, found.tensor) == (ISSUES_FOUND, "0.weight")
    assert found.value is not None
    assert found.value < 1e-7


def test_weights_that_begin_too_large_are_a_poor_beginning(tmp_path: Path) -> None:
    found = verdict("PoorWeightInitialization", trained(tmp_path, begun_at(1.0), lr=0.5, epochs=1))
    assert found.status == ISSUES_FOUND, found.message
    assert "times the variance" in found.message


def test_weights_that_begin_too_small_are_a_poor_beginning(tmp_path: Path) -> None:
    found = verdict("PoorWeightInitialization", trained(tmp_path, begun_at(0.01), lr=0.01, epochs=2))
    assert found.status == ISSUES_FOUND, found.message


def test_labels_at_random_are_learned_by_heart(tmp_path: Path) -> None:
    run = trained(tmp_path, stack(nn.ReLU, 2), shuffled=True, epochs=30)
    found = verdict("Overfit", run)
    assert found.status == ISSUES_FOUND, found.message
    assert verdict("LossNotDecreasing", run).status == ISSUES_FOUND
    assert verdict("Confusion", run).status == ISSUES_FOUND


def test_units_far_below_zero_are_dead_and_give_no_gradient(tmp_path: Path) -> None:
    run = trained(tmp_path, of_dead_units(), epochs=1)
    assert (verdict("DeadRelu", run).tensor, verdict("DeadRelu", run).value) == ("3", 100.0)
    assert verdict("AllZero", run).status == ISSUES_FOUND
    assert verdict("UnchangedTensor", run).tensor in ("0.weight", "2.weight", "4.weight")
    assert verdict("WeightUpdateRatio", run).threshold == 1e-8


def test_a_tanh_that_is_fed_too_much_is_saturated(tmp_path: Path) -> None:
    found = verdict("SaturatedActivation", trained(tmp_path, of_saturated_units(), epochs=1))
    assert (found.status, found.tensor, found.step) == (ISSUES_FOUND, "1", 0)


def test_a_learning_rate_far_too_high_explodes(tmp_path: Path) -> None:
    run = trained(tmp_path, stack(nn.ReLU, 3), lr=1e6, epochs=2)
    assert verdict("ExplodingTensor", run).status == ISSUES_FOUND
    assert verdict("WeightUpdateRatio", run).threshold == 10.0
    assert verdict("LossNotDecreasing", run).status == ISSUES_FOUND


def test_a_network_that_has_learned_all_it_can_is_overtrained(tmp_path: Path) -> None:
    found = verdict("Overtraining", trained(tmp_path, stack(nn.ReLU, 1), epochs=20))
    assert found.status == ISSUES_FOUND, found.message
    assert found.value is not None
    assert math.isfinite(found.value)


def steps_of(recorder: Recorder, network: nn.Module, points: Tensor, labels: Tensor, steps: range) -> None:
    for step in steps:
        recorder.begins(step)
        loss = nn.functional.cross_entropy(network(points), labels)
        network.zero_grad()
        loss.backward()
        recorder.gradients()
        recorder.stepped()
        recorder.step(1, loss, 0.1, len(points), {"seconds": 1.0, "ended": 1000.0 * step})


def test_what_only_another_rank_sees_is_found(tmp_path: Path) -> None:
    network, (points, labels) = stack(nn.ReLU, 1), data(BATCH, 0)
    broken = points.clone()
    broken[0, 0] = math.nan
    for rank, seen in enumerate((points, broken)):
        recorder = Recorder(tmp_path, network, CLASSES, every=1, rank=rank)
        steps_of(recorder, network, seen, labels, range(2))
        recorder.close()
    run = records.read(tmp_path), Job(2, 1, 1)
    found = verdict("ExplodingTensor", run)
    assert (found.status, found.step, found.tensor) == (ISSUES_FOUND, 0, "0")
    assert "values of 512" in found.message
    assert verdict("VanishingGradient", run).points == 4  # gradients are everybody's


def test_a_job_that_was_resumed_is_judged_as_one(tmp_path: Path) -> None:
    network, (points, labels) = stack(nn.ReLU, 1), data(BATCH, 0)
    for resumed_at, steps in ((None, range(6)), (4, range(4, 8))):
        recorder = Recorder(tmp_path, network, CLASSES, every=2, resumed_at=resumed_at)
        steps_of(recorder, network, points, labels, steps)
        recorder.close()
    run = records.read(tmp_path), Job(8, 1, 2)
    assert verdict("StalledTrainingRule", run).points == 8
    assert verdict("StalledTrainingRule", run).status == NO_ISSUES_FOUND
    found = verdict("UnchangedTensor", run)  # nothing steps here; a life's first record knows none before
    assert (found.status, found.step, found.points) == (ISSUES_FOUND, 2, 4)
