"""Training that is killed by SIGKILL at any moment and started again ends as one that was never killed, bit for bit."""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pictures
import pytest
from local_jobs import put_archive, run_job, start_job
from test_jobs_training import channel, request
from training import checkpoints

from pipeline.local.storage import Storage

SMALL = ["--model", "shufflenet_v2_x0_5", "--precision", "float32", "--batch_size", "6", "--lr", "0.02", "--seed", "3"]
# Everything that has a state of its own, or draws numbers.
PLAIN = [*SMALL, "--epochs", "4"]
RICH = [*SMALL, "--epochs", "5", "--augment", "flip", "--mixup", "0.3", "--cutmix", "1", "--sampling", "balanced"]
RICH += ["--optimizer", "adamw", "--ema", "0.9", "--early_stopping", "2", "--accumulate", "2", "--clip_norm", "1"]
EACH_STEP, EACH_EPOCH = ["--checkpoint_minutes", "0.00001"], ["--checkpoint_minutes", "0"]


class Trainer:
    """`splits` are trained on below `root`; the code is a copy, which nobody changes meanwhile."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.splits = pictures.colours(root / "splits", {"train": 10, "validation": 3})
        ignored = shutil.ignore_patterns("__pycache__", "lambda_*")
        self.code = Path(shutil.copytree(Path(checkpoints.__file__).parents[1], root / "code", ignore=ignored))
        env = {**os.environ, "PYTHONPATH": str(self.code), "OMP_NUM_THREADS": "1"}
        command = [sys.executable, str(Path(__file__).with_name("dying_training.py"))]
        self.process = subprocess.Popen(command, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def run(self, name: str, options: list[str], moment: int = 0) -> tuple[int, int]:
        """Exit code, or minus the signal, and how many calls were made, if it lived."""
        folder = self.root / name
        folder.mkdir(exist_ok=True)
        channels = [f"--{split}-dir={self.splits / split}" for split in ("train", "validation")]
        ours = [f"--{path}={folder / path}" for path in ("model-dir", "output-data-dir", "checkpoint-dir")]
        assert self.process.stdin is not None and self.process.stdout is not None
        order = [[*channels, *ours, *options], moment, str(folder / "log")]
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        code, calls = json.loads(self.process.stdout.readline())
        return code, calls

    def log(self, name: str) -> str:
        return (self.root / name / "log").read_text()

    def is_kept(self, name: str) -> bool:
        return (self.root / name / "checkpoint-dir" / checkpoints.NAME).exists()

    def outcome(self, name: str) -> tuple[str, list[object]]:
        """Digest of the weights, and all figures of all epochs that are not times."""
        folder = self.root / name
        weights = hashlib.sha256((folder / "model-dir/model.pt").read_bytes()).hexdigest()
        rows = [json.loads(line) for line in (folder / "output-data-dir/metrics.jsonl").read_text().splitlines()]
        return weights, [{key: value for key, value in row.items() if not key.endswith("_seconds")} for row in rows]


@pytest.fixture(scope="module")
def trainer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trainer]:
    made = Trainer(tmp_path_factory.mktemp("resume"))
    with made.process:
        yield made
        assert made.process.stdin is not None
        made.process.stdin.close()


@pytest.mark.parametrize(
    ("name", "options", "seed"), [("plain", [*PLAIN, *EACH_EPOCH], 1), ("rich", [*RICH, *EACH_STEP], 2)]
)
def test_a_killed_training_ends_with_the_same_weights(
    trainer: Trainer, name: str, options: list[str], seed: int
) -> None:
    code, whole = trainer.run(f"{name}-whole", options)
    assert code == 0, trainer.log(f"{name}-whole")
    drawn = random.Random(seed)
    resumed = 0  # how many ended in a run that began behind the first step
    for killed in (f"{name}-a", f"{name}-b"):
        for moment in (*(drawn.randrange(1, whole) for _ in range(3)), 0):
            had_one = trainer.is_kept(killed)
            code, calls = trainer.run(killed, options, moment)
            assert "from the beginning" not in trainer.log(killed)
            if code == 0:
                break  # its rest was shorter than the moment
            assert code == -signal.SIGKILL, trainer.log(killed)
        resumed += had_one and calls < 0.9 * whole
        assert trainer.outcome(killed) == trainer.outcome(f"{name}-whole")
        assert not trainer.is_kept(killed)  # the next training is a new one
    assert resumed


def test_a_checkpoint_of_other_options_is_not_taken_up(trainer: Trainer) -> None:
    options = [*SMALL, "--epochs", "2", *EACH_EPOCH]
    code, whole = trainer.run("first", options)
    assert code == 0
    while not trainer.is_kept("second"):
        assert trainer.run("second", [*options, "--weight_decay", "0.1"], whole * 2 // 3)[0] == -signal.SIGKILL
    assert trainer.run("second", options)[0] == 0
    assert "not equal: weight_decay: training starts from the beginning" in trainer.log("second")
    assert trainer.outcome("second") == trainer.outcome("first")


def training_job(trainer: Trainer, home: Path, options: list[str]) -> dict[str, Any]:
    """The shipped program as a definition has it: its code and both splits come from S3."""
    code = {str(path.relative_to(trainer.code)): path.read_text() for path in trainer.code.rglob("*.py")}
    storage = Storage(str(home))
    for split in ("train", "validation"):
        storage.upload(str(trainer.splits / split), f"s3://b/{split}/")
    body = request(home, "", CheckpointConfig={"S3Uri": "s3://b/checkpoints/"}, Environment={"OMP_NUM_THREADS": "1"})
    put_archive(home, "s3://b/code/sourcedir.tar.gz", code)
    toolkit = {name: value for name, value in body["HyperParameters"].items() if name.startswith("sagemaker_")}
    values = [option.lstrip("-") for option in options]
    body["HyperParameters"] = {**toolkit, **dict(zip(values[::2], values[1::2], strict=True))}
    body["InputDataConfig"] = [channel(name, f"s3://b/{name}/") for name in ("code", "train", "validation")]
    return body


def test_a_training_job_whose_runner_is_killed_goes_on_from_s3(trainer: Trainer, tmp_path: Path) -> None:
    options = [*SMALL, "--epochs", "20", *EACH_STEP]
    body = training_job(trainer, tmp_path, options)
    storage = Storage(str(tmp_path))
    with start_job(tmp_path, "Training", body) as runner:
        deadline = time.monotonic() + 120
        while not storage.exists("s3://b/checkpoints/checkpoint.pt") and time.monotonic() < deadline:
            time.sleep(0.05)
        runner.send_signal(signal.SIGKILL)
    assert storage.exists("s3://b/checkpoints/checkpoint.pt")
    again = run_job(tmp_path, "Training", body, job_name="again")
    assert again.status == "Completed", again.error
    assert trainer.run("uninterrupted", options)[0] == 0
    with tarfile.open(storage.path("s3://b/out/again/output/model.tar.gz")) as archive:
        weights = archive.extractfile("model.pt")
        assert weights is not None
        assert hashlib.sha256(weights.read()).hexdigest() == trainer.outcome("uninterrupted")[0]
    assert "from the beginning" not in again.log and not list(storage.list("s3://b/checkpoints/"))
