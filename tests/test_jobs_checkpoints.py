"""CheckpointConfig: filled before the start, in step while the program runs, complete after whatever ended it."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from local_jobs import BOTH, put_program, run_job, start_job
from test_jobs_training import request
from test_jobs_tuning import request as tuning_request
from test_jobs_tuning import trials, tune

from pipeline.local.jobs.checkpoints import of_trial
from pipeline.local.jobs.staging import Sync
from pipeline.local.storage import Storage

ADDRESS = "s3://b/checkpoints/"
FOLDER = """
import json, os, sys, time
folder = json.load(open(os.environ["SM_INPUT_CONFIG_DIR"] + "/checkpointconfig.json"))["LocalPath"]
"""
# Somebody's training script: it counts, and knows nothing of this project.
COUNTING = """
path = os.path.join(folder, "count")
count = int(open(path).read()) if os.path.exists(path) else 0
print("from", count, flush=True)
while True:
    count += 1
    with open(path + ".tmp", "w") as file:
        file.write(str(count))
    os.replace(path + ".tmp", path)
    if os.path.exists({stop!r}):
        sys.exit({code})
    time.sleep(0.01)
"""


def counting(stop: Path, code: int = 0) -> str:
    return FOLDER + COUNTING.format(stop=str(stop), code=code)


def body(home: Path, program: str, **more: str) -> dict[str, Any]:
    return request(home, program, CheckpointConfig={"S3Uri": ADDRESS, **more})


def kept(home: Path, prefix: str = ADDRESS) -> dict[str, bytes]:
    storage = Storage(str(home))
    return {item.uri[len(prefix) :]: storage.get_bytes(item.uri) for item in storage.list(prefix)}


def kill_when(runner: Any, reached: Any) -> None:
    """kill -9 of the runner, which ends its jobs as well."""
    with runner:
        deadline = time.monotonic() + 30
        while not reached() and time.monotonic() < deadline:
            time.sleep(0.02)
        runner.send_signal(signal.SIGKILL)
    assert reached()


@pytest.mark.parametrize("kind", BOTH)
def test_a_killed_job_that_is_run_again_goes_on_from_its_checkpoint(tmp_path: Path, kind: str) -> None:
    stop = tmp_path / "stop"
    wanted = body(tmp_path, counting(stop))
    kill_when(start_job(tmp_path, "Training", wanted, isolation=kind), lambda: int(kept(tmp_path).get("count", 0)) > 5)
    reached = int(kept(tmp_path)["count"])
    stop.touch()
    done = run_job(tmp_path, "Training", wanted, isolation=kind, job_name="again")
    assert done.status == "Completed", done.error
    assert [line for line in done.log.splitlines() if line != "from 0"] == [f"from {reached}"]
    assert kept(tmp_path) == {"count": str(reached + 1).encode()}


@pytest.mark.parametrize("kind", BOTH)
def test_what_a_failed_job_wrote_last_is_kept_for_the_next(tmp_path: Path, kind: str) -> None:
    (stop := tmp_path / "stop").touch()
    failed = run_job(tmp_path, "Training", body(tmp_path, counting(stop, code=3)), isolation=kind)
    assert "exit code: 3" in failed.error and kept(tmp_path) == {"count": b"1"}
    done = run_job(tmp_path, "Training", body(tmp_path, counting(stop)), isolation=kind, job_name="next")
    assert done.log.endswith("from 1\n") and kept(tmp_path) == {"count": b"2"}


def test_what_a_cancelled_job_wrote_is_kept(tmp_path: Path) -> None:
    done = run_job(tmp_path, "Training", body(tmp_path, counting(tmp_path / "never")), cancel_after=1.5)
    assert done.status == "Stopped" and int(kept(tmp_path)["count"]) > 0


def test_a_file_deleted_in_the_folder_is_deleted_in_s3(tmp_path: Path) -> None:
    for name in ("old", "epochs/1", "stays"):
        put_program(tmp_path, ADDRESS + name, name)
    program = FOLDER + "os.remove(folder + '/old'); os.rename(folder + '/epochs/1', folder + '/epochs/2')"
    assert run_job(tmp_path, "Training", body(tmp_path, program)).status == "Completed"
    assert kept(tmp_path) == {"epochs/2": b"epochs/1", "stays": b"stays"}


def test_a_deletion_reaches_s3_while_the_job_runs(tmp_path: Path) -> None:
    put_program(tmp_path, ADDRESS + "old", "x")
    program = FOLDER + "os.remove(folder + '/old'); open(folder + '/new', 'w').close(); time.sleep(60)"
    kill_when(start_job(tmp_path, "Training", body(tmp_path, program)), lambda: set(kept(tmp_path)) == {"new"})


def test_what_others_add_in_s3_meanwhile_is_neither_fetched_nor_deleted(tmp_path: Path) -> None:
    go = tmp_path / "go"
    program = FOLDER + f"open(folder + '/mine', 'w').close()\nwhile not os.path.exists({str(go)!r}): time.sleep(0.02)\n"
    program += "print(sorted(os.listdir(folder)))"
    with start_job(tmp_path, "Training", body(tmp_path, program)) as runner:
        deadline = time.monotonic() + 30
        while not kept(tmp_path) and time.monotonic() < deadline:
            time.sleep(0.02)
        put_program(tmp_path, ADDRESS + "theirs", "x")
        go.touch()
        runner.wait()
    assert (tmp_path / "logs/e1/Step.log").read_text() == "['mine']\n"
    assert set(kept(tmp_path)) == {"mine", "theirs"}


def test_without_a_checkpoint_config_there_is_neither_folder_nor_file(tmp_path: Path) -> None:
    program = "import os\nroot = os.environ['SM_OUTPUT_DIR'] + '/..'\nprint(os.path.exists(root + '/checkpoints'))\n"
    program += "print(os.path.exists(os.environ['SM_INPUT_CONFIG_DIR'] + '/checkpointconfig.json'))"
    assert run_job(tmp_path, "Training", request(tmp_path, program)).log.split() == ["False", "False"]


@pytest.mark.parametrize("kind", BOTH)
def test_the_folder_is_where_the_request_wants_it(tmp_path: Path, kind: str) -> None:
    put_program(tmp_path, ADDRESS + "old", "x")
    wanted = body(tmp_path, FOLDER + "print(folder, os.listdir(folder))", LocalPath="/opt/ml/mine/here/")
    where, names = run_job(tmp_path, "Training", wanted, isolation=kind).log.split()
    assert where.rstrip("/").endswith("/ml/mine/here") and names == "['old']"
    refused = run_job(tmp_path, "Training", body(tmp_path, "", LocalPath="/tmp/x"), isolation=kind, job_name="refused")
    assert "LocalPath '/tmp/x' is not below /opt/ml" in refused.error


def test_a_neighbour_whose_name_begins_alike_is_left_out_and_said_so(tmp_path: Path) -> None:
    for number in ("1", "10"):
        put_program(tmp_path, f"s3://b/run-{number}/count", number)
    program = FOLDER + "print(os.listdir(folder), open(folder + '/count').read())"
    wanted = request(tmp_path, program, CheckpointConfig={"S3Uri": "s3://b/run-1"})
    done = run_job(tmp_path, "Training", wanted)
    assert done.log == "['count'] 1\n" and "end it in /" in done.parity["CheckpointConfig s3://b/run-1"]


def test_every_host_gets_what_was_kept(tmp_path: Path) -> None:
    put_program(tmp_path, ADDRESS + "old", "x")
    wanted = body(tmp_path, FOLDER + "open(folder + '/' + os.environ['SM_CURRENT_HOST'], 'w').close()")
    wanted["ResourceConfig"]["InstanceCount"] = 2
    assert run_job(tmp_path, "Training", wanted).status == "Completed"
    assert set(kept(tmp_path)) == {"old", "algo-1", "algo-2"}


def test_a_change_that_no_file_time_shows_is_uploaded(tmp_path: Path) -> None:
    """Times move in ticks: written again in the same tick with as many bytes, a file looks as it did."""
    storage, folder = Storage(str(tmp_path)), tmp_path / "folder"
    folder.mkdir()
    sync = Sync(storage, str(folder), ADDRESS)
    (folder / "count").write_text("1")
    sync.push()
    stat = (folder / "count").stat()
    (folder / "count").write_text("2")
    os.utime(folder / "count", ns=(stat.st_atime_ns, stat.st_mtime_ns))
    sync.push()
    assert kept(tmp_path) == {"count": b"2"}


def test_a_folder_that_is_gone_deletes_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "count").write_text("1")
    sync = Sync(Storage(str(tmp_path)), str(folder), ADDRESS, mirror=True)
    assert sync.push() == 1
    (folder / "count").unlink()
    folder.rmdir()
    assert sync.push() == 0 and kept(tmp_path) == {"count": b"1"}


SCORED = """
import os, sys
words = dict(zip(sys.argv[1::2], sys.argv[2::2]))
path = folder + "/x"
print("found", open(path).read() if os.path.exists(path) else "nothing", "of", words["-x"], flush=True)
with open(path, "w") as file:
    file.write(words["-x"])
while not os.path.exists({go!r}): time.sleep(0.02)
print("score=" + words["-x"])
"""
FIXED = {"CategoricalParameterRanges": [{"Name": "x", "Values": ["1", "2"]}]}


def test_a_trial_that_is_run_again_finds_its_own_checkpoint(tmp_path: Path) -> None:
    program = FOLDER + SCORED.format(go=str(tmp_path / "go"))
    wanted = tuning_request(program, tmp_path, ranges=FIXED, jobs=None, parallel=2, Strategy="Grid")
    wanted["TrainingJobDefinition"]["CheckpointConfig"] = {"S3Uri": ADDRESS}
    runner = start_job(tmp_path, "Tuning", wanted, job_name="first")
    kill_when(runner, lambda: sorted(kept(tmp_path).values()) == [b"1", b"2"])
    (tmp_path / "go").touch()
    done = tune(tmp_path, wanted, previous_job="first")
    assert done.status == "Completed", done.error
    logs = "".join(path.read_text() for path in (tmp_path / "logs/e1").glob("Step-*.log"))
    assert {f"found {x} of {x}" for x in "12"} <= set(logs.splitlines())
    assert len({record.body["CheckpointConfig"]["S3Uri"] for record in trials(tmp_path)}) == 2
    assert "a folder named by its hyperparameters" in done.parity["CheckpointConfig of trials"]


def test_trials_with_equal_hyperparameters_share_an_address_and_others_do_not() -> None:
    config = {"S3Uri": "s3://b/c", "LocalPath": "/opt/ml/here"}
    first, same = of_trial(config, {"x": "1", "y": "2"}), of_trial(config, {"y": "2", "x": "1"})
    other = of_trial(config, {"x": "2", "y": "2"})
    assert first == same and first["S3Uri"] != other["S3Uri"]
    assert first["S3Uri"].startswith("s3://b/c/") and first["S3Uri"].endswith("/")
    assert first["LocalPath"] == "/opt/ml/here" and config["S3Uri"] == "s3://b/c"
