"""Rules about the machine: each with a table that fires it, one that does not, and one without its data."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from health.rules import system as rules_system
from health.verdicts import Verdict
from health.view import Records
from smdebug_rulesconfig.profiler_rules import rules as aws

Rule = Callable[..., Verdict]
NAMES: dict[str, Rule] = {
    "BatchSize": rules_system.batch_size,
    "CPUBottleneck": rules_system.cpu_bottleneck,
    "IOBottleneck": rules_system.io_bottleneck,
    "LowGPUUtilization": rules_system.low_gpu_utilization,
    "GPUMemoryIncrease": rules_system.gpu_memory_increase,
    "LoadBalancing": rules_system.load_balancing,
    "OverallSystemUsage": rules_system.overall_system_usage,
}
POINTS = 4000  # 33 minutes: patience is not scaled
RANDOM = np.random.default_rng(5)
BUSY = RANDOM.uniform(80, 99, (POINTS, 2))
IDLE = RANDOM.uniform(0, 9, (POINTS, 2))
LATER = np.arange(POINTS) >= 2000


def looks(points: int = POINTS, **columns: Any) -> Records:
    """A machine that works well, but for `columns`."""
    usual = {"cpu": 60.0, "memory_used_share": 40.0, "io_wait": 1.0, "cpu_each": [[60.0, 60.0]] * points}
    usual |= {"ended": np.arange(points) / 2, "gpu": list(BUSY[:points]), "gpu_memory_share": [[80.0, 80.0]] * points}
    return Records.of(system=usual | columns)


def memory(*shares: Any) -> list[list[float]]:
    return np.stack(np.broadcast_arrays(*shares, np.zeros(POINTS))[:-1], axis=1).tolist()


FIRING = {
    "BatchSize": looks(cpu=20.0, gpu=list(BUSY / 2), gpu_memory_share=memory(30.0, 40.0)),
    "CPUBottleneck": looks(cpu=np.where(LATER, 95.0, 50.0), gpu=list(np.where(LATER[:, None], IDLE, BUSY))),
    "IOBottleneck": looks(io_wait=np.where(LATER, 70.0, 0.0), gpu=list(np.where(LATER[:, None], IDLE, BUSY))),
    "LowGPUUtilization": looks(gpu=list(BUSY * [1, 0.5])),
    "GPUMemoryIncrease": looks(gpu_memory_share=memory(50.0, np.where(LATER, 60.0, 50.0))),
    "LoadBalancing": looks(gpu=list(BUSY * [1, 0.5])),
}


@pytest.mark.parametrize("name", FIRING)
def test_a_rule_fires_where_its_condition_holds(name: str) -> None:
    verdict = NAMES[name](FIRING[name])
    assert (verdict.rule, verdict.status) == (name, "IssuesFound")
    assert verdict.value is not None and verdict.threshold is not None
    assert verdict.message and verdict.advice and verdict.points >= 500
    assert "left out" not in verdict.message  # nothing was scaled


@pytest.mark.parametrize("name", NAMES)
def test_a_rule_finds_nothing_in_a_machine_that_works_well(name: str) -> None:
    verdict = NAMES[name](looks())
    assert (verdict.rule, verdict.status) == (name, "NoIssuesFound")
    assert verdict.message and verdict.points


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("records", [Records.of(), looks(6)], ids=["none", "three seconds"])
def test_a_rule_without_its_points_says_what_is_missing(name: str, records: Records) -> None:
    verdict = NAMES[name](records)
    assert (verdict.rule, verdict.status) == (name, "NotEvaluated")
    assert verdict.advice


@pytest.mark.parametrize("name", sorted({*NAMES} - {"OverallSystemUsage"}))
def test_a_rule_about_gpus_says_that_there_is_none(name: str) -> None:
    verdict = NAMES[name](looks(gpu=[[]] * POINTS, gpu_memory_share=[[]] * POINTS))
    assert (verdict.status, verdict.message) == ("NotEvaluated", "No GPU was seen")


def test_one_gpu_has_nothing_to_balance() -> None:
    verdict = rules_system.load_balancing(looks(gpu=[[50.0]] * POINTS))
    assert verdict.status == "NotEvaluated"


def test_a_gpu_that_comes_and_goes_is_found_too() -> None:
    gpu = np.where(np.arange(POINTS)[:, None] % 8 == 0, 5.0, BUSY)
    verdict = rules_system.low_gpu_utilization(looks(gpu=list(gpu)))
    assert (verdict.status, verdict.threshold) == ("IssuesFound", 10.0)


def test_memory_that_rises_slowly_is_no_leap() -> None:
    verdict = rules_system.gpu_memory_increase(looks(gpu_memory_share=memory(np.linspace(10, 90, POINTS))))
    assert verdict.status == "NoIssuesFound"


def test_what_lies_within_patience_is_not_judged() -> None:
    """The start, when a GPU has nothing to do yet."""
    late = np.arange(POINTS) >= 1000
    records = looks(cpu=np.where(late, 60.0, 99.0), gpu=list(np.where(late[:, None], BUSY, 0.0)))
    assert rules_system.cpu_bottleneck(records, threshold=1.0).status == "NoIssuesFound"
    assert rules_system.cpu_bottleneck(records, threshold=1.0, patience=0).status == "IssuesFound"


def test_a_short_job_is_judged_and_told_that_patience_was_scaled() -> None:
    """AWS leaves any job of less than 8 minutes without a verdict."""
    verdict = rules_system.low_gpu_utilization(looks(40, gpu=list(IDLE[:40])))
    assert (verdict.status, verdict.points) == ("IssuesFound", 30)
    assert "the first 10 points are left out instead of 1000: the job is short" in verdict.message


def test_only_the_last_window_is_judged() -> None:
    gpu = np.where(np.arange(POINTS)[:, None] >= POINTS - 500, BUSY, IDLE)
    assert rules_system.low_gpu_utilization(looks(gpu=list(gpu))).status == "NoIssuesFound"
    assert rules_system.low_gpu_utilization(looks(gpu=list(gpu)), window=3000).status == "IssuesFound"


def test_a_look_that_missed_a_gpu_does_no_harm() -> None:
    gpu: list[Any] = list(BUSY)
    gpu[3000] = []
    assert rules_system.low_gpu_utilization(looks(gpu=gpu)).status == "NoIssuesFound"


@pytest.mark.parametrize("name", NAMES)
def test_parameters_and_defaults_are_those_of_aws(name: str) -> None:
    theirs = getattr(aws, name)().rule_parameters
    theirs = {key: value for key, value in theirs.items() if key not in ("rule_to_invoke", "scan_interval_us")}
    assert (NAMES[name].__kwdefaults__ or {}) == theirs
