"""Rules about steps: each with a job that fires it, one that does not, and one without its data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import profiled_jobs
import pytest
from health.rules import steps as rules_steps
from health.view import Records
from smdebug_rulesconfig.profiler_rules import rules as aws


def steps(count: int, slow: Any = (), part: str = "data_wait", seconds: float = 9.0, **columns: Any) -> Records:
    """Steps of 1 s, and some of `seconds` more."""
    late = np.isin(np.arange(count), slow)
    table = {"forward": np.ones(count), part: np.where(late, seconds, 0.0), "seconds": 1 + late * seconds}
    return Records.of(steps=table | {"ended": 100.0 + np.arange(count)} | columns, system=WATCHED)


WATCHED = {"ended": [90.0, 90.5], "cpu": 10.0, "cpu_each": [[10.0] * 4] * 2}
EVERY_50TH = range(49, 2000, 50)


def test_outliers_fire_with_the_first_of_them_and_their_cause() -> None:
    verdict = rules_steps.step_outlier(steps(2000, EVERY_50TH, "checkpoint"))
    assert (verdict.status, verdict.step, verdict.value, verdict.points) == ("IssuesFound", 49, 10.0, 1999)
    assert "40 of them for checkpoint, every 50 steps" in verdict.message


def test_a_few_outliers_are_nobody_s_fault() -> None:
    assert rules_steps.step_outlier(steps(2000, EVERY_50TH[:10])).status == "NoIssuesFound"
    assert rules_steps.step_outlier(steps(2000, EVERY_50TH[:11])).status == "IssuesFound"


def test_fewer_of_them_are_allowed_in_a_short_job_and_it_says_so() -> None:
    verdict = rules_steps.step_outlier(steps(300, (50, 120, 200, 250)))
    assert verdict.status == "IssuesFound"
    assert "2 instead of 10 may be so: the job is short" in verdict.message


def test_the_few_that_somebody_allows_scale_likewise() -> None:
    """As docs/health.md says: 10 of 300 steps, asked for or not, would be 3 %."""
    assert rules_steps.step_outlier(steps(300, (50, 120, 200, 250)), n_outliers=20).status == "IssuesFound"
    assert rules_steps.step_outlier(steps(300, (50, 120, 200, 250)), n_outliers=0).status == "IssuesFound"
    assert rules_steps.step_outlier(steps(300, (50, 120)), n_outliers=20).status == "NoIssuesFound"


def waited(count: int, seconds: float, steps_of_others: Any) -> Any:
    return np.where(np.isin(np.arange(count), steps_of_others), seconds, 0.0)


def test_outliers_for_which_other_processes_are_to_blame_are_no_issue_and_it_says_so() -> None:
    records = steps(2000, EVERY_50TH, waited=waited(2000, 8.0, EVERY_50TH[4:]))  # 36 of 40
    verdict = rules_steps.step_outlier(records)
    assert verdict.status == "NoIssuesFound"
    assert "36 of them, with 90 % of the 360 s which that costs, for CPUs that other processes had" in verdict.message
    assert "nothing of the training is wrong" in verdict.message


def test_outliers_for_which_they_are_mostly_to_blame_are_an_issue_with_their_share() -> None:
    verdict = rules_steps.step_outlier(steps(2000, EVERY_50TH, waited=waited(2000, 8.0, EVERY_50TH[5:])))
    assert verdict.status == "IssuesFound"
    assert "35 of them for CPUs that other processes had, every 50 steps" in verdict.message
    assert "quieter machine" in verdict.advice and "OMP_NUM_THREADS" in verdict.advice


def test_outliers_need_steps() -> None:
    verdict = rules_steps.step_outlier(steps(6))
    assert (verdict.status, verdict.points) == ("NotEvaluated", 5)


def test_steps_of_validation_can_be_asked_for() -> None:
    mode = np.where(np.arange(400) % 2, "validation", "train")
    records = steps(400, range(51, 400, 50), "evaluation", mode=mode)
    assert rules_steps.step_outlier(records).status == "NoIssuesFound"
    assert rules_steps.step_outlier(records, mode="EVAL").status == "IssuesFound"


def test_a_real_loop_whose_loader_waits_at_each_step_has_too_few_readers(tmp_path: Path) -> None:
    job = profiled_jobs.train(tmp_path, steps=40, stall=lambda step: 0.02)
    verdict = rules_steps.dataloader(job.records._replace(system=Records.of(system=WATCHED).system))
    assert (verdict.status, verdict.value) == ("IssuesFound", 25.0)
    assert "1 reader for 4 cores" in verdict.message


def test_one_reader_that_keeps_up_is_enough() -> None:
    assert rules_steps.dataloader(steps(100)).status == "NoIssuesFound"


def test_too_many_readers_take_turns() -> None:
    verdict = rules_steps.dataloader(steps(100), readers=9)
    assert (verdict.status, verdict.value, verdict.threshold) == ("IssuesFound", 225.0, 200.0)
    assert rules_steps.dataloader(steps(100), readers=8).status == "NoIssuesFound"


def test_readers_cannot_be_judged_without_steps_or_cores() -> None:
    assert rules_steps.dataloader(steps(5)).status == "NotEvaluated"
    assert rules_steps.dataloader(steps(100)._replace(system=Records.of().system)).status == "NotEvaluated"


def test_a_long_start_up_fires() -> None:
    verdict = rules_steps.max_initialization_time(steps(10), start_up_seconds=1500.0)
    assert (verdict.status, verdict.value, verdict.threshold) == ("IssuesFound", 25.0, 20.0)
    assert "25.0 minutes" in verdict.message


def test_a_short_start_up_does_not() -> None:
    verdict = rules_steps.max_initialization_time(steps(10), start_up_seconds=3.21)
    assert (verdict.status, verdict.message) == ("NoIssuesFound", "The first step began 3.2 s after the program")


def test_without_a_clock_start_up_begins_with_the_first_look_at_the_machine() -> None:
    verdict = rules_steps.max_initialization_time(steps(10))
    assert verdict.message == "The first step began 9.0 s after the program"


def test_start_up_cannot_be_judged_before_the_first_step() -> None:
    assert rules_steps.max_initialization_time(steps(0), start_up_seconds=9.0).status == "NotEvaluated"
    unwatched = steps(5)._replace(system=Records.of().system)
    assert rules_steps.max_initialization_time(unwatched).status == "NotEvaluated"


@pytest.mark.parametrize(
    ("name", "rule", "own"),
    [
        ("StepOutlier", rules_steps.step_outlier, set()),
        ("Dataloader", rules_steps.dataloader, {"readers"}),
        ("MaxInitializationTime", rules_steps.max_initialization_time, {"start_up_seconds"}),
    ],
)
def test_parameters_and_defaults_are_those_of_aws(name: str, rule: Any, own: set[str]) -> None:
    theirs = getattr(aws, name)().rule_parameters
    theirs = {key: value for key, value in theirs.items() if key not in ("rule_to_invoke", "scan_interval_us")}
    assert {key: value for key, value in rule.__kwdefaults__.items() if key not in own} == theirs
