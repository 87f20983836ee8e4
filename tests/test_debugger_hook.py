"""smdebug's hook in real trainings: what it saves, that it changes nothing, and what becomes of it where it fails."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import debugged
import numpy as np
import pictures
import pytest
import torch
import train
from debugged import STEPS, config, judged, status, trained, weights
from health.debugger import saved
from health.debugger.hook import VARIABLE, Debugger, Registered, registered
from health.rules.scaling import Job
from test_distributed import log, two
from torch import nn

STOPPER = """
def rule(records):
    return bool((records.losses()[0] >= 9).any()), "step 9 was reached"
"""
IN_THE_WAY = """
import pathlib, shutil


def rule(records):
    folder = pathlib.Path({folder!r})
    shutil.rmtree(folder, ignore_errors=True)
    folder.write_text("in the way") if not folder.is_file() else None
    return False
"""
BROKEN = "open(__file__ + '.imported', 'w').close()\nraise RuntimeError('made for another torch')\n"
# Three trainings in one process: without Debugger, with an smdebug that is broken, and with one that is not there.
WITHOUT_SMDEBUG = """
import importlib, pathlib, shutil, sys
sys.path = [each for each in sys.path if not each.endswith("site-packages")] + sys.argv[1:4]
import debugged

site, splits, root = (pathlib.Path(sys.argv[number]) for number in (1, 4, 5))
assert debugged.trained(splits, root / "unasked", None) == 0
(root / "imported").write_text(str((site / "smdebug/__init__.py.imported").exists()))
for name in ("broken", "missing"):
    assert debugged.trained(splits, root / name, debugged.config(root / name)) == 0
    shutil.rmtree(site / "smdebug", ignore_errors=True)
    importlib.invalidate_caches()
"""


@pytest.fixture(scope="module")
def colours(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pictures.colours(tmp_path_factory.mktemp("colours"), {"train": 14, "validation": 3})


@pytest.fixture(scope="module")
def lean(colours: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Without Debugger."""
    root = tmp_path_factory.mktemp("lean")
    assert trained(colours, root, None) == 0
    return root


@pytest.fixture(scope="module")
def whole(colours: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All that the collections have, at each step."""
    root = tmp_path_factory.mktemp("whole")
    assert trained(colours, root, config(root)) == 0
    return root


@pytest.fixture(scope="module")
def unaided(colours: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """In an environment of its own: all that is installed, but smdebug; and no index that pip could ask."""
    root, site = tmp_path_factory.mktemp("unaided"), tmp_path_factory.mktemp("site")
    for entry in Path(torch.__file__).parents[1].iterdir():
        if not entry.name.startswith("smdebug"):
            (site / entry.name).symlink_to(entry)
    (site / "smdebug").mkdir()
    (site / "smdebug/__init__.py").write_text(BROKEN)
    for name in ("unasked", "broken", "missing"):
        (root / name).mkdir()
    env = {**os.environ, "PIP_NO_INDEX": "1", "PIP_CONFIG_FILE": os.devnull, "TMPDIR": str(root)}
    paths = [site, Path(train.__file__).parent, Path(__file__).parent]
    command = [sys.executable, "-S", "-c", WITHOUT_SMDEBUG, *paths, colours, root]
    ran = subprocess.run(command, env=env | {"PYTHONPATH": str(site)}, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    return root


def tensors(root: Path, mode: str = "TRAIN") -> dict[int, dict[str, Any]]:
    """Step of the mode → name → values."""
    steps = [step for step in saved.steps(root / "tensors") if step.mode == mode]
    return {step.mode_step: {each.name: each.values for each in saved.tensors(step)} for step in steps}


def test_the_hook_changes_no_bit_of_what_is_trained(lean: Path, whole: Path) -> None:
    assert weights(whole) == weights(lean)
    found = status(whole)
    assert (found["registered"], found["why"], found["smdebug"], found["steps"]) == (
        True,
        None,
        "1.0.34",
        2 * STEPS + 2,
    )
    assert found["collections"] == sorted(["losses", "weights", "biases", "gradients", *debugged.ACTIVATIONS])


def test_without_the_file_nothing_of_debugger_is_imported_or_written(lean: Path, unaided: Path) -> None:
    assert not (lean / "output/data/health/debugger.json").exists()
    assert (unaided / "imported").read_text() == "False"
    assert not (unaided / "unasked/output/data/health/debugger.json").exists()


def test_the_tensors_of_each_step_are_saved_under_smdebugs_names(whole: Path) -> None:
    found = tensors(whole)
    assert list(found) == list(range(2 * STEPS))
    first = found[0]
    assert {"Sequential_0.weight", "gradient/Sequential_0.weight", "Sequential_7.bias", "scalar/lr"} <= set(first)
    assert {"2_relu_input_0", "2_relu_output_0", "6_sigmoid_input_0", "CrossEntropyLoss_output_0"} <= set(first)
    assert list(tensors(whole, "EVAL")) == [0, 1]
    assert set(tensors(whole, "EVAL")[0]) == {"CrossEntropyLoss_output_0"}


def test_what_goes_into_a_relu_is_saved_before_the_relu_overwrites_it(whole: Path) -> None:
    step = tensors(whole)[3]
    given, gave = step["2_relu_input_0"], step["2_relu_output_0"]
    assert (given < 0).any() and np.array_equal(gave, np.maximum(given, 0))


def test_a_step_is_what_the_optimiser_makes_of_the_saved_gradient(colours: Path, tmp_path: Path) -> None:
    more = ["--momentum", "0", "--weight_decay", "0", "--schedule", "constant", "--accumulate", "2", "--epochs", "1"]
    assert trained(colours, tmp_path, config(tmp_path), *more) == 0
    found = tensors(tmp_path)
    assert list(found) == [0, 1, 2, 3]  # 7 batches, two a step
    name = "Sequential_5.weight"
    stepped = found[0][name] - np.float32(found[0]["scalar/lr"]) * found[0][f"gradient/{name}"]
    assert np.allclose(found[1][name], stepped, rtol=1e-5, atol=1e-7)


def test_smdebug_itself_reads_what_was_saved(whole: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from smdebug.trials import create_trial

        trial = create_trial(str(whole / "tensors"))
        from smdebug import modes

        assert trial.steps(mode=modes.TRAIN) == list(range(2 * STEPS))
        assert trial.steps(mode=modes.EVAL) == [0, 1]
        assert trial.tensor_names(collection="losses") == ["CrossEntropyLoss_output_0"]
        assert trial.tensor_names(collection="relu_input") == ["2_relu_input_0"]
        values = trial.tensor("gradient/Sequential_5.weight").value(4, mode=modes.TRAIN)
    assert np.array_equal(values, tensors(whole)[4]["gradient/Sequential_5.weight"])


def test_every_tenth_step_is_saved_where_that_is_asked(colours: Path, tmp_path: Path) -> None:
    assert trained(colours, tmp_path, config(tmp_path, every=10, losses=2)) == 0
    found = tensors(tmp_path)
    assert list(found) == [0, 2, 4, 6, 8, 10, 12]
    assert [step for step, each in found.items() if "Sequential_0.weight" in each] == [0, 10]
    assert judged(tmp_path, "VanishingGradient")["VanishingGradient"][0] == "NoIssuesFound"


def test_bfloat16_is_saved_as_float32(colours: Path, tmp_path: Path) -> None:
    assert trained(colours, tmp_path / "hooked", config(tmp_path), "--precision", "bfloat16") == 0
    assert trained(colours, tmp_path / "lean", None, "--precision", "bfloat16") == 0
    assert weights(tmp_path / "hooked") == weights(tmp_path / "lean")
    given = tensors(tmp_path)[0]["6_sigmoid_input_0"]
    assert given.dtype == np.float32
    assert torch.equal(torch.tensor(given), torch.tensor(given).bfloat16().float())


def test_gradients_are_saved_without_the_scalers_factor_and_not_at_all_where_it_skips_the_step(tmp_path: Path) -> None:
    network = nn.Sequential(nn.Linear(2, 1, bias=False))
    hook = Registered(network, tmp_path / "debugger.json")
    hook.registers(config(tmp_path), Job(2, 1), (0, 0))
    assert pictures.json_of(tmp_path / "debugger.json")["why"] is None
    scaler = torch.amp.GradScaler("cpu", init_scale=8.0)
    for step, factor in enumerate((1.0, float("inf"))):
        hook.begins(step)
        loss = network(torch.tensor([[1.0, 3.0]])).sum() * factor
        network.zero_grad()
        scaler.scale(loss).backward()
        hook.gradients(scaler)
        hook.stepped(loss, 0.1)
    hook.close()
    found = tensors(tmp_path)
    assert found[0]["gradient/Sequential_0.weight"].tolist() == [[1.0, 3.0]]
    assert [name for name in found[1] if name.startswith("gradient/")] == []


def test_a_module_that_is_called_twice_has_two_inputs(tmp_path: Path) -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc, self.relu = nn.Linear(2, 2), nn.ReLU(inplace=True)

        def forward(self, rows: torch.Tensor) -> torch.Tensor:
            given: torch.Tensor = self.relu(self.fc(self.relu(self.fc(rows))))
            return given

    network = Twice()
    hook = Registered(network, tmp_path / "debugger.json")
    hook.registers(config(tmp_path), Job(1, 1), (0, 0))
    hook.begins(0)
    network(torch.ones(1, 2)).sum().backward()
    hook.close()
    assert {"relu_input_0", "relu_input_1"} <= set(tensors(tmp_path)[0])
    assert not network._forward_hooks and not network.relu._forward_pre_hooks


def unwritable(root: Path) -> Path:
    (root / "tensors").write_text("a file")
    return config(root)


def torn_config(root: Path) -> Path:
    file = root / "debughookconfig.json"
    file.write_text('{"LocalPath": "')
    return file


def no_table(root: Path) -> Path:
    file = root / "debughookconfig.json"
    file.write_text("[]")
    return file


def nonsense(root: Path) -> Path:
    return config(root, hook={"save_interval": "often"})


def unknown_collection(root: Path) -> Path:
    return config(root, activations="")


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        (unwritable, "tensors: File exists"),
        (torn_config, "debughookconfig.json: no JSON"),
        (no_table, "no table of DebugHookConfig's members"),
        (nonsense, "often"),
        (unknown_collection, "activations has not been configured"),
    ],
)
def test_a_hook_that_cannot_be_registered_fails_no_training(
    wrong: Any, why: str, colours: Path, tmp_path: Path, lean: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert trained(colours, tmp_path, wrong(tmp_path)) == 0
    assert weights(tmp_path) == weights(lean)
    found = status(tmp_path)
    assert (found["registered"], found["steps"]) == (False, 0)
    assert why in found["why"]
    assert f"health: Debugger's hook saves no tensors: {found['why']}" in capsys.readouterr().err
    verdict, details = judged(tmp_path, "Overfit")["Overfit"]
    assert verdict == "Error"
    assert details.startswith("Not evaluated: smdebug's hook was not registered: ") and why in details


@pytest.mark.parametrize(
    "settings",
    [
        {"LocalPath": "/proc/\udcff"},
        {"CollectionConfigurations": [{"CollectionName": "\ud800", "CollectionParameters": {"include_regex": "fc"}}]},
    ],
)
def test_names_that_are_no_text_fail_no_training(settings: dict[str, Any], tmp_path: Path) -> None:
    file = tmp_path / "debughookconfig.json"
    content = {"S3OutputPath": "s3://b", "LocalPath": str(tmp_path / "tensors"), "HookParameters": None}
    file.write_text(json.dumps(content | settings))
    hook = registered({VARIABLE: str(file)}, tmp_path, nn.Linear(2, 2), Job(10, 1), 0, (0, 0))
    hook.close()


def test_a_disk_that_fails_on_the_way_ends_the_saving_and_not_the_training(
    colours: Path, tmp_path: Path, lean: Path
) -> None:
    """After the first epoch a file lies where the tensors go."""
    (tmp_path / "mine.py").write_text(IN_THE_WAY.format(folder=str(tmp_path / "tensors/index")))
    assert trained(colours, tmp_path, config(tmp_path), "--health_rules", str(tmp_path / "mine.py")) == 0
    assert weights(tmp_path) == weights(lean)
    found = status(tmp_path)
    assert found["registered"] and found["why"].startswith("gave up at step 7: ")
    verdict, details = judged(tmp_path, "Overfit")["Overfit"]
    assert verdict == "Error" and "gave up at step 7" in details


@pytest.mark.parametrize(
    ("name", "why"), [("broken", "RuntimeError: made for another torch"), ("missing", "could not be installed")]
)
def test_without_an_smdebug_that_works_the_training_goes_on(name: str, why: str, lean: Path, unaided: Path) -> None:
    assert weights(unaided / name) == weights(lean)
    assert why in status(unaided / name)["why"]


def test_a_resumed_training_saves_each_step_once_under_the_same_number(
    colours: Path, tmp_path: Path, whole: Path
) -> None:
    (tmp_path / "mine.py").write_text(STOPPER)
    file, again = config(tmp_path), ["--checkpoint-dir", str(tmp_path / "checkpoints"), "--health_every", "2"]
    assert trained(colours, tmp_path, file, *again, "--health_rules", f"{tmp_path / 'mine.py'}:on_issue=stop") == 1
    assert max(tensors(tmp_path)) > 8
    (tmp_path / "tensors/index/000000000/000000000099_worker_0.json.tmp").write_text("half of it")
    assert trained(colours, tmp_path, file, *again) == 0
    assert weights(tmp_path) == weights(whole)
    numbers = [(step.number, step.mode, step.mode_step) for step in saved.steps(tmp_path / "tensors")]
    assert numbers == [(step.number, step.mode, step.mode_step) for step in saved.steps(whole / "tensors")]
    assert not list((tmp_path / "tensors").rglob("*.tmp"))


def test_what_an_earlier_training_saved_in_the_folder_is_not_taken_for_this_one(
    colours: Path, tmp_path: Path, whole: Path
) -> None:
    shutil.copytree(whole / "tensors", tmp_path / "tensors")
    assert trained(colours, tmp_path, config(tmp_path), "--epochs", "1") == 0
    assert list(tensors(tmp_path)) == list(range(STEPS))


def test_ranks_but_the_first_save_only_where_the_configuration_asks_for_all(tmp_path: Path) -> None:
    for workers, kind in (("one", Debugger), ("all", Registered)):
        env = {VARIABLE: str(config(tmp_path, hook={"include_workers": workers}))}
        assert type(registered(env, tmp_path, nn.Linear(1, 1), Job(1, 1), 1, (0, 0))) is kind
    assert not (tmp_path / "debugger.json").exists()


def test_two_processes_save_what_each_has_seen(colours: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "net.py").write_text(debugged.NET)
    monkeypatch.setenv(VARIABLE, str(config(tmp_path, hook={"include_workers": "all"})))
    more = ["--model_file", str(tmp_path / "net.py"), *debugged.SMALL, "--epochs", "1"]
    more += ["--health_rules", "AllZero+VanishingGradient", "--health_every", "1"]
    with two(colours, tmp_path, *more) as running:
        assert [process.wait(timeout=120) for process in running] == [0, 0], log(tmp_path, 1) + log(tmp_path, 2)
    steps = saved.steps(tmp_path / "tensors")
    assert {(step.worker, step.mode_step) for step in steps if step.mode == "TRAIN"} == {
        (f"worker_{rank}", step) for rank in range(2) for step in range(STEPS)
    }
    assert status(tmp_path / "1")["registered"] and not (tmp_path / "2/output/data/health/debugger.json").exists()
    first, second = ({each.name: each.values for each in saved.tensors(step)} for step in steps[:2])
    name = "gradient/Sequential_5.weight"
    assert np.array_equal(first[name], second[name])  # everybody's
    assert len(first["2_relu_input_0"]) == 3 and not np.array_equal(first["2_relu_input_0"], second["2_relu_input_0"])
    (tmp_path / "output").symlink_to(tmp_path / "1/output")
    answers = judged(tmp_path, "AllZero", "VanishingGradient")
    ours = json.loads((tmp_path / "1/output/data/health/health.json").read_text())["rules"]
    assert {name: verdict for name, (verdict, _) in answers.items()} == {each["rule"]: each["status"] for each in ours}
