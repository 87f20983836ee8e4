"""The jury: what stops a training stops it soon, and being asked often costs no second reading."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pictures
import pytest
import torch
import train
from health.jury import Jury
from health.recording import records
from health.recording.recorder import Recorder
from health.rules import judging
from health.rules.judging import Setting
from health.rules.scaling import Job
from health.verdicts import ISSUES_FOUND
from refusal import Refusal
from test_recorder import batch, small
from torch.nn import functional as F

SOON = 50  # steps from the record that completes a rule's patience to the end of training
NET = """
from torch import nn


def build(num_classes):
    return nn.Sequential(nn.Flatten(), nn.Linear(768, 8), nn.ReLU(), nn.Linear(8, num_classes))
"""
STILL = ["--lr", "0.00000000001", "--schedule", "constant", "--warmup", "0", "--precision", "float32", "--epochs", "60"]


@pytest.fixture(scope="module")
def colours(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = pictures.colours(tmp_path_factory.mktemp("colours"), {"train": 14, "validation": 3})
    (root / "net.py").write_text(NET)
    return root


def up_to(read: records.Records, step: int) -> records.Records:
    steps, tensors = ({name: column[table["step"] <= step] for name, column in table.items()}
                      for table in (read.steps, read.tensors))  # fmt: skip
    return read._replace(steps=steps, tensors=tensors)


@pytest.mark.parametrize("every", [1, 10, 100])
@pytest.mark.parametrize(
    ("rule", "given"),
    [("UnchangedTensor", {"num_steps": 3, "rtol": 1e-5}), ("LossNotDecreasing", {"num_steps": 37, "mode": "TRAIN"})],
)
def test_a_rule_stops_a_training_within_50_steps_of_what_completes_its_patience(
    colours: Path, tmp_path: Path, rule: str, given: dict[str, Any], every: int
) -> None:
    """Networks that learn nothing; the step is found by judging the tables that are left, up to each step."""
    (tmp_path / "output").mkdir()
    folders = [f"--{split}-dir={colours / split}" for split in ("train", "validation")]
    folders += [f"--model-dir={tmp_path / 'model'}", f"--output-data-dir={tmp_path / 'output/data'}"]
    told = ",".join([f"{rule}:on_issue=stop", *(f"{name}={value}" for name, value in given.items() if name != "rtol")])
    more = ["--model_file", str(colours / "net.py"), "--batch_size", "6", *STILL]
    assert train.main([*folders, *more, "--health_rules", told, "--health_every", str(every)], {}) == 1
    assert f"stopped by rule {rule}: " in (tmp_path / "output/failure").read_text()
    read, setting = records.read(tmp_path / "output/data/health"), Setting(rule, given)
    last, job = int(read.steps["step"].max()), Job(420, 60, every)

    def fires(step: int) -> bool:
        return judging.judged(setting, judging.opened(setting), up_to(read, step), job).status == ISSUES_FOUND

    completed = next(step for step in range(last + 1) if fires(step))
    assert last - completed < SOON
    assert rule != "UnchangedTensor" or last == completed == 2 * every


def test_a_jury_that_is_asked_at_each_record_reads_each_row_once(tmp_path: Path) -> None:
    settings = tuple(Setting(rule, {}, "stop") for rule in ("VanishingGradient", "UnchangedTensor", "ExplodingTensor"))
    network, jury = small(), Jury(settings, tmp_path)
    recorder = Recorder(tmp_path, network, 4, 1)
    optimizer = torch.optim.SGD(network.parameters(), 0.1)
    for step in range(40):
        pictures_, labels = batch(step)
        recorder.begins(step)
        loss = F.cross_entropy(network(pictures_), labels)
        loss.backward()
        recorder.gradients()
        optimizer.step()
        optimizer.zero_grad()
        recorder.stepped()
        recorder.step(1, loss, 0.1, len(labels), {})
        recorder.flush()
        jury.ask(Job(40, 1, 1), only_stopping=True)
    recorder.close()
    read = records.read(tmp_path)
    assert jury.reader.rows == len(read.steps["step"]) + len(read.tensors["step"]) == 40 + 40 * (18 + 4)


def test_the_one_who_stops_is_named_as_the_verdict_names_it(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("def rule(records):\n    return True, 'it is late'\n")
    jury = Jury((Setting(str(tmp_path / "mine.py"), {}, "stop"),), tmp_path / "health")
    with pytest.raises(Refusal, match="it is late"):
        jury.ask(Job(1, 1), only_stopping=True)
    bodies = jury.report(Job(1, 1), jury.reader.look(), well=False)
    found: Any = pictures.json_of(tmp_path / "health/health.json")
    assert found["stopped_by"] == found["rules"][0]["rule"] == "mine" and found["rules"] == bodies
