"""Trainings by train.py that are slowed down on purpose: the rules and the profile name what did it, and where."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pictures
import pytest
import slowed_trainings
import train
from health.profiling import waiting
from slowed_trainings import BATCH, COUNT

HEAVY, EPOCHS = frozenset({3, 50}), 6
OF_A_JOB = {
    *("download", "start_up", "data_wait", "transfer", "forward", "backward", "optimizer", "evaluation"),
    *("checkpoint", "logging", "profiling", "export", "collector", "other"),
}
TICK = 0.05  # seconds by which clocks of a machine may differ: that of a process's start ticks each 10 ms


@pytest.fixture(scope="module")
def colours(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pictures.colours(tmp_path_factory.mktemp("colours"), {"train": 40, "validation": 2})


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on macOS, where nothing tells what other processes had: tests beside this one are no part of its case."""
    monkeypatch.setattr(waiting, "found", lambda: None)


def owned(profile: dict[str, Any]) -> list[dict[str, Any]]:
    """What to change first, but for what this machine does beside the test."""
    return [gain for gain in profile["advice"] if gain["cause"] != "CPU"]


def share(profile: dict[str, Any], group: str) -> float:
    return float(profile["framework"][group]["share"])


def causes(profile: dict[str, Any]) -> list[str]:
    return [row["cause"] for row in profile["outliers"]["by_cause"] if row["cause"] != "CPU"]


def test_a_third_in_others_and_outliers_are_explained_by_pictures_that_are_hard_to_read(
    tmp_path: Path, alone: None
) -> None:
    """The case that nobody could explain: 34 % of the time in OTHERS, and StepOutlier fired."""
    splits = slowed_trainings.splits(tmp_path / "data", HEAVY)
    recorded, profile, verdicts = slowed_trainings.run(splits, tmp_path, slowed_trainings.STEADY, EPOCHS)
    assert share(profile, "others") > 0.34
    assert profile["framework"]["others"]["parts"][0]["part"] == "data_wait"
    assert verdicts[0]["status"] == "IssuesFound"
    assert "for data" in verdicts[0]["message"] and "loader" in verdicts[0]["advice"]
    assert causes(profile)[0] == "data"
    expected = set(slowed_trainings.heavy_steps(HEAVY, EPOCHS))
    found = {one["step"] for one in profile["outliers"]["largest"] if one["cause"] == "data"}
    assert len(found & expected) >= len(expected) / 2  # on a busy machine other steps are slower
    assert len(found & expected) > len(found - expected)
    first = owned(profile)[0]
    assert (first["cause"], first["what"]) == (
        "data",
        "See what the loader does at these steps, and let it read further ahead",
    )
    waited = recorded.steps["data_wait"][recorded.steps["mode"] == "train"].sum()
    assert first["seconds"] == pytest.approx(waited, rel=1e-3)
    page = (tmp_path / "output/data/health/profiler-report.html").read_text(encoding="utf-8")
    assert page.index(first["what"]) < page.index("Job summary")


def test_checkpoints_that_take_long_are_what_outliers_are_of(colours: Path, tmp_path: Path) -> None:
    """After each epoch alone: by the clock, a slow disk has one at every step, and none of them is an outlier."""
    more = ["--checkpoint-dir", str(tmp_path / "checkpoints"), "--checkpoint_minutes", "0"]
    _, profile, verdicts = slowed_trainings.run(colours, tmp_path, slowed_trainings.SLOW_TO_SAVE, 4, *more)
    assert verdicts[0]["status"] == "IssuesFound"
    assert "for checkpoint" in verdicts[0]["message"] and "checkpoint_minutes" in verdicts[0]["advice"]
    assert causes(profile)[0] == "checkpoint"
    assert owned(profile)[0]["cause"] == "checkpoint"


def test_pauses_of_the_garbage_collector_are_told_with_their_rhythm(colours: Path, tmp_path: Path) -> None:
    _, profile, verdicts = slowed_trainings.run(colours, tmp_path, slowed_trainings.COLLECTING, 3)
    assert verdicts[0]["status"] == "IssuesFound"
    assert "for garbage collector, every 24 steps" in verdicts[0]["message"] and "gc.freeze" in verdicts[0]["advice"]
    assert causes(profile)[0] == "garbage collector"
    assert owned(profile)[0]["cause"] == "garbage collector"


@pytest.mark.skipif(waiting.found() is None, reason="nothing tells here what threads wait for CPUs")
def test_steps_that_other_processes_slow_down_are_theirs_and_no_issue(colours: Path, tmp_path: Path) -> None:
    """A training of its own with one core, which it shares with sixteen others for a second."""
    code = "import os, sys; os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})\n"
    code += "from pathlib import Path; import slowed_trainings\n"
    code += "slowed_trainings.judged(Path(sys.argv[1]), Path(sys.argv[2]), slowed_trainings.CROWDED, 4)"
    here = Path(__file__).parent
    paths = {"PYTHONPATH": os.pathsep.join([str(here), str(here.parent / "entrypoints")]), "OMP_NUM_THREADS": "1"}
    program = [sys.executable, "-c", code, str(colours), str(tmp_path)]
    done = subprocess.run(program, env=os.environ | paths, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    health = tmp_path / "output/data/health"
    profile: Any = pictures.json_of(health / "profile.json")
    verdict: Any = pictures.json_of(health / "health.json")
    assert profile["outliers"]["by_cause"][0]["cause"] == "CPU"
    assert next(gain for gain in profile["advice"] if gain["cause"] == "CPU")["seconds"] > 0.1
    assert "for CPUs that other processes had" in verdict["rules"][0]["message"]
    assert verdict["rules"][0]["status"] == "NoIssuesFound"


def test_validations_that_take_long_are_outliers_among_validations(colours: Path, tmp_path: Path) -> None:
    rules = ["--health_rules", "StepOutlier:mode=EVAL"]
    _, profile, verdicts = slowed_trainings.run(colours, tmp_path, slowed_trainings.SLOW_TO_JUDGE, 50, *rules)
    assert verdicts[0]["status"] == "IssuesFound"
    assert "for evaluation" in verdicts[0]["message"]
    assert "evaluate less often" in verdicts[0]["advice"]
    assert "evaluation" in {gain["cause"] for gain in profile["advice"]}


def test_all_parts_of_a_job_sum_to_its_wall_time(colours: Path, tmp_path: Path) -> None:
    """A job as SageMaker starts it: a program of its own, whose inputs were fetched before."""
    config, output = tmp_path / "config", tmp_path / "output"
    config.mkdir()
    (config / "inputdataconfig.json").write_text("{}")
    began = (config / "inputdataconfig.json").stat().st_mtime
    time.sleep(0.2)  # the download
    environment = {"SM_INPUT_CONFIG_DIR": str(config), "SM_MODEL_DIR": str(tmp_path / "model"), "OMP_NUM_THREADS": "1"}
    environment |= {"SM_OUTPUT_DATA_DIR": str(output / "data"), "SM_OUTPUT_DIR": str(output)}
    environment |= {"SM_CHANNEL_TRAIN": str(colours / "train"), "SM_CHANNEL_VALIDATION": str(colours / "validation")}
    (tmp_path / "net.py").write_text(slowed_trainings.STEADY)
    told = ["--model_file", str(tmp_path / "net.py"), "--epochs", "2", "--batch_size", "4", "--profile", "true"]
    told += ["--checkpoint-dir", str(tmp_path / "checkpoints"), "--health_rules", "ExplodingTensor"]
    program = [sys.executable, train.__file__, *told]
    done = subprocess.run(program, env=environment, capture_output=True, text=True, check=False)
    ended = time.time()
    assert done.returncode == 0, done.stderr
    profile: Any = pictures.json_of(output / "data/health/profile.json")
    job = profile["job"]
    parts = {part["part"]: part["ns"] for part in job["parts"]}
    assert set(parts) == OF_A_JOB
    assert {name for name in OF_A_JOB - {"collector", "other"} if not parts[name]} == set()
    assert sum(parts.values()) == job["wall_ns"] and min(parts.values()) >= 0
    whole, written = job["wall_ns"] / 1e9, (output / "data/health/profile.json").stat().st_mtime
    assert whole == pytest.approx(job["ended"] - began, abs=TICK)
    assert job["ended"] <= written <= ended
    assert (tmp_path / "model/model.pt").stat().st_mtime <= job["ended"] + TICK
    assert parts["download"] >= 0.2e9 - TICK * 1e9
    assert parts["other"] < 0.02 * job["wall_ns"]


def test_the_heavy_pictures_of_an_epoch_are_known() -> None:
    steps = slowed_trainings.heavy_steps(HEAVY, EPOCHS)
    assert len(steps) in range(EPOCHS, 2 * EPOCHS + 1) and max(steps) < EPOCHS * COUNT // BATCH
