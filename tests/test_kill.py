"""kill -9 of the runner, at every write and at random moments: resume finishes, nothing is repeated or orphaned."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from local_pipelines import Local, condition, document, processing

from pipeline.local.service import LocalSageMaker

RUNNER = str(Path(__file__).with_name("dying_runner.py"))
SEED = 20261120
FILE = {"PropertyFileName": "Report", "OutputName": "out", "FilePath": "value.json"}
VALUE = {"Std:JsonGet": {"PropertyFile": {"Get": "Steps.A.PropertyFiles.Report"}, "Path": "value"}}


def definition(tally):
    """Two steps beside each other, a condition on what one of them wrote, a step behind it."""
    write = ("write", "/opt/ml/processing/output/out/value.json", '{"value": 1}')
    first = processing("A", "tally", tally, "A", *write, outputs=["out"], property_files=[FILE])
    beside = processing("B", "tally", tally, "B", "sleep", "0.05")
    then = processing("C", "tally", tally, "C", DependsOn=["B"])
    return document(
        first, beside, condition("Check", [{"Type": "Equals", "LeftValue": VALUE, "RightValue": 1}], then=[then])
    )


def prepared(tmp_path):
    """A Local whose executions get no runner of their own."""
    local = Local(tmp_path / "home")
    local.client = LocalSageMaker(local.home, start_runner=lambda home, execution_id: None)
    tally = tmp_path / "tally"
    arn = local.start(definition(str(tally)))
    return local, arn, tally


def runner_process(local, arn, writes):
    command = [sys.executable, RUNNER, local.home, arn.rpartition("/")[2], str(writes)]
    return subprocess.Popen(command, stdin=subprocess.DEVNULL)


def live_processes(mark):
    """Processes that still run with this mark (an execution's ARN, a home folder) in their environment or arguments."""
    found = []
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            text = Path(f"/proc/{entry}/environ").read_bytes() + Path(f"/proc/{entry}/cmdline").read_bytes()
            state = Path(f"/proc/{entry}/stat").read_bytes().rpartition(b") ")[2][:1]
        except OSError:
            continue
        if mark.encode() in text and state != b"Z" and int(entry) != os.getpid():
            found.append(int(entry))
    return found


def assert_no_orphan(arn, home):
    deadline = time.monotonic() + 5
    while live_processes(arn) + live_processes(home):
        assert time.monotonic() < deadline, f"orphans: {live_processes(arn) + live_processes(home)}"
        time.sleep(0.02)


def assert_resumes(local, arn, tally):
    """Whatever the moment, the execution can be finished, and steps that had succeeded are not run again."""
    interrupted = (
        local.client.describe_pipeline_execution(PipelineExecutionArn=arn)["PipelineExecutionStatus"] == "Failed"
    )
    if interrupted:
        done = [name for name, status in local.statuses(arn).items() if status == "Succeeded"]
        assert "Executing" not in local.statuses(arn).values()
        before = tally.read_text().split() if tally.exists() else []
        client = LocalSageMaker(local.home)
        client.retry_pipeline_execution(PipelineExecutionArn=arn)
        assert local.wait(arn)["PipelineExecutionStatus"] == "Succeeded"
        after = tally.read_text().split()
        for name in done:
            assert after.count(name) == before.count(name)
    assert set(tally.read_text().split()) == {"A", "B", "C"}
    assert local.statuses(arn) == dict.fromkeys(["A", "B", "Check", "C"], "Succeeded")
    assert local.client.store.query("PRAGMA integrity_check")[0][0] == "ok"
    return interrupted


def make_it_look_old(local, arn):
    """A runner that died before it claimed its execution is given up after seconds: they need not be waited for."""
    local.client.store.execute("UPDATE executions SET heartbeat=heartbeat-60 WHERE arn=? AND runner='{}'", arn)


@pytest.mark.slow
def test_a_kill_at_any_write_to_the_store_loses_nothing(tmp_path):
    for writes in range(200):
        folder = tmp_path / str(writes)
        folder.mkdir()
        local, arn, tally = prepared(folder)
        code = runner_process(local, arn, writes).wait()
        if code == 0:
            assert writes > 10
            return
        assert code == -signal.SIGKILL
        make_it_look_old(local, arn)
        assert_no_orphan(arn, local.home)
        assert_resumes(local, arn, tally)
    raise AssertionError("the run never ended by itself")


@pytest.mark.slow
def test_a_kill_at_a_random_moment_leaves_no_orphan_and_loses_nothing(tmp_path):
    moments = random.Random(SEED)
    interrupted = 0
    local, arn, _ = prepared(tmp_path)
    began = time.monotonic()
    assert runner_process(local, arn, 10**6).wait() == 0
    whole = time.monotonic() - began
    for index in range(50):
        folder = tmp_path / str(index)
        folder.mkdir()
        local, arn, tally = prepared(folder)
        process = runner_process(local, arn, 10**6)
        time.sleep(whole * moments.uniform(0.1, 0.9))
        process.kill()
        process.wait()
        make_it_look_old(local, arn)
        assert_no_orphan(arn, local.home)
        interrupted += assert_resumes(local, arn, tally)
    assert interrupted >= 25  # the others had ended before the kill


@pytest.mark.slow
@pytest.mark.parametrize("isolation", ["namespace", "rewrite"])
def test_a_killed_runner_leaves_no_process_not_even_one_with_a_session_of_its_own(tmp_path, isolation, monkeypatch):
    monkeypatch.setenv("DARKROOM_ISOLATION", isolation)
    local = Local(tmp_path / "home")
    program = "import subprocess, time; subprocess.Popen(['sleep', '300'], start_new_session=True); time.sleep(300)"
    step = processing("A")
    step["Arguments"]["AppSpecification"]["ContainerEntrypoint"] = ["python3", "-c", program]
    arn = local.start(document(step))
    local.wait_for_step(arn, "A")
    deadline = time.monotonic() + 20
    while len(live_processes(arn)) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    runner = local.client.store.query("SELECT json_extract(runner, '$.pid') FROM executions")[0][0]

    os.kill(runner, signal.SIGKILL)

    assert_no_orphan(arn, local.home)
    assert local.wait(arn)["PipelineExecutionStatus"] == "Failed"


def test_after_a_reboot_an_execution_counts_as_interrupted(tmp_path, monkeypatch):
    local = Local(tmp_path / "home")
    arn = local.start(document(processing("A", "sleep", "2")))
    local.wait_for_step(arn, "A")
    monkeypatch.setenv("DARKROOM_BOOT_ID", "another-boot")

    execution = local.client.describe_pipeline_execution(PipelineExecutionArn=arn)

    assert execution["PipelineExecutionStatus"] == "Failed"
    assert "darkroom resume" in execution["FailureReason"]
