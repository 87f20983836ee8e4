"""Metric regexes over a growing log."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from pipeline.local.jobs import JobFailed
from pipeline.local.jobs.metrics import LONGEST_HISTORY, Metrics

LOSS = [{"Name": "loss", "Regex": r"loss=([0-9.eE+-]+|nan|inf)"}]


def values(metrics: Metrics, name: str = "loss") -> list[float]:
    return [value for _, value in metrics.history.get(name, [])]


def test_a_line_counts_once_it_is_whole(tmp_path: Path) -> None:
    log = tmp_path / "log"
    metrics = Metrics(LOSS, {str(log): 0})
    assert not metrics.poll()
    log.write_text("loss=1\nloss=2")
    assert metrics.poll() and values(metrics) == [1]
    log.write_text("loss=1\nloss=25\n")
    metrics.poll()
    assert values(metrics) == [1, 25]


def test_the_last_line_counts_without_its_end_when_the_job_is_over(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("loss=0.5")
    metrics = Metrics(LOSS, {str(tmp_path / "log"): 0})
    metrics.poll(final=True)
    assert metrics.final()[0]["Value"] == 0.5


def test_what_an_earlier_attempt_logged_is_not_ours(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("loss=1\nloss=2\n")
    metrics = Metrics(LOSS, {str(tmp_path / "log"): len("loss=1\n")})
    metrics.poll()
    assert values(metrics) == [2]


def test_the_last_finite_value_is_final_and_all_are_history(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("a loss=3 b\rloss=nan\nloss=1e-3\nloss=e\n")
    metrics = Metrics(LOSS, {str(tmp_path / "log"): 0})
    metrics.poll()
    assert values(metrics)[0] == 3 and math.isnan(values(metrics)[1])
    assert [item["Value"] for item in metrics.final()] == [0.001]


def test_a_long_history_is_thinned_to_stay_small(tmp_path: Path) -> None:
    count = 10 * LONGEST_HISTORY
    (tmp_path / "log").write_text("".join(f"loss={number}\n" for number in range(count)))
    metrics = Metrics(LOSS, {str(tmp_path / "log"): 0})
    metrics.poll()
    kept = values(metrics)
    assert LONGEST_HISTORY / 2 <= len(kept) <= LONGEST_HISTORY
    assert kept == sorted(kept) and kept[-1] > count - 100
    assert metrics.final()[0]["Value"] == count - 1


@pytest.mark.parametrize(("regex", "message"), [("loss=(", "Regex"), ("loss=1", "no group")])
def test_a_regex_that_finds_no_value_is_refused(regex: str, message: str) -> None:
    with pytest.raises(JobFailed, match=message):
        Metrics([{"Name": "loss", "Regex": regex}], {})
