"""A training that is killed at any moment and started again ends with the weights of one that never was."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import time
from pathlib import Path

import model
import pictures
import pytest
import torch
import train
from warm import Program

ENTRYPOINTS = Path(train.__file__).parent
# After how many checkpoints more the process is to die; empty: never. Hooks of the interpreter cannot be taken back.
SAVES_LEFT: list[int] = []


class Killed(BaseException):
    """Stands for SIGKILL: nothing in the program catches it."""


def _die_at_the_rename(event: str, args: tuple[object, ...]) -> None:
    if event == "os.rename" and SAVES_LEFT and str(args[1]).endswith("checkpoint.pt"):
        SAVES_LEFT[0] -= 1
        if SAVES_LEFT[0] < 0:
            SAVES_LEFT.clear()
            raise Killed


sys.addaudithook(_die_at_the_rename)


@pytest.fixture(scope="module")
def colours(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pictures.colours(tmp_path_factory.mktemp("colours"), {"train": 14, "validation": 3})


def arguments(splits: Path, root: Path, *more: str) -> list[str]:
    folders = ["--train-dir", str(splits / "train"), "--validation-dir", str(splits / "validation")]
    folders += ["--model-dir", str(root / "model"), "--output-data-dir", str(root / "output/data")]
    small = ["--model", "shufflenet_v2_x0_5", "--epochs", "2", "--batch_size", "8"]
    return [*folders, "--checkpoint-dir", str(root / "kept"), *small, *more]


def weights(root: Path) -> bytes:
    return (root / "model/model.pt").read_bytes()


def rows(root: Path) -> list[dict[str, float]]:
    lines = [json.loads(line) for line in (root / "output/data/metrics.jsonl").read_text().splitlines()]
    return [{name: value for name, value in line.items() if not name.endswith("_seconds")} for line in lines]


ALL_STATES = ["--augment", "flip", "--ema", "0.9", "--mixup", "0.5", "--cutmix", "1", "--dropout", "0.3"]
ALL_STATES += ["--sampling", "balanced", "--accumulate", "2", "--optimizer", "adamw", "--lr", "0.001"]


@pytest.mark.parametrize("more", [[], ALL_STATES, ["--trainable_layers", "0"]], ids=["default", "all", "head"])
def test_whatever_step_it_dies_after_it_ends_with_the_same_weights(
    colours: Path, tmp_path: Path, more: list[str]
) -> None:
    """A checkpoint after each step; it dies at the second one, and then after three more."""
    plain = arguments(colours, tmp_path / "plain", *more, "--checkpoint-dir", "")
    assert train.main(plain, {}) == 0
    often = arguments(colours, tmp_path, *more, "--checkpoint_minutes", "0.0000001")
    for saves in (1, 3):
        SAVES_LEFT[:] = [saves]
        with pytest.raises(Killed):
            train.main(often, {})
        assert not (tmp_path / "model").exists()
    assert train.main(often, {}) == 0
    assert pictures.json_of(tmp_path / "output/data/report/training.json")["resumed_at"] is not None
    assert weights(tmp_path) == weights(tmp_path / "plain")
    assert rows(tmp_path) == rows(tmp_path / "plain")


def test_an_early_stop_is_remembered(colours: Path, tmp_path: Path) -> None:
    """It dies after the epoch that was the last one: started again, it does not go on training."""
    more = ["--epochs", "4", "--early_stopping", "1", "--lr", "1e-30", "--checkpoint_minutes", "0"]
    assert train.main(arguments(colours, tmp_path / "plain", *more), {}) == 0
    stopped = len(rows(tmp_path / "plain"))
    SAVES_LEFT[:] = [stopped - 1]
    with pytest.raises(Killed):
        train.main(arguments(colours, tmp_path, *more), {})
    assert train.main(arguments(colours, tmp_path, *more), {}) == 0
    assert rows(tmp_path) == rows(tmp_path / "plain")
    assert weights(tmp_path) == weights(tmp_path / "plain")


def test_a_process_that_is_killed_ends_like_one_that_is_not(colours: Path, tmp_path: Path) -> None:
    more = ["--augment", "shift", "--epochs", "10"]  # long enough for the signal to come in time
    assert train.main(arguments(colours, tmp_path / "plain", *more), {}) == 0
    often = arguments(colours, tmp_path, *more, "--checkpoint_minutes", "0.0000001")
    process = Program([ENTRYPOINTS / "train.py", *often], tmp_path / "log", {**os.environ, "SM_HOSTS": ""})
    while process.poll() is None and not (tmp_path / "kept/checkpoint.pt").exists():
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert train.main(often, {}) == 0
    assert pictures.json_of(tmp_path / "output/data/report/training.json")["resumed_at"] is not None
    assert weights(tmp_path) == weights(tmp_path / "plain")


def test_another_setting_starts_afresh_and_says_so(
    colours: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    SAVES_LEFT[:] = [1]
    with pytest.raises(Killed):
        train.main(arguments(colours, tmp_path), {})
    capsys.readouterr()
    assert train.main(arguments(colours, tmp_path, "--lr", "0.01"), {}) == 0
    assert "of another training; not equal: lr" in capsys.readouterr().err
    assert [row["epoch"] for row in rows(tmp_path)] == [1, 2]
    assert pictures.json_of(tmp_path / "output/data/report/training.json")["resumed_at"] is None


@pytest.mark.parametrize("folder", [True, False])
def test_other_weights_to_start_from_are_another_training(
    colours: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], folder: bool
) -> None:
    (tmp_path / "given").mkdir()
    channel = tmp_path / "given" if folder else tmp_path / "given/w.pt"
    for seed, killed in ((0, True), (1, False)):
        torch.manual_seed(seed)
        model.save_weights(model.build("shufflenet_v2_x0_5", 3), tmp_path / "given/w.pt")
        SAVES_LEFT[:] = [1] if killed else []
        with pytest.raises(Killed) if killed else contextlib.nullcontext():
            train.main(arguments(colours, tmp_path, "--weights-dir", str(channel)), {})
    assert "of another training; not equal: data to start from: w.pt" in capsys.readouterr().err


def test_success_removes_the_checkpoint_and_none_is_written_where_none_is_wanted(colours: Path, tmp_path: Path) -> None:
    assert train.main(arguments(colours, tmp_path), {}) == 0
    assert list((tmp_path / "kept").iterdir()) == []
    assert train.main(arguments(colours, tmp_path / "off", "--checkpoint-dir", ""), {}) == 0
    assert sorted(path.name for path in (tmp_path / "off").iterdir()) == ["model", "output"]


def test_the_job_finds_the_folder_that_sagemaker_keeps(colours: Path, tmp_path: Path) -> None:
    (tmp_path / "config").mkdir()
    (tmp_path / "config/checkpointconfig.json").write_text(json.dumps({"LocalPath": str(tmp_path / "there")}))
    without = [value for value in arguments(colours, tmp_path) if value not in ("--checkpoint-dir", f"{tmp_path}/kept")]
    SAVES_LEFT[:] = [1]
    with pytest.raises(Killed):
        train.main(without, {"SM_INPUT_CONFIG_DIR": str(tmp_path / "config")})
    assert (tmp_path / "there/checkpoint.pt").is_file()


def test_the_report_counts_the_time_of_its_own_job_only(colours: Path, tmp_path: Path) -> None:
    SAVES_LEFT[:] = [1]
    with pytest.raises(Killed):
        train.main(arguments(colours, tmp_path), {})
    assert train.main(arguments(colours, tmp_path), {}) == 0
    report = pictures.json_of(tmp_path / "output/data/report/training.json")
    assert (len(report["epochs"]), report["resumed_at"]) == (2, {"epoch": 2, "step": 0})
    assert report["seconds"]["training"] == pytest.approx(report["epochs"][1]["train_seconds"], abs=0.002)
    assert report["seconds"]["others"] >= 0
