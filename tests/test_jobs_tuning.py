"""Tuning jobs: strategies, limits, early ends, failed trials, resume."""

from __future__ import annotations

import random
import signal
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from local_jobs import IMAGE, Outcome, put_archive, run_job, start_job

from pipeline.local.jobs import JobFailed
from pipeline.local.jobs.completion import Completion, MedianRule
from pipeline.local.jobs.ranges import read_ranges
from pipeline.local.jobs.search import Search
from pipeline.local.store import Record, Store

PYTHON = f"{sys.executable} -S"  # starts in 15 ms
SCORE = """
import sys, time
words = dict(zip(sys.argv[1::2], sys.argv[2::2]))
x, epochs = float(words["-x"]), int(words["--epochs"])
for epoch in range(1, epochs + 1):
    print(f"score={x * epoch / epochs}")
"""
FIXED = {"CategoricalParameterRanges": [{"Name": "x", "Values": ["1", "2", "3", "4"]}]}
FREE = {"ContinuousParameterRanges": [{"Name": "x", "MinValue": "0.001", "MaxValue": "1"}]}


def request(
    program: str, home: Path, *, ranges: dict[str, Any] = FREE, jobs: int | None = 4, parallel: int = 2, **config: Any
) -> dict[str, Any]:
    put_archive(home, "s3://b/code/sourcedir.tar.gz", {"train.py": program})
    limits: dict[str, Any] = {"MaxParallelTrainingJobs": parallel}
    if jobs is not None:
        limits["MaxNumberOfTrainingJobs"] = jobs
    limits |= config.pop("limits", {})
    static = {
        "sagemaker_program": "train.py",
        "sagemaker_submit_directory": "s3://b/code/sourcedir.tar.gz",
        "epochs": "1",
    }
    return {
        "HyperParameterTuningJobConfig": {
            "Strategy": "Random",
            "HyperParameterTuningJobObjective": {"Type": "Maximize", "MetricName": "score"},
            "ResourceLimits": limits,
            "ParameterRanges": ranges,
            "RandomSeed": 7,
            **config,
        },
        "TrainingJobDefinition": {
            "StaticHyperParameters": {**static, **config.pop("static", {})},
            "AlgorithmSpecification": {
                "TrainingImage": IMAGE,
                "TrainingInputMode": "File",
                "MetricDefinitions": [{"Name": "score", "Regex": "score=([0-9.e-]+)"}],
            },
            "OutputDataConfig": {"S3OutputPath": "s3://b/out"},
            "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1},
            "StoppingCondition": {"MaxRuntimeInSeconds": 60},
        },
    }


def tune(home: Path, body: dict[str, Any], **options: Any) -> Outcome:
    return run_job(home, "Tuning", body, **{"command": PYTHON, "job_name": "tune", **options})


def trials(home: Path) -> list[Record]:
    store = Store(str(home))
    found = store.list("training-job")
    store.close()
    return sorted(found, key=lambda record: record.body["_Trial"])


def drawn(home: Path) -> list[str]:
    return [record.body["TunedHyperParameters"]["x"] for record in trials(home)]


def test_the_best_trial_has_the_best_final_objective(tmp_path: Path) -> None:
    done = tune(tmp_path, request(SCORE, tmp_path))
    assert done.status == "Completed", done.error
    assert done.body["TrainingJobStatusCounters"]["Completed"] == 4
    assert done.body["ObjectiveStatusCounters"] == {"Succeeded": 4, "Pending": 0, "Failed": 0}
    values = [float(x) for x in drawn(tmp_path)]
    best = done.body["BestTrainingJob"]
    assert float(best["TunedHyperParameters"]["x"]) == max(values)
    assert best["FinalHyperParameterTuningJobObjectiveMetric"]["Value"] == pytest.approx(max(values))
    ranked = [item["TunedHyperParameters"]["x"] for item in done.body["TrainingJobSummaries"]]
    assert [float(x) for x in ranked] == sorted(values, reverse=True)


def test_a_trial_is_a_training_job_that_names_its_tuning_job_and_objective(tmp_path: Path) -> None:
    done = tune(tmp_path, request(SCORE, tmp_path, jobs=1))
    body = trials(tmp_path)[0].body
    assert body["TuningJobArn"] == done.body["HyperParameterTuningJobArn"]
    assert body["HyperParameters"]["_tuning_objective_metric"] == "score"
    assert body["TrainingJobName"].startswith("tune-001-")
    assert body["ModelArtifacts"]["S3ModelArtifacts"].endswith(f"{body['TrainingJobName']}/output/model.tar.gz")


def test_a_trial_may_have_several_hosts(tmp_path: Path) -> None:
    program = "import json, os\nhosts = json.loads(os.environ['SM_HOSTS'])\n"
    program += "if os.environ['SM_CURRENT_HOST'] == hosts[1]:\n    print(f'score={len(hosts)}')"
    body = request(program, tmp_path, jobs=1)
    body["TrainingJobDefinition"]["ResourceConfig"]["InstanceCount"] = 2
    done = tune(tmp_path, body)
    assert done.status == "Completed", done.error
    assert done.body["BestTrainingJob"]["FinalHyperParameterTuningJobObjectiveMetric"]["Value"] == 2


def test_minimize_ranks_the_other_way(tmp_path: Path) -> None:
    objective = {"Type": "Minimize", "MetricName": "score"}
    done = tune(tmp_path, request(SCORE, tmp_path, HyperParameterTuningJobObjective=objective))
    assert float(done.body["BestTrainingJob"]["TunedHyperParameters"]["x"]) == min(map(float, drawn(tmp_path)))


def test_grid_tries_every_combination_once(tmp_path: Path) -> None:
    tune(tmp_path, request(SCORE, tmp_path, ranges=FIXED, jobs=None, Strategy="Grid"))
    assert sorted(drawn(tmp_path)) == ["1", "2", "3", "4"]


@pytest.mark.parametrize("strategy", ["Bayesian", "Random"])
def test_a_seed_makes_the_draws_repeatable(tmp_path: Path, strategy: str) -> None:
    for home in (tmp_path / "a", tmp_path / "b"):
        tune(home, request(SCORE, home, jobs=5, parallel=1, Strategy=strategy))
    assert drawn(tmp_path / "a") == drawn(tmp_path / "b")


def test_a_failed_trial_does_not_end_the_tuning(tmp_path: Path) -> None:
    program = SCORE + "\nif x < 3: sys.exit(3)"
    done = tune(tmp_path, request(program, tmp_path, ranges=FIXED, jobs=None, Strategy="Grid"))
    assert done.status == "Completed", done.error
    assert done.body["TrainingJobStatusCounters"]["NonRetryableError"] == 2
    assert done.body["ObjectiveStatusCounters"]["Failed"] == 2
    assert done.body["BestTrainingJob"]["TunedHyperParameters"] == {"x": "4"}


def test_all_trials_failed_fails_the_tuning_and_quotes_one(tmp_path: Path) -> None:
    done = tune(tmp_path, request("raise SystemExit('no data')", tmp_path, jobs=2))
    assert done.status == "Failed"
    assert "all 2 training jobs failed" in done.error and "no data" in done.error
    assert Path(done.log_path).name in ("Step-1.log", "Step-2.log")


def test_trials_without_the_objective_fail_the_tuning(tmp_path: Path) -> None:
    done = tune(tmp_path, request("print('nothing')", tmp_path, jobs=1))
    assert "none of 1 training jobs logged the objective metric 'score'" in done.error


def test_hyperband_stops_the_worse_trials_early(tmp_path: Path) -> None:
    slow = SCORE + "    time.sleep(0.8)\n"  # long enough to be seen between two epochs
    strategy = {"HyperbandStrategyConfig": {"MinResource": 1, "MaxResource": 2}}
    body = request(slow, tmp_path, ranges=FIXED, jobs=6, Strategy="Hyperband", StrategyConfig=strategy)
    body["TrainingJobDefinition"]["StaticHyperParameters"]["epochs"] = "2"
    done = tune(tmp_path, body)
    stopped = [record for record in trials(tmp_path) if record.status == "Stopped"]
    assert stopped and done.body["TrainingJobStatusCounters"]["Stopped"] == len(stopped)
    assert all(len(record.body["_MetricHistory"]["score"]) == 1 for record in stopped)
    assert all(record.body["ObjectiveStatus"] == "Succeeded" for record in stopped)
    assert done.body["BestTrainingJob"]["TrainingJobStatus"] == "Completed"


def test_a_target_value_ends_the_tuning(tmp_path: Path) -> None:
    criteria = {"TargetObjectiveMetricValue": 0.0}
    done = tune(tmp_path, request(SCORE, tmp_path, jobs=20, parallel=1, TuningJobCompletionCriteria=criteria))
    assert done.status == "Completed", done.error
    assert len(trials(tmp_path)) == 1


def test_no_improvement_ends_the_tuning(tmp_path: Path) -> None:
    criteria = {"BestObjectiveNotImproving": {"MaxNumberOfTrainingJobsNotImproving": 3}}
    body = request("print('score=1')", tmp_path, jobs=20, parallel=1, TuningJobCompletionCriteria=criteria)
    done = tune(tmp_path, body)
    assert len(trials(tmp_path)) == 4
    assert done.body["TuningJobCompletionDetails"]["NumberOfTrainingJobsObjectiveNotImproving"] == 3


def test_the_time_limit_stops_running_trials_and_keeps_what_is_done(tmp_path: Path) -> None:
    program = SCORE + "\nif x > 2: time.sleep(60)"
    body = request(program, tmp_path, ranges=FIXED, jobs=None, Strategy="Grid", limits={"MaxRuntimeInSeconds": 2})
    done = tune(tmp_path, body)
    assert done.status == "Completed", done.error
    assert done.body["TrainingJobStatusCounters"]["InProgress"] == 0
    assert done.body["TrainingJobStatusCounters"]["Stopped"] >= 1


def test_no_more_trials_at_a_time_than_cores(tmp_path: Path) -> None:
    program = "import os\nprint('threads', os.environ.get('OMP_NUM_THREADS'), os.environ['SM_NUM_CPUS'])\n" + SCORE
    done = tune(tmp_path, request(program, tmp_path, jobs=100, parallel=100, limits={"MaxRuntimeInSeconds": 1}))
    assert "instead of 100 at a time" in done.parity["MaxParallelTrainingJobs"]
    assert [how for subject, how in done.parity.items() if subject.startswith("Strategy ")] != []
    assert {"TrainingJobEarlyStoppingType", "ConvergenceDetected"}.isdisjoint(done.parity)
    assert "threads 1 1" in (tmp_path / "logs/e1/Step-1.log").read_text()


def test_a_resume_repeats_no_finished_trial_and_runs_the_unfinished_again(tmp_path: Path) -> None:
    program = SCORE + f"\nimport os\nif x > 2 and not os.path.exists({str(tmp_path / 'go')!r}): time.sleep(60)"
    body = request(program, tmp_path, ranges=FIXED, jobs=None, Strategy="Grid")
    with start_job(tmp_path, "Tuning", body, command=PYTHON, job_name="first") as runner:
        deadline = time.monotonic() + 20
        while sum(record.status == "Completed" for record in trials(tmp_path)) < 2 and time.monotonic() < deadline:
            time.sleep(0.05)
        while len(trials(tmp_path)) < 4 and time.monotonic() < deadline:
            time.sleep(0.05)
        runner.send_signal(signal.SIGKILL)
    finished = {record.name for record in trials(tmp_path) if record.status == "Completed"}
    (tmp_path / "go").touch()
    done = tune(tmp_path, body, previous_job="first")
    assert done.status == "Completed", done.error
    completed = [record for record in trials(tmp_path) if record.status == "Completed"]
    assert sorted(record.body["TunedHyperParameters"]["x"] for record in completed) == ["1", "2", "3", "4"]
    assert finished <= {record.name for record in completed}
    assert all(record.body["TuningJobArn"] == done.body["HyperParameterTuningJobArn"] for record in completed)


def test_a_cancelled_tuning_stops_its_trials(tmp_path: Path) -> None:
    done = tune(tmp_path, request("import time; time.sleep(60)", tmp_path), cancel_after=0.7)
    assert done.error == "cancelled" and done.status == "Stopped"
    assert {record.status for record in trials(tmp_path)} == {"Stopped"}


def test_a_warm_start_learns_from_its_parents(tmp_path: Path) -> None:
    body = request(SCORE, tmp_path, ranges=FIXED, jobs=None, Strategy="Grid")
    tune(tmp_path, body, job_name="parent")
    body["WarmStartConfig"] = {
        "ParentHyperParameterTuningJobs": [{"HyperParameterTuningJobName": "parent"}],
        "WarmStartType": "IdenticalDataAndAlgorithm",
    }
    body["HyperParameterTuningJobConfig"] |= {
        "Strategy": "Bayesian",
        "ResourceLimits": {"MaxNumberOfTrainingJobs": 1, "MaxParallelTrainingJobs": 1},
    }
    assert tune(tmp_path, body, job_name="child").status == "Completed"
    body["WarmStartConfig"]["ParentHyperParameterTuningJobs"][0]["HyperParameterTuningJobName"] = "nobody"
    assert "there is no tuning job 'nobody'" in tune(tmp_path, body, job_name="orphan").error


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"Strategy": "Magic"}, "Strategy 'Magic' is none of"),
        ({"Strategy": "Grid"}, "Grid takes categorical ranges only; 'x'"),
        ({"Strategy": "Hyperband", "TrainingJobEarlyStoppingType": "Auto"}, "Hyperband needs"),
        ({"ResourceLimits": {"MaxParallelTrainingJobs": 1}}, "needs MaxNumberOfTrainingJobs"),
        (
            {"HyperParameterTuningJobObjective": {"Type": "Maximize", "MetricName": "y"}},
            "none of the MetricDefinitions",
        ),
        ({"ParameterRanges": {}}, "nothing to tune"),
    ],
)
def test_what_the_service_refuses_is_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    body = request(SCORE, tmp_path)
    body["HyperParameterTuningJobConfig"] |= changes
    done = tune(tmp_path, body)
    assert message in done.error and done.status == "Failed"
    assert trials(tmp_path) == []


def test_the_median_rule_compares_with_running_averages_of_enough_trials() -> None:
    rule = MedianRule(maximize=True)
    for values in ([0.2, 0.4], [0.4, 0.6], [0.6, 0.8]):
        rule.learn(values)
    assert not rule.is_worse(0.0, 1)  # three trials say nothing
    rule.learn([0.8, 1.0])
    assert rule.is_worse(0.49, 1) and not rule.is_worse(0.5, 1)
    assert rule.is_worse(0.59, 2) and not rule.is_worse(0.61, 2)
    assert not rule.is_worse(0.0, 3)  # nobody has come so far


def test_an_improvement_of_one_percent_is_none() -> None:
    completion = Completion({"BestObjectiveNotImproving": {"MaxNumberOfTrainingJobsNotImproving": 2}}, maximize=False)
    for value, count in ((1.0, 0), (0.995, 1), (0.5, 0), (None, 1)):
        completion.learn(value)
        assert completion.not_improving == count and not completion.reached
    completion.learn(0.5)
    assert completion.reached == "BestObjectiveNotImproving"


def test_convergence_needs_its_switch() -> None:
    for switch, reached in (("Enabled", "ConvergenceDetected"), ("Disabled", "")):
        completion = Completion({"ConvergenceDetected": {"CompleteOnConvergence": switch}}, maximize=True)
        for _ in range(20):
            completion.learn(1.0)
        assert completion.reached == reached


@pytest.mark.parametrize("scale", ["Auto", "Linear", "Logarithmic", "ReverseLogarithmic"])
def test_drawn_values_stay_in_their_range_and_can_be_read_back(scale: str) -> None:
    item = {"Name": "x", "MinValue": "0.001", "MaxValue": "0.999", "ScalingType": scale}
    ranges = read_ranges({"ContinuousParameterRanges": [item]})
    search = Search(ranges, "Random", maximize=True, seed=1, most=200, parallel=1)
    values = []
    for _ in range(200):
        trial, texts = search.ask()
        search.tell(trial, 0.0, stopped=False)
        values.append(float(texts["x"]))
        assert 0.001 <= values[-1] <= 0.999 and search.learn(texts, 0.0, is_own=True)
    middle = sorted(values)[100]
    low, high = {"Linear": (0.4, 0.6), "ReverseLogarithmic": (0.9, 1)}.get(scale, (0, 0.1))
    assert low < middle < high


@pytest.mark.parametrize(
    ("kind", "item", "message"),
    [
        (
            "Continuous",
            {"MinValue": "0", "MaxValue": "1", "ScalingType": "Logarithmic"},
            "Logarithmic needs MinValue above 0",
        ),
        ("Continuous", {"MinValue": "1", "MaxValue": "1"}, "is not below MaxValue"),
        (
            "Continuous",
            {"MinValue": "0.1", "MaxValue": "1", "ScalingType": "ReverseLogarithmic"},
            "needs 0 <= MinValue",
        ),
        ("Continuous", {"MinValue": "nan", "MaxValue": "1"}, "finite"),
        ("Integer", {"MinValue": "1.5", "MaxValue": "2"}, "integer range 'x'"),
        ("Integer", {"MinValue": "1", "MaxValue": "2", "ScalingType": "Odd"}, "ScalingType 'Odd'"),
        ("Categorical", {"Values": ["a", "a"]}, "holds one twice"),
    ],
)
def test_a_bad_range_is_named(kind: str, item: dict[str, Any], message: str) -> None:
    with pytest.raises(JobFailed, match=message):
        read_ranges({f"{kind}ParameterRanges": [{"Name": "x", **item}]})


def test_auto_early_stopping_ends_a_hopeless_trial(tmp_path: Path) -> None:
    # four good trials of two epochs, then a bad one that would take a minute
    program = SCORE + "    if x < 0.1: time.sleep(60)\n"
    values = {"Name": "x", "Values": ["1", "2", "3", "4", "0.01"]}
    body = request(program, tmp_path, ranges={"CategoricalParameterRanges": [values]}, jobs=None, Strategy="Grid")
    body["HyperParameterTuningJobConfig"] |= {"TrainingJobEarlyStoppingType": "Auto", "RandomSeed": last_of_five()}
    body["HyperParameterTuningJobConfig"]["ResourceLimits"]["MaxParallelTrainingJobs"] = 1
    done = tune(tmp_path, body)
    assert done.body["TrainingJobStatusCounters"]["Stopped"] == 1
    assert trials(tmp_path)[-1].body["ObjectiveStatus"] == "Succeeded"


def last_of_five() -> int:
    """A seed with which Grid comes to the fifth value last."""
    return next(seed for seed in range(1000) if shuffled(seed)[-1] == 4)


def shuffled(seed: int) -> list[int]:
    order = list(range(5))
    random.Random(seed).shuffle(order)
    return order
