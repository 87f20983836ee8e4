import os
import threading
import time

import pytest
from local_pipelines import Local, document, processing

from pipeline.local.runner import Ending


def test_a_pause_ends_with_the_execution(tmp_path):
    local = Local(tmp_path / "home")
    arn = local.start(document(processing("A", "sleep", "0.2")))
    began = time.monotonic()
    local.client.ending.pause(30)
    assert time.monotonic() - began < 20
    assert local.client.describe_pipeline_execution(PipelineExecutionArn=arn)["PipelineExecutionStatus"] == "Succeeded"


def test_a_pause_ends_when_the_runner_is_killed(tmp_path):
    local = Local(tmp_path / "home")
    arn = local.start(document(processing("A", "sleep", "60")))
    local.wait_for_step(arn, "A")
    os.kill(local.client.store.query("SELECT json_extract(runner, '$.pid') FROM executions")[0][0], 9)
    began = time.monotonic()
    local.client.ending.pause(30)
    assert time.monotonic() - began < 20
    # its pipe ends a moment before the process itself is gone
    assert local.wait(arn, 10)["PipelineExecutionStatus"] == "Failed"


def test_without_an_execution_a_pause_is_a_sleep():
    began = time.monotonic()
    Ending().pause(0.05)
    assert time.monotonic() - began >= 0.05


def test_many_executions_of_one_client_leave_no_pipe_open(tmp_path):
    local = Local(tmp_path / "home")
    local.run(document(processing("A")))
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        local.run(document(processing("A")))
    assert len(os.listdir("/proc/self/fd")) <= before


@pytest.mark.slow
def test_a_process_with_threads_starts_executions_too(tmp_path):
    local = Local(tmp_path / "home")
    done = threading.Event()
    threading.Thread(target=done.wait, daemon=True).start()
    try:
        arn = local.start(document(processing("A", "sleep", "0.2")))
        began = time.monotonic()
        local.client.ending.pause(30)
        assert time.monotonic() - began < 20
        assert local.wait(arn)["PipelineExecutionStatus"] == "Succeeded"
    finally:
        done.set()
