"""A training that a rule, or somebody, stopped on this machine's service: what its rules said is known all the same."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pictures
import pytest
import train
from health import verdicts
from local_jobs import put_archive, put_program, run_job
from test_jobs_training import channel, request

from pipeline.client import local_client
from pipeline.control import health
from pipeline.local.storage import Storage

KEPT = "s3://b/checkpoints/"
STEP = {
    "StepName": "Train",
    "StepType": "Training",
    "Metadata": {"TrainingJob": {"Arn": "arn:aws:sagemaker:us-east-1:1:training-job/job-1"}},
}
NET = """
from torch import nn


def build(num_classes):
    return nn.Sequential(nn.Flatten(), nn.Linear(768, 64), nn.Linear(64, 64), nn.Linear(64, num_classes))
"""


def shipped(home: Path, **hyperparameters: str) -> dict[str, Any]:
    """A job of the shipped train.py."""
    body = request(home, "", CheckpointConfig={"S3Uri": KEPT})
    root = Path(train.__file__).parent
    files = {str(path.relative_to(root)): path.read_text(encoding="utf-8") for path in root.rglob("*.py")}
    put_archive(home, "s3://b/code/sourcedir.tar.gz", {**files, "net.py": NET})
    pictures.colours(home / "splits", {"train": 14, "validation": 3})
    for split in ("train", "validation"):
        Storage(str(home)).upload(str(home / "splits" / split), f"s3://b/splits/{split}/")
    channels = [channel(split, f"s3://b/splits/{split}/") for split in ("train", "validation")]
    own = {name: value for name, value in body["HyperParameters"].items() if name.startswith("sagemaker_")}
    more = {"model_file": "net.py", "batch_size": "6", "health_every": "1", "schedule": "constant", **hyperparameters}
    return {**body, "HyperParameters": own | more, "InputDataConfig": [channel("code", "s3://b/code/"), *channels]}


def told(home: Path) -> str | None:
    found = health.read(local_client(str(home)), [STEP])
    return found and health.told(found)


def test_the_line_says_which_rule_stopped_a_training_and_why(tmp_path: Path) -> None:
    """Its output is not kept; a next job that ends well leaves nothing at the checkpoint's address."""
    body = shipped(tmp_path, lr="100", epochs="20", health_rules="AllZero+ExplodingTensor:on_issue=stop")
    failed = run_job(tmp_path, "Training", body)
    assert failed.status == "Failed" and "stopped by rule ExplodingTensor" in failed.error, failed.log
    line = told(tmp_path)
    assert line and line.startswith("stopped by ExplodingTensor: 1 of 2 rules found issues: ExplodingTensor (")
    assert any(f"{KEPT}health/health.json" == item.uri for item in Storage(str(tmp_path)).list(KEPT))
    body["HyperParameters"] |= {"lr": "0.01", "epochs": "1"}
    assert run_job(tmp_path, "Training", body, job_name="job-2").status == "Completed"
    assert not list(Storage(str(tmp_path)).list(KEPT))


def test_what_somebody_stopped_has_its_verdicts_and_its_checkpoint(tmp_path: Path) -> None:
    body = shipped(tmp_path, lr="0.01", epochs="10000", health_rules="AllZero")
    stopped = run_job(tmp_path, "Training", body, cancel_when=Storage(str(tmp_path)).path(f"{KEPT}checkpoint.pt"))
    assert stopped.status == "Stopped" and "interrupted by SIGTERM" in stopped.log, stopped.log
    assert told(tmp_path) == "1 rule, no issues"
    kept = {item.uri for item in Storage(str(tmp_path)).list(KEPT)}
    assert kept == {f"{KEPT}checkpoint.pt", f"{KEPT}health/health.json"}


@pytest.mark.parametrize(
    "content", [b"{", b"[]", b'{"job": "job-0", "rules": []}', b" " * (1 << 20) + b'{"job": "job-1"}']
)
def test_what_another_job_or_a_stranger_left_there_is_not_its_own(tmp_path: Path, content: bytes) -> None:
    body = request(tmp_path, "raise SystemExit(1)", CheckpointConfig={"S3Uri": KEPT.rstrip("/")})
    body["HyperParameters"]["health_rules"] = "AllZero"
    assert run_job(tmp_path, "Training", body).status == "Failed"
    put_program(tmp_path, f"{KEPT}health/health.json", content.decode())
    assert told(tmp_path) is None
    mine = {"job": "job-1", "rules": [verdicts.body(verdicts.fine("AllZero", 3, "Nothing is zero"))]}
    put_program(tmp_path, f"{KEPT}health/health.json", json.dumps(mine))
    assert told(tmp_path) == "1 rule, no issues"
