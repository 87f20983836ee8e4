"""train.py with its health watched: the same weights, tables of every kind of training, verdicts, stops, the page."""

from __future__ import annotations

import json
import os
import shutil
import time
from pathlib import Path
from typing import Any

import archive
import numpy as np
import pictures
import prepare
import pytest
import shapes
import train
from health.recording import records
from health.rules.rulebook import BOOK
from test_distributed import failure as failure_of
from test_distributed import log, two
from training import checkpoints
from warm import Program

pytestmark = pytest.mark.slow
EVERY_RULE = "+".join(BOOK)
SMALL = [
    "--model",
    "shufflenet_v2_x0_5",
    "--precision",
    "float32",
    "--batch_size",
    "6",
    "--lr",
    "0.02",
    "--epochs",
    "2",
]
STEPS = 7  # an epoch, of 42 pictures
PLAIN_NET = """
from torch import nn


def build(num_classes):
    return nn.Sequential(nn.Flatten(), nn.Linear(768, 64), nn.Linear(64, 64), nn.Linear(64, num_classes))
"""
BOTTLENECK = """
from torch import nn


class Few(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.head = nn.Linear(3, num_classes)

    def forward(self, pictures):
        return self.head(pictures[:, :, ::32, ::32].mean((2, 3)))


def build(num_classes):
    return Few(num_classes)
"""
STOPPER = """
def rule(records):
    steps = records.losses()[0]
    return bool((steps >= {step}).any()), "step {step} was reached"
"""


IN_THE_WAY = """
import pathlib


def rule(records):
    pathlib.Path({file!r}).mkdir(exist_ok=True)
    return False
"""


@pytest.fixture(scope="module")
def colours(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pictures.colours(tmp_path_factory.mktemp("colours"), {"train": 14, "validation": 3})


@pytest.fixture(scope="module")
def lean(colours: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("lean")
    assert run(colours, root, *SMALL) == 0
    return root


@pytest.fixture(scope="module")
def watched(colours: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With all that there is."""
    root = tmp_path_factory.mktemp("watched")
    assert run(colours, root, *SMALL, "--health_rules", EVERY_RULE, "--health_every", "1", "--profile", "true") == 0
    return root


def arguments(splits: Path, root: Path, *more: str) -> list[str]:
    channels = ["--train-dir", str(splits / "train"), "--validation-dir", str(splits / "validation")]
    return [*channels, "--model-dir", str(root / "model"), "--output-data-dir", str(root / "output/data"), *more]


def run(splits: Path, root: Path, *more: str) -> int:
    (root / "output").mkdir(parents=True, exist_ok=True)
    return train.main(arguments(splits, root, *more), {})


def health(root: Path) -> Path:
    return root / "output/data/health"


def judged(root: Path) -> dict[str, Any]:
    body: Any = pictures.json_of(health(root) / "health.json")
    return {**body, "status": {rule["rule"]: rule["status"] for rule in body["rules"]}}


def failure(root: Path) -> str:
    return (root / "output/failure").read_text()


def weights(root: Path) -> str:
    return str(archive.read_card(root / "model")["weights"]["sha256"])


def losses(root: Path) -> tuple[list[int], list[float]]:
    steps, found = records.read(health(root)).losses()
    return steps.tolist(), found.tolist()


def test_watching_changes_no_bit_of_what_is_trained(lean: Path, watched: Path) -> None:
    assert weights(watched) == weights(lean)
    assert losses(watched) == losses(lean)


def test_a_training_of_which_nothing_is_asked_records_losses_and_times_alone(lean: Path) -> None:
    assert {path.name for path in health(lean).iterdir()} == {"steps.arrow", "tensors.arrow", "classes.jsonl"}
    read = records.read(health(lean))
    assert read.steps["mode"].tolist() == [*["train"] * STEPS, "validation"] * 2
    assert np.isfinite(read.steps["loss"]).all() and not len(read.tensors["step"])
    assert (read.steps["examples"].tolist(), read.steps["epoch"].max()) == ([*[6] * STEPS, 9] * 2, 2)


def test_recording_and_judging_import_no_pandas(colours: Path, tmp_path: Path) -> None:
    """pyarrow does, wherever it is installed, to make arrays of lists: half a second of each job."""
    code = "import sys, train; assert train.main(sys.argv[1:], {}) == 0; print('pandas' in sys.modules)"
    more = [*SMALL, "--epochs", "1", "--health_rules", "AllZero+Overfit+BatchSize"]
    words = ["-c", code, *arguments(colours, tmp_path, *more)]
    assert Program(words, tmp_path / "log", os.environ, Path(train.__file__).parent).wait(timeout=300) == 0
    assert (tmp_path / "log").read_text().splitlines()[-1] == "False"


def test_every_rule_has_its_word_and_the_summary_counts_them(watched: Path) -> None:
    body = judged(watched)
    assert list(body["status"]) == list(BOOK)
    assert {name for name, status in body["status"].items() if status == "Error"} == set()
    assert sum(body["summary"].values()) == len(BOOK)
    assert (body["steps"], body["every"], body["stopped_by"]) == (2 * STEPS, 1, None)
    assert body["status"]["ExplodingTensor"] == "NoIssuesFound"


def test_classes_and_tensors_of_the_training_are_recorded(watched: Path) -> None:
    read = records.read(health(watched))
    assert sorted(set(read.tensors["kind"])) == ["gradient", "input", "output", "update", "weight"]
    assert set(read.tensors["step"]) == set(range(2 * STEPS))
    train_row, validation_row = read.classes[:2]
    assert sum(train_row["shown"]) == 6 * STEPS
    assert np.sum(validation_row["confusion"]) == 9


def test_the_parts_of_the_profile_sum_to_the_wall_time(watched: Path) -> None:
    profile: Any = pictures.json_of(health(watched) / "profile.json")
    parts = {part["part"]: part["ns"] for part in profile["job"]["parts"]}
    assert sum(parts.values()) == profile["job"]["wall_ns"]
    named = {"start_up", "data_wait", "forward", "backward", "optimizer", "evaluation", "profiling", "export"}
    assert {name for name in named if not parts[name]} == set()
    assert 0 <= parts["other"] < 0.02 * profile["job"]["wall_ns"]
    assert profile["operators"]["steps"] == [10, 11, 12]
    page = (health(watched) / "profiler-report.html").read_text(encoding="utf-8")
    assert page.endswith("</html>\n") and all(rule in page for rule in BOOK)
    assert (health(watched) / "trace.json.gz").stat().st_size > 1000


def test_a_sound_training_has_no_issues(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The shipped network, on smaller pictures of the same digits."""
    rules = "VanishingGradient+ExplodingTensor+PoorWeightInitialization+DeadRelu+UnchangedTensor+AllZero"
    rules += "+WeightUpdateRatio+LossNotDecreasing+Overfit+ClassImbalance+StalledTrainingRule"
    prepare.main(["--kind", "digits", "--image-size", "16", "--output-dir", str(tmp_path)])
    more = ["--epochs", "3", "--batch_size", "64", "--lr", "0.03", "--augment", "shift"]
    assert run(tmp_path, tmp_path, *more, "--health_rules", rules) == 0
    body = judged(tmp_path)
    assert set(body["status"].values()) == {"NoIssuesFound"}, body["rules"]
    assert "health: 11 rules, no issues" in capsys.readouterr().err.splitlines()
    assert len(set(records.read(health(tmp_path)).tensors["step"])) >= 20
    rows = (tmp_path / "output/data/metrics.jsonl").read_text().splitlines()
    assert json.loads(rows[-1])["validation_accuracy"] > 0.8


def test_an_exploding_training_is_stopped_with_the_tensor_at_fault(colours: Path, tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(PLAIN_NET)
    more = ["--model_file", str(tmp_path / "net.py"), "--lr", "100", "--schedule", "constant", "--epochs", "20"]
    rules = ["--health_rules", "ExplodingTensor:on_issue=stop+Overfit", "--health_every", "1"]
    assert run(colours, tmp_path, *more, "--batch_size", "6", *rules) == 1
    body = judged(tmp_path)
    verdict = body["rules"][0]
    assert (verdict["status"], verdict["on_issue"], body["stopped_by"]) == ("IssuesFound", "stop", "ExplodingTensor")
    assert failure(tmp_path).startswith(f"stopped by rule ExplodingTensor: {verdict['message']}: ")
    assert verdict["tensor"] in failure(tmp_path) and verdict["advice"] in failure(tmp_path)
    assert body["steps"] - 1 == verdict["step"]  # nothing was trained after the record


def test_a_training_that_diverges_leaves_verdicts_and_page(colours: Path, tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(PLAIN_NET)
    more = ["--model_file", str(tmp_path / "net.py"), "--lr", "100", "--schedule", "constant", "--epochs", "20"]
    rules = ["--health_rules", "ExplodingTensor+AllZero", "--health_every", "1", "--profile", "true"]
    assert run(colours, tmp_path, *more, "--batch_size", "6", *rules) == 1
    assert "lower lr" in failure(tmp_path)
    assert judged(tmp_path)["status"]["ExplodingTensor"] == "IssuesFound"
    assert "ExplodingTensor" in (health(tmp_path) / "profiler-report.html").read_text(encoding="utf-8")


def test_a_profile_that_cannot_be_drawn_fails_no_training(
    colours: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A folder lies where its file is written."""
    file = health(tmp_path) / "profile.json.partial"
    (tmp_path / "mine.py").write_text(IN_THE_WAY.format(file=str(file)))
    more = ["--epochs", "1", "--health_rules", str(tmp_path / "mine.py"), "--profile", "true"]
    assert run(colours, tmp_path, *SMALL, *more) == 0
    assert "health: no profile (pathlib.py, line " in capsys.readouterr().err
    assert judged(tmp_path)["status"] == {"mine": "NoIssuesFound"} and weights(tmp_path)
    assert not (health(tmp_path) / "profiler-report.html").exists()


def test_a_killed_training_leaves_its_tables(colours: Path, tmp_path: Path) -> None:
    more = [*SMALL, "--epochs", "1000", "--health_rules", "AllZero", "--health_every", "3", "--profile", "true"]
    running = Program([train.__file__, *arguments(colours, tmp_path, *more)], tmp_path / "log", os.environ)
    try:
        epochs, deadline = tmp_path / "output/data/metrics.jsonl", time.monotonic() + 300
        while not (epochs.is_file() and epochs.read_text().count("\n") > 2) and time.monotonic() < deadline:
            time.sleep(0.05)
    finally:
        running.kill()
        running.wait()
    read = records.read(health(tmp_path))
    assert len(read.losses("validation")[0]) >= 2, (tmp_path / "log").read_text()
    assert {0, 3, 6, 9, 12} <= set(read.tensors["step"])
    assert not (health(tmp_path) / "health.json").exists()


def test_a_training_that_is_refused_before_its_first_step_judges_nothing(colours: Path, tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text("build = 1")
    more = ["--model_file", str(tmp_path / "net.py"), "--health_rules", EVERY_RULE, "--profile", "true"]
    assert run(colours, tmp_path, *more) == 1
    assert "no function build" in failure(tmp_path) and not health(tmp_path).exists()


def test_shuffled_labels_are_stopped_as_overfit_and_the_checkpoint_is_kept(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    pixels = np.stack([shapes.drawn(index % 9, np.random.default_rng(index)) for index in range(150)])
    labels = [int(label) for label in random.permutation(np.arange(150) % 9)]
    for name, part in (("train", slice(0, 100)), ("validation", slice(100, 150))):
        pictures.split(tmp_path / name, pixels[part], labels[part], shapes.CLASSES)
    more = ["--epochs", "30", "--batch_size", "25", "--lr", "0.02", "--label_smoothing", "0"]
    more += ["--checkpoint-dir", str(tmp_path / "checkpoints"), "--health_rules", "Overfit:patience=2,on_issue=stop"]
    assert run(tmp_path, tmp_path, *more) == 1
    assert "stopped by rule Overfit: " in failure(tmp_path)
    epochs = (tmp_path / "output/data/metrics.jsonl").read_text().splitlines()
    assert json.loads(epochs[-1])["validation_accuracy"] < 0.4 and len(epochs) < 30
    assert (tmp_path / "checkpoints" / checkpoints.NAME).is_file()


def test_a_stopped_training_goes_on_with_other_rules_as_if_it_had_never_stopped(
    colours: Path, lean: Path, tmp_path: Path
) -> None:
    """Rules change nothing in the weights, so that a checkpoint is taken up with others; each step has one row."""
    (tmp_path / "mine.py").write_text(STOPPER.format(step=9))
    again = [*SMALL, "--checkpoint-dir", str(tmp_path / "checkpoints"), "--health_every", "2"]
    assert run(colours, tmp_path, *again, "--health_rules", f"{tmp_path / 'mine.py'}:on_issue=stop") == 1
    assert "mine.py: step 9 was reached" in failure(tmp_path)
    assert judged(tmp_path)["steps"] == 11  # step 10 is the next one with a record
    assert run(colours, tmp_path, *again, "--health_rules", "AllZero+LossNotDecreasing") == 0
    resumed: Any = pictures.json_of(tmp_path / "output/data/report/training.json")
    assert resumed["resumed_at"] == {"epoch": 2, "step": 0}
    assert (weights(tmp_path), losses(tmp_path)) == (weights(lean), losses(lean))
    assert sorted(set(records.read(health(tmp_path)).tensors["step"])) == [0, 2, 4, 6, 8, 10, 12]
    assert judged(tmp_path)["stopped_by"] is None


def test_the_loss_of_a_step_is_the_mean_of_its_parts(colours: Path, tmp_path: Path) -> None:
    """10 batches of 4, three a step: the last step has one."""
    more = ["--batch_size", "4", "--accumulate", "3", "--health_rules", "AllZero", "--health_every", "1"]
    assert run(colours, tmp_path, *SMALL, *more, "--epochs", "1") == 0
    read = records.read(health(tmp_path))
    assert read.steps["examples"][:4].tolist() == [12, 12, 12, 4]
    whole = (read.losses()[1] * [3, 3, 3, 1]).sum() / 10
    row = json.loads((tmp_path / "output/data/metrics.jsonl").read_text())
    assert whole == pytest.approx(row["train_loss"], rel=1e-6)
    assert sum(read.classes[0]["shown"]) == 40


def test_of_a_head_on_features_the_head_is_recorded(colours: Path, tmp_path: Path) -> None:
    more = ["--trainable_layers", "0", "--health_rules", "ExplodingTensor+DeadRelu", "--health_every", "3"]
    assert run(colours, tmp_path, *SMALL, *more) == 0
    assert records.read(health(tmp_path)).names("weight") == ["weight", "bias"]
    assert judged(tmp_path)["status"] == {"ExplodingTensor": "NoIssuesFound", "DeadRelu": "NotEvaluated"}


def test_a_finished_training_that_is_started_again_judges_what_is_there(colours: Path, tmp_path: Path) -> None:
    """It was killed between its last checkpoint and its end; all that it had recorded is gone."""
    (tmp_path / "mine.py").write_text(STOPPER.format(step=2 * STEPS - 1))
    again = [*SMALL, "--checkpoint-dir", str(tmp_path / "checkpoints")]
    assert run(colours, tmp_path, *again, "--health_rules", f"{tmp_path / 'mine.py'}:on_issue=stop") == 1
    shutil.rmtree(health(tmp_path))
    assert run(colours, tmp_path, *again, "--health_rules", EVERY_RULE, "--profile", "true") == 0
    assert "Error" not in judged(tmp_path)["status"].values()
    assert (health(tmp_path) / "profiler-report.html").is_file()


def test_what_an_earlier_training_left_is_not_taken_for_this_one(colours: Path, lean: Path, tmp_path: Path) -> None:
    health(tmp_path).mkdir(parents=True)
    for name in ("steps-3.arrow", "classes-3.jsonl", "health.json", "profiler-report.html", "system.arrow"):
        shutil.copyfile(health(lean) / "steps.arrow", health(tmp_path) / name)
    assert run(colours, tmp_path, *SMALL) == 0
    assert {path.name for path in health(tmp_path).iterdir()} == {path.name for path in health(lean).iterdir()}


def test_a_loader_that_is_slow_is_what_to_change_first(tmp_path: Path) -> None:
    """Large pictures for a network that looks at a few points of each: reading and normalising them is all the work."""
    pixels = np.random.default_rng(0).integers(0, 256, (48, 192, 192, 3), np.uint8)
    for name in ("train", "validation"):
        pictures.split(tmp_path / name, pixels, [index % 3 for index in range(48)], ["a", "b", "c"])
    (tmp_path / "net.py").write_text(BOTTLENECK)
    more = ["--model_file", str(tmp_path / "net.py"), "--batch_size", "16", "--epochs", "12", "--profile", "true"]
    assert run(tmp_path, tmp_path, *more, "--augment", "flip") == 0
    profile: Any = pictures.json_of(health(tmp_path) / "profile.json")
    assert profile["advice"][0]["cause"] == "data"
    page = (health(tmp_path) / "profiler-report.html").read_text(encoding="utf-8")
    assert page.index("Prepare batches ahead") < page.index("Job summary")


def test_a_rule_stops_both_of_two_processes_and_their_tables_are_one(colours: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(STOPPER.format(step=4))
    rules = f"VanishingGradient+{tmp_path / 'mine.py'}:on_issue=stop"
    more = [*SMALL, "--epochs", "50", "--health_rules", rules, "--health_every", "2", "--profile", "true"]
    with two(colours, tmp_path, *more, launched=True) as running:
        assert [process.wait(timeout=120) for process in running] == [1, 1], log(tmp_path, 1)
    assert "stopped by rule" in failure_of(tmp_path, 1) and "step 4 was reached" in failure_of(tmp_path, 1)
    assert failure_of(tmp_path, 2).startswith("host algo-1 ended the training: stopped by rule")
    assert judged(tmp_path / "1")["status"]["VanishingGradient"] == "NoIssuesFound"
    assert not (health(tmp_path / "2") / "health.json").exists()


WHOLE = ["--precision", "float32", "--batch_size", "6", "--lr", "0.01", "--epochs", "3"]
SMALL_NET = """
from torch import nn


def build(num_classes):
    return nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(392, 20), nn.Sigmoid(),
        nn.Linear(20, num_classes),
    )
"""
TRAININGS = "VanishingGradient+ExplodingTensor+PoorWeightInitialization:steps=6,patience=3+SaturatedActivation+DeadRelu"
TRAININGS += "+WeightUpdateRatio+AllZero+TensorVariance:max_threshold=0.005+UnchangedTensor+ClassImbalance:samples=40"
SAME = ("rule", "status", "points", "step", "tensor", "threshold")
TRAININGS += "+Confusion+LossNotDecreasing:num_steps=3+Overfit+Overtraining:patience_train=1,patience_validation=1"


def test_two_hosts_are_judged_as_one_process_is(colours: Path, tmp_path: Path) -> None:
    """Each host has its own folder; what the second one has seen of each batch comes to the first."""
    (tmp_path / "net.py").write_text(SMALL_NET)
    more = [*WHOLE, "--model_file", str(tmp_path / "net.py"), "--health_rules", TRAININGS, "--health_every", "2"]
    more += ["--profile", "true"]
    assert run(colours, tmp_path, *more) == 0
    with two(colours, tmp_path, *more) as running:
        assert [process.wait(timeout=120) for process in running] == [0, 0], log(tmp_path, 1) + log(tmp_path, 2)
    for file in health(tmp_path / "2").iterdir():
        copied = (health(tmp_path / "1") / file.name).read_bytes()
        assert file.read_bytes().startswith(copied) and len(copied) > file.stat().st_size - 9  # but for Arrow's mark
    alone, together = (records.read(health(root)) for root in (tmp_path, tmp_path / "1"))
    assert sorted(together.ranks) == [0, 1]
    for column in ("step", "mode", "epoch", "examples", "recorded"):
        assert together.steps[column].tolist()[:7] == alone.steps[column].tolist()[:7]
    assert [row["shown"] for row in together.classes] == [row["shown"] for row in alone.classes]
    for name, column in (("kind", "input"), ("kind", "gradient")):
        assert (together.tensors[name] == column).sum() == (alone.tensors[name] == column).sum() > 40
    assert together.of_kind("input")["count"].tolist() == alone.of_kind("input")["count"].tolist()
    verdicts = zip(judged(tmp_path)["rules"], judged(tmp_path / "1")["rules"], strict=True)
    for one, both in verdicts:
        assert {name: both[name] for name in SAME} == {name: one[name] for name in SAME}, (one, both)
        assert (both["value"] or 0) == pytest.approx(one["value"] or 0, rel=0.03), (one, both)
    page = (health(tmp_path / "1") / "profiler-report.html").read_text(encoding="utf-8")
    assert all(rule["rule"] in page for rule in judged(tmp_path / "1")["rules"])


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("--health_rules", "Overfitt", "did you mean Overfit?"),
        ("--health_rules", "Overfit:patience=-1", "rule Overfit: patience '-1'"),
        ("--health_rules", "gone.py", "gone.py: no such file"),
        ("--health_every", "-1", "take a whole number"),
        ("--profile", "yes", "take true or false"),
    ],
)
def test_what_cannot_be_judged_is_refused_before_training(
    colours: Path, tmp_path: Path, option: str, value: str, said: str
) -> None:
    assert run(colours, tmp_path, *SMALL, option, value) == 1
    assert said in failure(tmp_path)
