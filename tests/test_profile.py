"""Figures of a job's profile: of small networks that are really trained, and of made-up tables."""

from __future__ import annotations

import gc
import json
from pathlib import Path
from typing import Any

import numpy as np
import profiled_jobs
import pytest
from health.profiling import outliers, profile
from health.profiling.timers import JOB, STEP, Clock
from health.rules import steps as rules_steps
from health.view import Records
from profiled_jobs import Job, clocked, seldom


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("jobs")


@pytest.fixture(scope="module")
def slow_loader(folder: Path) -> Job:
    """A loader that sleeps at every 25th step."""
    return profiled_jobs.train(folder, stall=lambda step: 0.06 if step % 25 == 24 else 0.0, profiled=3)


@pytest.fixture(scope="module")
def many_checkpoints(folder: Path) -> Job:
    return profiled_jobs.train(folder, saves=lambda step: 0.06 if step % 25 == 9 else 0.0)


def test_a_third_in_others_is_explained_by_the_loader_that_made_it() -> None:
    """The case that nobody could explain: 34 % of the time in OTHERS, and StepOutlier fired."""
    job = clocked(400, seldom(0.34, "data_wait"))
    figures, verdict = job.figures(), rules_steps.step_outlier(job.records)
    assert figures["framework"]["others"]["share"] == pytest.approx(0.34)
    assert figures["framework"]["others"]["parts"][0]["part"] == "data_wait"
    assert verdict.status == "IssuesFound"
    assert "20 of them for data, every 20 steps" in verdict.message
    assert [(row["cause"], row["steps"], row["every"]) for row in figures["outliers"]["by_cause"]] == [("data", 20, 20)]
    first = figures["advice"][0]
    assert (first["cause"], first["share"]) == ("data", pytest.approx(0.34))
    assert "every 20 steps (step 19 is the first)" in first["why"]


def test_a_loader_made_slow_on_purpose_is_named(slow_loader: Job) -> None:
    figures, verdict = slow_loader.figures(), rules_steps.step_outlier(slow_loader.records)
    assert verdict.status == "IssuesFound"
    assert "for data" in verdict.message and "loader" in verdict.advice
    assert figures["framework"]["others"]["parts"][0]["part"] == "data_wait"
    assert figures["outliers"]["by_cause"][0]["cause"] == "data"
    found = [one["step"] for one in figures["outliers"]["largest"] if one["cause"] == "data"]
    assert set(found) >= set(range(24, 300, 25))
    data = next(gain for gain in figures["advice"] if gain["cause"] == "data")
    assert data["seconds"] >= 12 * 0.06


def test_a_job_that_writes_many_checkpoints_is_told_so(many_checkpoints: Job) -> None:
    figures, verdict = many_checkpoints.figures(), rules_steps.step_outlier(many_checkpoints.records)
    assert verdict.status == "IssuesFound"
    assert "for checkpoint" in verdict.message and "checkpoint_minutes" in verdict.advice
    assert figures["outliers"]["by_cause"][0]["cause"] == "checkpoint"
    assert figures["framework"]["others"]["parts"][0]["part"] == "checkpoint"
    checkpoint = next(gain for gain in figures["advice"] if gain["cause"] == "checkpoint")
    assert checkpoint["seconds"] >= 12 * 0.06 / 2


def test_pauses_of_the_garbage_collector_are_told_apart(folder: Path) -> None:
    """Collections that are really made, of objects enough to be felt: every list is looked at."""
    heap = [[number] for number in range(600_000)]

    def collect(step: int) -> None:
        if step % 40 == 39:
            gc.collect()

    job = profiled_jobs.train(folder, steps=160, between=collect)
    assert len(heap) == 600_000
    collected = [one for one in job.figures()["outliers"]["largest"] if one["step"] % 40 == 39]
    assert collected and {one["cause"] for one in collected} == {"garbage collector"}


def test_parts_of_a_real_job_sum_to_its_time_to_the_nanosecond(slow_loader: Job) -> None:
    figures = slow_loader.figures()["job"]
    assert sum(part["ns"] for part in figures["parts"]) == figures["wall_ns"] == slow_loader.clock["wall_ns"]
    assert {part["part"] for part in figures["parts"]} == {*STEP, *JOB, "collector"}
    assert sum(part["share"] for part in figures["parts"]) == pytest.approx(1)
    assert all(part["source"] for part in figures["parts"])


def test_a_known_download_is_a_part_before_the_program() -> None:
    job = clocked(20, lambda step: {"forward": 1.0})
    job.clock["download_seconds"] = 10.0
    figures = job.figures()["job"]
    assert figures["parts"][0] | {"source": ""} == {
        "part": "download",
        "ns": 10_000_000_000,
        "seconds": 10.0,
        "share": pytest.approx(1 / 3),
        "source": "",
    }
    assert figures["seconds"] == 30
    assert figures["stages"] == {"initialisation": 10, "loop": 20, "finalisation": 0}


def test_figures_are_json_even_of_a_job_without_a_step() -> None:
    empty = Clock()
    figures = profile.figures(Records.of(), empty.close())
    assert json.loads(json.dumps(figures, allow_nan=False))["durations"] == {"steps": 0}
    assert [gain["cause"] for gain in figures["advice"]] == ["other"]  # a clock that nobody asked


def test_figures_of_a_real_job_are_json(slow_loader: Job) -> None:
    assert json.loads(json.dumps(slow_loader.figures(), allow_nan=False))["job"]["steps"] == 300


def test_the_warm_up_stands_apart_from_the_usual_steps() -> None:
    job = clocked(100, lambda step: {"forward": {0: 30.0, 1: 5.0, 2: 2.0}.get(step, 1.0)})
    durations = job.figures()["durations"]
    assert durations["warm_up"] == {"steps": 3, "seconds": 37.0, "extra": 34.0}
    assert (durations["steps"], durations["max"], durations["std"]) == (97, 1.0, 0.0)


def test_a_slow_step_later_on_is_no_warm_up() -> None:
    job = clocked(100, lambda step: {"forward": 9.0 if step == 5 else 1.0})
    figures = job.figures()
    assert figures["durations"]["warm_up"]["steps"] == 1
    assert [(one["step"], one["cause"]) for one in figures["outliers"]["largest"]] == [(5, "other")]


def test_profiled_steps_are_no_outliers() -> None:
    seconds = np.ones(100)
    seconds[40:43] = 50
    profiled = np.isin(np.arange(100), (40, 41, 42))
    records = Records.of(steps={"seconds": seconds, "forward": seconds, "profiled": profiled})
    assert outliers.found(records.steps, outliers.durations(records.steps).usual) == []
    unmarked = Records.of(steps={"seconds": seconds, "forward": seconds})
    assert len(outliers.found(unmarked.steps, outliers.durations(unmarked.steps).usual)) == 3


@pytest.mark.parametrize(
    ("part", "marks", "cause"),
    [
        ("data_wait", {}, "data"),
        ("checkpoint", {}, "checkpoint"),
        ("evaluation", {}, "evaluation"),
        ("logging", {}, "logging"),
        ("other", {}, "other"),
        ("other", {"collected": True}, "garbage collector"),
        ("forward", {"recorded": True}, "recording"),
        ("logging", {"recorded": True}, "recording"),
        ("forward", {}, "other"),
        ("data_wait", {"collected": True, "recorded": True}, "data"),
    ],
)
def test_each_outlier_has_its_cause(part: str, marks: dict[str, Any], cause: str) -> None:
    slow = np.arange(100) == 50
    columns = {"forward": np.where(slow & (part == "forward"), 10.0, 1.0), "seconds": np.where(slow, 10.0, 1.0)}
    if part != "forward":
        columns[part] = np.where(slow, 9.0, 0.0)
    records = Records.of(steps=columns | {name: slow for name in marks})
    found = outliers.found(records.steps, outliers.durations(records.steps).usual)
    assert [(one.step, one.cause, one.part, one.excess) for one in found] == [(50, cause, part, 9.0)]


def test_a_step_in_which_everything_is_slow_has_no_cause_of_ours() -> None:
    slow = np.arange(100) == 50
    parts = {name: np.where(slow, 3.0, 0.2) for name in ("data_wait", "forward", "backward", "optimizer", "checkpoint")}
    records = Records.of(steps=parts | {"seconds": np.where(slow, 15.0, 1.0)})
    found = outliers.found(records.steps, outliers.durations(records.steps).usual)
    assert [one.cause for one in found] == ["other"]


def crowded(waited: float, usual: float = 0.0, **marks: Any) -> Records:
    """100 steps of 1 s; one of them takes 10 s for its data, and its threads waited for CPUs meanwhile."""
    slow = np.arange(100) == 50
    columns = {"forward": 1.0, "data_wait": np.where(slow, 9.0, 0.0), "seconds": np.where(slow, 10.0, 1.0)}
    asked = np.where(np.arange(100) % 3 == 2, np.where(slow, waited, usual), np.nan)  # of step 50, too
    return Records.of(steps=columns | {"waited": asked} | {name: slow for name in marks})


@pytest.mark.parametrize(
    ("records", "cause", "of_cause"),
    [
        (crowded(4.5), "CPU", 4.5),
        (crowded(4.4), "data", 9.0),
        (crowded(20.0), "CPU", 9.0),  # three threads at once
        (crowded(5.0, usual=1.0), "data", 9.0),
        (crowded(5.5, usual=1.0), "CPU", 4.5),
        (crowded(np.nan, usual=1.0), "data", 9.0),
        (crowded(9.0, collected=True, recorded=True), "CPU", 9.0),
    ],
)
def test_an_outlier_is_other_processes_where_threads_waited_for_half_of_it(
    records: Records, cause: str, of_cause: float
) -> None:
    found = outliers.found(records.steps, outliers.durations(records.steps).usual)
    assert [(one.step, one.cause, one.excess) for one in found] == [(50, cause, 9.0)]
    assert found[0].of_cause == pytest.approx(of_cause)


def test_what_steps_before_an_outlier_waited_is_not_its_own() -> None:
    records = crowded(9.0)
    records.steps["seconds"][48] = 4.0  # not asked; is asked for together with step 50
    records.steps["waited"][47:50] = [0.0, np.nan, np.nan]
    assert outliers.found(records.steps, np.arange(1, 100))[-1].of_cause == pytest.approx(6.0)
    records.steps["seconds"][48:50] = 4.0
    last = outliers.found(records.steps, np.arange(1, 100))[-1]
    assert (last.step, last.cause) == (50, "data")


def test_other_processes_are_worth_a_quieter_machine_also_where_all_steps_wait_alike() -> None:
    job = clocked(50, lambda step: {"forward": 1.0})
    waiting = job.records._replace(steps=job.records.steps | {"waited": np.full(50, 0.25)})
    first = Job(waiting, job.clock).figures()["advice"][0]
    assert (first["cause"], first["seconds"]) == ("CPU", pytest.approx(49 * 0.25))  # the first step is the warm-up
    assert "OMP_NUM_THREADS" in first["what"] and "at most" in first["reckoned"] and "waited" in first["source"]
    assert "0 outliers" in first["why"]
    many = job.records._replace(steps=job.records.steps | {"waited": np.full(50, 3.0)})  # threads at once
    assert Job(many, job.clock).figures()["advice"][0]["seconds"] == pytest.approx(49)


def test_steps_that_are_alike_have_no_outliers() -> None:
    seconds = 0.1 + np.arange(1000) % 7 * 1e-9
    records = Records.of(steps={"seconds": seconds, "forward": seconds})
    assert outliers.found(records.steps, outliers.durations(records.steps).usual) == []


@pytest.mark.parametrize(
    ("cause", "part", "share", "gain"),
    [
        ("data", "data_wait", 0.2, 0.2),
        ("checkpoint", "checkpoint", 0.2, 0.1),
        ("evaluation", "evaluation", 0.2, 0.1),
        ("transfer", "transfer", 0.2, 0.2),
        ("other", "other", 0.2, 0.2),
        ("export", "export", 0.2, 0.1),
        ("start_up", "start_up", 0.2, 0.1),
    ],
)
def test_what_to_change_first_has_its_gain_and_its_source(cause: str, part: str, share: float, gain: float) -> None:
    job = clocked(50, lambda step: {"forward": 1 - share, part: share})
    first = job.figures()["advice"][0]
    assert (first["cause"], first["share"]) == (cause, pytest.approx(gain))
    assert first["seconds"] == pytest.approx(50 * gain)
    assert part in first["source"] and first["what"] and first["reckoned"]


def test_a_job_that_only_trains_has_nothing_to_change() -> None:
    assert clocked(50, lambda step: {"forward": 0.5, "backward": 0.5}).figures()["advice"] == []


def test_an_idle_gpu_is_worth_a_larger_batch() -> None:
    job = clocked(50, lambda step: {"forward": 0.5, "backward": 0.5})
    looks = {"ended": np.arange(20.0), "cpu": 10.0, "gpu": [[45.0]] * 20}
    figures = Job(job.records._replace(system=Records.of(system=looks).system), job.clock).figures()
    assert [(gain["cause"], gain["share"]) for gain in figures["advice"]] == [("GPU", pytest.approx(0.5))]


def test_records_that_slow_steps_down_are_worth_a_longer_interval() -> None:
    recorded = np.arange(200) % 10 == 0
    job = clocked(200, lambda step: {"forward": 1.5 if step % 10 == 0 else 1.0})
    marked = job.records._replace(steps=job.records.steps | {"recorded": recorded})
    gains = Job(marked, job.clock).figures()["advice"]
    assert [gain["cause"] for gain in gains] == ["recording"]
    assert gains[0]["seconds"] == pytest.approx(19 * 0.5 / 2)  # the first record lies in the warm-up


def test_percentiles_and_curves_of_the_machine() -> None:
    looks = {"ended": 1000.0 + np.arange(101), "cpu": np.arange(101.0), "gpu": [[50.0, 70.0]] * 101}
    looks["cpu_each"] = [[10.0, 30.0]] * 101
    clock = Clock()
    figures = profile.figures(Records.of(system=looks), clock.close() | {"started": 1000.0})["system"]
    rows = {row["metric"]: row for row in figures["rows"]}
    assert rows["CPU"] == {"metric": "CPU", "unit": "%", "max": 100, "p99": 99, "p95": 95, "p50": 50, "min": 0}
    assert (rows["GPU 0"]["p95"], rows["GPU 1"]["p95"]) == (50, 70)
    assert "I/O wait" not in rows  # never seen
    assert figures["cores"] == [10, 30]
    curve = next(each for each in figures["curves"] if each["metric"] == "CPU")
    assert curve["points"][:2] == [[0, 0, 0], [1, 1, 1]]


def test_of_many_outliers_the_longest_of_each_cause_are_shown() -> None:
    """Checkpoints are longer here, and data stalls cost more: neither hides the other."""

    def parts(step: int) -> dict[str, float]:
        return {"forward": 1.0, "data_wait": 20.0 * (step % 50 == 49), "checkpoint": 40.0 * (step % 300 == 7)}

    found = clocked(6000, parts).figures()["outliers"]
    assert [(row["cause"], row["steps"]) for row in found["by_cause"]] == [("data", 120), ("checkpoint", 20)]
    shown = [one["cause"] for one in found["largest"]]
    assert (len(shown), shown.count("data"), shown.count("checkpoint")) == (profile.SHOWN, 20, 20)
    assert [one["step"] for one in found["largest"]] == sorted(one["step"] for one in found["largest"])


def test_a_peak_of_one_step_stays_in_a_curve_of_many() -> None:
    job = clocked(5000, lambda step: {"forward": 40.0 if step == 4321 else 1.0})
    curve = job.figures()["durations"]["curve"]
    assert len(curve) <= profile.POINTS
    assert max(top for _, top, _ in curve) == 40
