"""The examples, run to a registered model; the two published cases on small archives of exactly their formats."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import archives
import pytest
import scenes
from pictures import encoded

ROOT = Path(__file__).parent.parent
BREEDS = ("001.Affenpinscher", "002.Afghan_hound", "003.Airedale_terrier")
PHOTOS = {"train": 4, "valid": 2, "test": 2}
SHORT = ("--set", "MaxTuningJobs=1", "--set", "MaxParallelTuningJobs=1", "--set", "AccuracyThreshold=0")

pytestmark = pytest.mark.slow


def cifar_archive(folder: Path) -> Path:
    files = {f"cifar-10-batches-py/{name}": content for name, content in archives.cifar10(10).items()}
    path = folder / "cifar-10-python.tar.gz"
    path.write_bytes(archives.tarred(files))
    return path


def dog_archive(folder: Path) -> Path:
    """Photos of several sizes, as dogImages.zip has them: dogImages/train/001.Affenpinscher/Affenpinscher_00001.jpg."""
    files = {}
    for split, count in PHOTOS.items():
        for label, breed in enumerate(BREEDS):
            for number in range(count):
                seed = 100 * label + 10 * list(PHOTOS).index(split) + number
                pixels = scenes.scenes(1, 260 + 20 * number, seed=seed)[0]
                name = f"dogImages/{split}/{breed}/{breed[4:]}_{seed:05d}.jpg"
                files[name] = encoded(pixels[: 240 + 10 * label], "JPEG", quality=90)
    path = folder / "dogImages.zip"
    path.write_bytes(archives.zipped(files))
    return path


def darkroom(home: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "2", "DARKROOM_HOME": str(home)}
    command = [sys.executable, "-m", "pipeline", *words]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


def ran(home: Path, example: str, archive: Path) -> dict[str, Any]:
    return registered(home, "-c", f"examples/{example}.yaml", "--set", f"DatasetUri={archive}", *SHORT)


def registered(home: Path, *words: str) -> dict[str, Any]:
    done = darkroom(home, "run", *words, "--json")
    assert done.returncode == 0, done.stderr
    shown: dict[str, Any] = json.loads(done.stdout)
    assert {step["StepStatus"] for step in shown["Steps"]} == {"Succeeded"}
    assert [package["ModelApprovalStatus"] for package in shown["ModelPackages"]] == ["PendingManualApproval"]
    return shown


def prepared(home: Path) -> dict[str, Any]:
    found: list[Path] = list(home.glob("s3/*/*/runs/*/PrepareData/report/dataset.json"))
    dataset: dict[str, Any] = json.loads(found[0].read_text())
    return dataset


def test_cifar10_runs_from_its_published_archive_to_a_registered_model(tmp_path: Path) -> None:
    ran(tmp_path / "home", "cifar10", cifar_archive(tmp_path))
    dataset = prepared(tmp_path / "home")
    assert {split: sum(counts.values()) for split, counts in dataset["counts"].items()}["test"] == 10
    assert (dataset["source"]["kind"], dataset["image_size"], dataset["stored_size"]) == ("cifar10", 32, 32)


def test_dog_breeds_runs_from_its_published_zip_to_a_registered_model(tmp_path: Path) -> None:
    ran(tmp_path / "home", "dog_breeds", dog_archive(tmp_path))
    dataset = prepared(tmp_path / "home")
    totals = {split: sum(counts.values()) for split, counts in dataset["counts"].items()}
    assert totals == {"train": 12, "validation": 6, "test": 6}
    assert dataset["classes"] == ["Affenpinscher", "Afghan_hound", "Airedale_terrier"]
    assert dataset["stored_size"] == 256
    pictures = list((tmp_path / "home/executions").glob("*/report.html"))
    assert "data:image/svg+xml;base64," in pictures[0].read_text()


def test_a_network_of_ones_own_runs_and_once_it_is_edited_all_but_the_data_anew(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "examples/own_network", tmp_path / "own")
    config, neighbour = tmp_path / "own/pipeline.yaml", tmp_path / "own/nets/stages.py"
    config.write_text(config.read_text().replace("tuning:\n", "tuning:\n  enabled: false\n"))  # two trials fewer
    words = ("-c", str(config), "--set", "TrainingEpochs=1", "--set", "AccuracyThreshold=0")
    registered(tmp_path / "home", *words)
    neighbour.write_text(neighbour.read_text().replace("nn.ReLU()", "nn.GELU()"))
    steps = {step["StepName"]: step for step in registered(tmp_path / "home", *words)["Steps"]}
    jobs = ("PrepareData", "TrainModel", "EvaluateModel")
    assert [name for name in jobs if "CacheHitResult" in steps[name]] == ["PrepareData"]
