"""torch.profiler for a few steps: the table, the trace, and what it is kept out of."""

from __future__ import annotations

import gc
import gzip
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import profiled_jobs
import pytest
import torch
from health.profiling import operators
from health.profiling.operators import Window
from profiled_jobs import Job


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("profiled")


@pytest.fixture(scope="module")
def job(folder: Path) -> Job:
    return profiled_jobs.train(folder, steps=40, profiled=3)


def test_operators_are_ranked_by_the_time_they_take_themselves(job: Job) -> None:
    table = job.operators
    assert table is not None
    rows = table["cpu"]["rows"]
    assert [row["self_us"] for row in rows] == sorted((row["self_us"] for row in rows), reverse=True)
    assert {"aten::convolution_backward", "aten::addmm"} <= {row["name"] for row in rows}
    assert sum(row["share"] for row in rows) <= 1 + 1e-9
    parts = sum(row["self_us"] for row in rows) + table["cpu"]["rest"]["self_us"]
    assert parts == pytest.approx(table["cpu"]["self_us"], abs=5)


def test_operators_are_told_apart_by_the_shapes_of_their_inputs(job: Job) -> None:
    assert job.operators is not None
    rows = [row for row in job.operators["cpu_by_shape"]["rows"] if row["name"] == "aten::addmm"]
    assert [(row["shapes"], row["calls"]) for row in rows] == [([[4], [32, 512], [512, 4]], 3)]


def test_the_table_is_written_as_it_is_returned(job: Job, folder: Path) -> None:
    assert json.loads((folder / operators.TABLE).read_text()) == json.loads(json.dumps(job.operators))


@pytest.fixture(scope="module")
def trace(job: Job, folder: Path) -> dict[str, Any]:
    with gzip.open(folder / operators.TRACE, "rt", encoding="utf-8") as file:
        content: dict[str, Any] = json.load(file)
    return content


def test_the_trace_is_a_chrome_trace_with_each_operator_and_its_time(trace: dict[str, Any]) -> None:
    complete = [event for event in trace["traceEvents"] if event["ph"] == "X"]
    assert sum(event["name"] == "aten::addmm" for event in complete) == 3
    spans = [event["ts"] for event in complete if event["name"] == "aten::addmm"]
    assert spans == sorted(spans) and min(event["dur"] for event in complete) >= 0


def test_the_trace_keeps_the_rules_of_its_format(trace: dict[str, Any]) -> None:
    """Google's Trace Event Format, as Perfetto and chrome://tracing read it: what each phase has to say of an event."""
    needed = {"X": {"ts", "dur"}, "M": {"args"}, "i": {"ts"}, "s": {"ts", "id"}, "f": {"ts", "id"}}
    events = trace["traceEvents"]
    assert trace["displayTimeUnit"] in ("ms", "ns")
    assert {event["ph"] for event in events} <= set(needed)  # B and E, which would have to be balanced, are not there
    for event in events:
        assert {"name", "ph", "pid", "tid", *needed[event["ph"]]} <= set(event), event
        assert all(isinstance(event[key], int | float) for key in ("ts", "dur") if key in event), event
        assert event["ph"] != "i" or event["s"] in ("g", "p", "t")
    named = {event["args"]["name"] for event in events if event["ph"] == "M" and event["name"] == "process_name"}
    assert named and all(named)


def test_arrows_from_forward_to_backward_have_both_their_ends(trace: dict[str, Any]) -> None:
    ends = {
        phase: {(event["id"], event["cat"]): event["ts"] for event in trace["traceEvents"] if event["ph"] == phase}
        for phase in "sf"
    }
    assert ends["s"] and ends["s"].keys() == ends["f"].keys()
    assert all(ends["s"][arrow] <= ends["f"][arrow] for arrow in ends["s"])


def test_operators_of_a_thread_lie_within_each_other_or_apart(trace: dict[str, Any]) -> None:
    """Half an overlap is what Perfetto leaves out. Its clock counts nanoseconds, times are microseconds."""
    threads: dict[Any, list[tuple[int, int]]] = {}
    for event in trace["traceEvents"]:
        if event["ph"] == "X":
            begins = round(event["ts"] * 1000)
            threads.setdefault((event["pid"], event["tid"]), []).append((begins, begins + round(event["dur"] * 1000)))
    for spans in threads.values():
        around: list[int] = []
        for begins, ends in sorted(spans, key=lambda span: (span[0], -span[1])):
            while around and around[-1] <= begins:
                around.pop()
            assert not around or ends <= around[-1] + 1
            around.append(ends)


def test_steps_that_the_profiler_slows_down_are_marked_and_stand_in_no_figure(job: Job) -> None:
    assert job.operators is not None
    assert job.operators["steps"] == [10, 11, 12]
    assert job.records.steps["step"][job.records.steps["profiled"]].tolist() == [10, 11, 12, 13]
    figures = job.figures()
    assert figures["durations"]["profiled"] == [10, 11, 12, 13]
    usual = figures["durations"]["steps"] + figures["durations"]["warm_up"]["steps"]
    assert usual == 40 - 4


def test_starting_and_stopping_belong_to_no_step(job: Job) -> None:
    assert job.operators is not None
    assert job.clock["parts_ns"]["profiling"] > 0
    assert job.clock["parts_ns"]["profiling"] / 1e9 <= job.operators["cost_seconds"] + 1
    steps = np.sum(job.records.steps["seconds"])
    assert steps == pytest.approx(sum(job.clock["modes_ns"].values()) / 1e9, abs=1e-3)


def test_a_job_that_ends_before_the_window_leaves_no_files(tmp_path: Path) -> None:
    job = profiled_jobs.train(tmp_path, steps=5, profiled=3)
    assert job.operators is None
    assert not list(tmp_path.glob("*.json*"))


def test_a_job_that_ends_within_the_window_leaves_what_was_seen(tmp_path: Path) -> None:
    job = profiled_jobs.train(tmp_path, steps=11, profiled=3)
    assert job.operators is not None and job.operators["steps"] == [10]


def test_a_resumed_training_is_watched_in_its_first_steps(tmp_path: Path) -> None:
    window = Window(torch.device("cpu"), first=2, steps=2)
    slowed = [step for step in range(500, 510) if window.at(step)]
    table = window.close(tmp_path)
    assert slowed == [500, 501, 502]
    assert table is not None and table["steps"] == [500, 501]


def test_micro_batches_of_one_step_ask_alike() -> None:
    window = Window(torch.device("cpu"), first=1, steps=1)
    assert [window.at(step) for step in (0, 0, 1, 1, 2, 2, 3, 3)] == [False] * 2 + [True] * 4 + [False] * 2


def test_events_of_the_profiler_do_not_call_the_garbage_collector() -> None:
    """A full collection, of half a second beside torch's modules, would fall into a step that is nobody's fault."""
    number = torch.zeros(4)
    window = Window(torch.device("cpu"), first=0, steps=1)
    gc.collect()
    window.at(0)
    for _ in range(20_000):
        number = number + 1
    before = gc.get_stats()[2]["collections"]
    window.at(1)
    kept = [[each] for each in range(20_000)]
    assert gc.get_stats()[2]["collections"] == before
    assert len(kept) == 20_000 and gc.isenabled() and gc.get_freeze_count() == 0


def test_a_program_that_fails_within_the_window_ends_as_it_would_have() -> None:
    """torch 2.12 crashes in a program that ends while its profiler runs."""
    code = "import sys; sys.path.insert(0, 'entrypoints'); import torch\n"
    code += "from health.profiling.operators import Window\n"
    code += "Window(torch.device('cpu'), first=0).at(0); torch.rand(2) + 1; sys.exit(3)"
    root = Path(__file__).parent.parent
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (3, "")
