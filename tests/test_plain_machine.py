"""The three programs by hand, on a machine that knows nothing of SageMaker."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pictures
import prepare
import pytest
import train

ENTRYPOINTS = Path(train.__file__).parent


def run(folder: Path, program: str, *arguments: str) -> str:
    """From `folder`, with an environment that has no more than a path."""
    command = [sys.executable, str(ENTRYPOINTS / program), *arguments]
    env = {"PATH": os.environ["PATH"], "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_pictures_become_an_evaluated_model_in_three_commands(tmp_path: Path) -> None:
    """As docs/training.md has them: relative folders, and nothing said that has a default."""
    pictures.folder(tmp_path / "photos")
    run(tmp_path, "prepare.py", "--kind", "imagefolder", "--input-dir", "photos", "--output-dir", "work")
    splits = ["--train-dir", "work/train", "--validation-dir", "work/validation"]
    small = ["--model", "shufflenet_v2_x0_5", "--epochs", "1"]
    told = run(tmp_path, "train.py", *splits, "--model-dir", "work/model", *small)
    assert told.startswith("epoch=1 train_loss=")
    data = ["--test-dir", "work/test", "--validation-dir", "work/validation"]
    told = run(tmp_path, "evaluate.py", "--model-dir", "work/model", *data, "--output-dir", "work")
    assert told.startswith("accuracy=")
    made = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.json*")}
    assert {"work/model/model.json", "work/model-output/metrics.jsonl", "work/evaluation/evaluation.json"} <= made
    judged = json.loads((tmp_path / "work/evaluation/evaluation.json").read_text())
    unpacked = judged["multiclass_classification_metrics"]["accuracy"]["value"]

    archive = tmp_path / "archive"
    archive.mkdir()
    subprocess.run(["tar", "-czf", str(archive / "model.tar.gz"), "-C", str(tmp_path / "work/model"), "."], check=True)
    told = run(tmp_path, "evaluate.py", "--model-dir", "archive", *data, "--output-dir", "again")
    assert told.startswith(f"accuracy={unpacked:.4f}")


def test_figures_lie_beside_the_model_where_nobody_says_where(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pictures.colours(tmp_path, {"train": 4, "validation": 2})
    (tmp_path / "model").mkdir()
    monkeypatch.chdir(tmp_path / "model")
    splits = ["--train-dir", "../train", "--validation-dir", "../validation"]
    small = ["--model", "shufflenet_v2_x0_5", "--epochs", "1"]
    assert train.main([*splits, "--model-dir", ".", *small], {}) == 0
    assert (tmp_path / "model-output/report/training.json").is_file()


def test_what_is_missing_is_named_by_its_option(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train.main(["--train-dir", str(tmp_path), "--validation-dir", str(tmp_path)], {}) == 1
    assert "no folder for --model-dir: give it, or set SM_MODEL_DIR" in capsys.readouterr().err
    assert prepare.main(["--input-dir", str(tmp_path), "--output-dir", str(tmp_path)]) == 1
    assert "--kind" in capsys.readouterr().err
