"""Saved tensors judged as the training itself was: equal verdicts, torn and hostile files, AWS's words for answers."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import debugged
import numpy as np
import pictures
import pytest
import train
from debugged import RULES, STEPS, config, configurations, judged, trained
from health.debugger import evaluate, saved, trial
from health.debugger.saved import Torn
from health.recording import records
from health.recording.recorded import Limits

SIGMOIDS = """
from torch import nn


def build(num_classes):
    layers = [layer for _ in range(12) for layer in (nn.Linear(16, 16), nn.Sigmoid())]
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 16), *layers, nn.Linear(16, num_classes))
"""
DEAD = """
from torch import nn


def build(num_classes):
    first = nn.Linear(3, 16)
    nn.init.constant_(first.bias, -1000.0)
    pooled = nn.AdaptiveAvgPool2d(1), nn.Flatten()
    return nn.Sequential(*pooled, first, nn.ReLU(inplace=True), nn.Linear(16, num_classes))
"""
DRAWN = """
from torch import nn


def build(num_classes):
    sizes = [(768, 32), (32, 32), (32, 32)]
    layers = [layer for size in sizes for layer in (nn.Linear(*size), nn.ReLU(inplace=True))]
    network = nn.Sequential(nn.Flatten(), *layers, nn.Linear(32, num_classes))
    for layer in network[1::2]:
        nn.init.normal_(layer.weight, std={})
    return network
"""
BREAKS = ("--lr", "30", "--schedule", "constant")


@pytest.fixture(scope="module")
def colours(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pictures.colours(tmp_path_factory.mktemp("colours"), {"train": 14, "validation": 3})


@pytest.fixture(scope="module")
def sound(colours: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return watched(colours, tmp_path_factory.mktemp("sound"), debugged.NET)


def watched(colours: Path, root: Path, net: str, *more: str) -> Path:
    """Recorded by our own recorder as well, at the same steps."""
    rules = ["--health_rules", "+".join(RULES), "--health_every", "1"]
    assert trained(colours, root, config(root), *rules, *more, net=net) in (0, 1)
    return root


@pytest.fixture
def copy(sound: Path, tmp_path: Path) -> Path:
    shutil.copytree(sound / "tensors", tmp_path / "tensors")
    return tmp_path / "tensors"


def ours(root: Path) -> dict[str, dict[str, Any]]:
    return {each["rule"]: each for each in pictures.json_of(root / "output/data/health/health.json")["rules"]}


@pytest.mark.parametrize(
    ("net", "more", "fired"),
    [
        (debugged.NET, (), set()),
        (SIGMOIDS, (), {"VanishingGradient"}),
        (DEAD, (), {"DeadRelu", "AllZero"}),
        (DRAWN.format(0.6), BREAKS, {"ExplodingTensor", "WeightUpdateRatio"}),
        (DRAWN.format(0.003), (), {"PoorWeightInitialization"}),
    ],
    ids=["sound", "sigmoids", "dead", "large", "small"],
)
def test_the_verdicts_over_saved_tensors_are_those_of_the_training_itself(
    net: str, more: tuple[str, ...], fired: set[str], colours: Path, tmp_path: Path
) -> None:
    answers = judged(watched(colours, tmp_path, net, *more), *RULES)
    for name, verdict in ours(tmp_path).items():
        expected = "Error" if verdict["status"] == "NotEvaluated" else verdict["status"]
        assert answers[name][0] == expected, (name, answers[name], verdict["message"])
        if verdict["status"] == "IssuesFound" and name != "WeightUpdateRatio":
            assert answers[name][1].startswith(verdict["message"][:40])
    assert fired <= {name for name, (verdict, _) in answers.items() if verdict == "IssuesFound"}


def test_losses_rates_and_epochs_are_those_that_the_recorder_has(sound: Path) -> None:
    found = trial.read(sound / "tensors", Limits())
    own = records.read(sound / "output/data/health").steps
    for name in ("step", "epoch", "mode"):
        assert found.records.steps[name].tolist() == own[name].tolist()
    for name in ("loss", "lr"):
        assert np.allclose(found.records.steps[name], own[name], rtol=1e-6, equal_nan=True)
    assert (found.job.steps, found.job.epochs, found.job.every, found.job.classes) == (2 * STEPS, 2, 1, 3)
    assert found.said == "saved: 14 steps of the training, 2 steps of validation, tensors at 14 steps"


def test_figures_of_small_tensors_are_the_recorders_to_the_last_digit(sound: Path) -> None:
    found = trial.read(sound / "tensors", Limits()).records
    own = records.read(sound / "output/data/health")
    for kind, name in (("weight", "5.weight"), ("gradient", "7.weight"), ("input", "6"), ("output", "6")):
        for column in ("mean_abs", "std", "p95", "min", "zero_share"):
            steps, values = own.series(kind, name, column)
            assert found.series(kind, name, column)[0].tolist() == steps.tolist()
            assert np.allclose(found.series(kind, name, column)[1], values, rtol=1e-5, atol=1e-7)
    assert np.allclose(
        found.series("update", "5.weight", "ratio")[1], own.series("update", "5.weight", "ratio")[1][:-1]
    )


def test_tensors_of_a_training_that_is_not_ours_are_judged_by_their_names(copy: Path) -> None:
    (copy / trial.NOTES).unlink()
    found = trial.read(copy, Limits())
    assert {"5.weight", "7.bias"} <= set(found.records.names("gradient"))
    assert found.records.names("output") == ["2_relu", "6_sigmoid"]
    assert (found.job.steps, found.job.epochs) == (2 * STEPS, 2)


def events(folder: Path, step: int) -> Path:
    return folder / f"events/{step:012}/{step:012}_worker_0.tfevents"


def index(folder: Path, step: int) -> Path:
    return folder / f"index/000000000/{step:012}_worker_0.json"


def changed(file: Path, **meta: Any) -> None:
    body = json.loads(file.read_text())
    body["meta"] |= meta
    file.write_text(json.dumps(body))


def half(folder: Path) -> None:
    file = events(folder, 3)
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def gone(folder: Path) -> None:
    events(folder, 3).unlink()


def garbage(folder: Path) -> None:
    index(folder, 3).write_bytes(b"\xff{")


def nested(folder: Path) -> None:
    index(folder, 3).write_text("[" * 100_000)


def outside(folder: Path) -> None:
    shutil.copy(events(folder, 3), folder.parent / "secret")
    changed(index(folder, 3), event_file_name="../secret")


def odd_mode(folder: Path) -> None:
    changed(index(folder, 3), mode="SIDEWAYS")


def huge(folder: Path) -> None:
    body = json.loads(index(folder, 3).read_text())
    body["tensor_payload"][0]["length"] = 2**40
    index(folder, 3).write_text(json.dumps(body))


def noise(folder: Path) -> None:
    file = events(folder, 3)
    file.write_bytes(bytes(file.stat().st_size))


def no_notes(folder: Path) -> None:
    (folder / trial.NOTES).write_text('{"names": {"layers": [], "weights": 3}, "job": {"steps": "many"}}')


def no_steps(folder: Path) -> None:
    (folder / trial.NOTES).write_text('{"names": {"layers": {}, "weights": {}}, "job": {"steps": null, "epochs": 1}}')


def endless(folder: Path) -> None:
    job = {"steps": 10**400, "epochs": 1}
    (folder / trial.NOTES).write_text(json.dumps({"names": {"layers": {}, "weights": {}}, "job": job}))


def nameless(folder: Path) -> None:
    """A number stands where the tensor's name belongs: four terabytes, where it is taken for a size."""
    value = b"\x08\x80\x80\x80\x80\x80\x80\x01\x42\x00"
    event = b"\x09" + bytes(8) + b"\x2a" + bytes([len(value) + 2]) + b"\x0a" + bytes([len(value)]) + value
    record = len(event).to_bytes(8, "little") + bytes(4) + event + bytes(4)
    events(folder, 3).write_bytes(record)
    body = json.loads(index(folder, 3).read_text())
    body["tensor_payload"] = [body["tensor_payload"][0] | {"start_idx": 0, "length": len(record)}]
    index(folder, 3).write_text(json.dumps(body))


def empty(folder: Path) -> None:
    shutil.rmtree(folder / "index")


@pytest.mark.parametrize(
    ("broken", "why"),
    [
        (half, "000000000003_worker_0.tfevents: "),
        (gone, "000000000003_worker_0.tfevents: No such file"),
        (garbage, "000000000003_worker_0.json: no index of smdebug's"),
        (nested, "no index of smdebug's (RecursionError"),
        (outside, "its tensors lie outside the folder"),
        (odd_mode, "mode 'SIDEWAYS'"),
        (huge, "should end at byte 1,099,511,627,776 of"),
        (noise, "cannot be read (ValueError: a record of 0 bytes"),
        (no_notes, "darkroom.json is not as the hook wrote it"),
        (no_steps, "darkroom.json is not as the hook wrote it"),
        (endless, "darkroom.json is not as the hook wrote it"),
        (nameless, "cannot be read (TypeError: "),
        (empty, "no tensors were saved"),
    ],
)
def test_torn_and_hostile_files_are_an_error_that_names_the_file(
    broken: Callable[[Path], None], why: str, copy: Path
) -> None:
    broken(copy)
    verdict, details = judged(copy.parent, "VanishingGradient")["VanishingGradient"]
    assert verdict == "Error"
    assert details.startswith("Not evaluated: ") and why in details


def test_no_byte_that_is_changed_raises_anything_but_torn(copy: Path) -> None:
    dice = random.Random(0)
    files = [events(copy, 3), index(copy, 3), copy / trial.NOTES]
    for _ in range(150):
        file = dice.choice(files)
        content = bytearray(whole := file.read_bytes())
        for _ in range(dice.randint(1, 4)):
            content[dice.randrange(min(len(content), 600))] = dice.randrange(256)
        file.write_bytes(content)
        for step in [each for each in steps_of(copy) if each.number == 3]:
            read(lambda step=step: list(saved.tensors(step)))
        read(lambda: trial._notes(copy / trial.NOTES))
        file.write_bytes(whole)


def steps_of(folder: Path) -> list[saved.Step]:
    return read(lambda: saved.steps(folder)) or []


def read(work: Callable[[], Any]) -> Any:
    try:
        return work()
    except Torn:
        return None


def test_the_evaluator_answers_in_a_process_of_its_own_and_in_awss_words(sound: Path, tmp_path: Path) -> None:
    rules = configurations(["VanishingGradient", "BatchSize", "Confusion", "Overfitt", "mine.py"])
    rules += configurations(["SaturatedActivation"], threshold_sigmoid_min="-1000", threshold_sigmoid_max="1000")
    rules += configurations(["ExplodingTensor"], only_nan="True", tensor_regex="gradient/.*,.*relu_input")
    rules += configurations(["Overfit"], patience="-1")
    rules += [{"RuleConfigurationName": "nameless", "RuleEvaluatorImage": "x"}]
    (tmp_path / "rules.json").write_text(json.dumps(rules))
    options = {"tensors": sound / "tensors", "rules": tmp_path / "rules.json", "output": tmp_path / "out.json"}
    command = [sys.executable, "-m", "health.debugger.evaluate", "--status", str(tmp_path / "absent.json")]
    command += [f"--{name}={value}" for name, value in options.items()]
    code = Path(train.__file__).parent
    subprocess.run(command, cwd=code, env={**os.environ, "PYTHONPATH": str(code)}, check=True)
    found: Any = pictures.json_of(tmp_path / "out.json")
    assert [row["RuleConfigurationName"] for row in found] == [row["RuleConfigurationName"] for row in rules]
    assert all(set(row) == {"RuleConfigurationName", "RuleEvaluationStatus", "StatusDetails"} for row in found)
    statuses = [row["RuleEvaluationStatus"] for row in found]
    assert statuses == ["NoIssuesFound", *["Error"] * 4, "NoIssuesFound", "NoIssuesFound", "Error", "Error"]
    details = [row["StatusDetails"] for row in found]
    assert details[1].startswith("Not evaluated: ") and "saved: 14 steps of the training" in details[1]
    assert "did you mean Overfit?" in details[3] and "a rule of your own" in details[4]
    assert "rule Overfit: patience '-1'" in details[7] and "no rule_to_invoke" in details[8]
    assert all(0 < len(text) <= 1024 for text in details)


def test_what_cannot_be_judged_at_this_length_is_judged_by_awss_own_defaults(colours: Path, tmp_path: Path) -> None:
    """In 70 steps PoorWeightInitialization would look at 14, and the losses of 12 were saved."""
    file = config(tmp_path)
    body = json.loads(file.read_text())
    body["CollectionConfigurations"][0]["CollectionParameters"] = {
        "train.save_interval": "35",
        "train.save_steps": ",".join(map(str, range(11))),
    }
    file.write_text(json.dumps(body))
    assert trained(colours, tmp_path, file, "--epochs", "10") == 0
    verdict, details = judged(tmp_path, "PoorWeightInitialization")["PoorWeightInitialization"]
    assert verdict != "Error" and "in the first 10 steps" in details


@pytest.mark.parametrize("content", ["", "{", "{}", "[1]", '[{"RuleParameters": "all"}]'])
def test_what_is_no_list_of_rules_is_refused(content: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "rules.json").write_text(content)
    assert evaluate.main([f"--{name}={tmp_path / 'rules.json'}" for name in ("tensors", "rules", "output")]) == 1
    assert "rules.json: " in capsys.readouterr().err


def test_a_sentence_that_is_too_long_for_the_service_is_cut(tmp_path: Path) -> None:
    name = "x" * 5000
    rules = [{"RuleConfigurationName": "a", "RuleParameters": {"rule_to_invoke": name}}]
    (row,) = evaluate.evaluated(tmp_path, rules, {})
    assert len(row["StatusDetails"]) == 1024 and row["StatusDetails"].endswith("…")
