"""Somebody's own network on its way: trained, packed, judged and served by its own code; started from its weights."""

from __future__ import annotations

import io
import json
import shutil
import tarfile
from pathlib import Path

import evaluate
import inference
import model
import pictures
import pytest
import torch
import train
from data import open_split
from refusal import Refusal
from training import features, hyperparameters, resuming, starting

NET = """
from own_stage import stage
from torch import nn


def build(num_classes):
    return nn.Sequential(stage(3, 8), stage(8, 8), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, num_classes))
"""
STAGE = """
from torch import nn


class Stage(nn.Module):
    def __init__(self, wide, out):
        super().__init__()
        self.convolution, self.norm = nn.Conv2d(wide, out, 3, stride=2), nn.BatchNorm2d(out)

    def forward(self, pictures):
        from own_late import shape  # as it runs
        return shape(self.norm(self.convolution(pictures)))


def stage(wide, out):
    return Stage(wide, out)
"""
LATE = "from torch.nn import functional\nshape = functional.relu\n"
FILES = {"net.py": NET, "own_stage.py": STAGE, "own_late.py": LATE}
CODE = {f"code/own/{name}" for name in FILES}


@pytest.fixture(scope="module")
def colours(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pictures.colours(tmp_path_factory.mktemp("colours"), {"train": 16, "validation": 8, "test": 8})


@pytest.fixture(scope="module")
def trained(colours: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network whose files are gone once it is trained; with its ONNX export."""
    root = tmp_path_factory.mktemp("trained")
    assert run(colours, root, "--epochs", "6", "--lr", "0.2", "--dropout", "0.1", "--onnx", "True") == 0
    shutil.rmtree(root / "nets")
    with tarfile.open(root / "model.tar.gz", "w:gz") as archive:
        for path in sorted((root / "model").iterdir()):
            archive.add(path, path.name)
    return root


def write(root: Path, **files: str) -> None:
    for folder in ("nets", "output/data"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    for name, text in {**FILES, **{f"{name}.py": text for name, text in files.items()}}.items():
        (root / "nets" / name).write_text(text)


def arguments(splits: Path, root: Path) -> list[str]:
    folders = [f"--train-dir={splits / 'train'}", f"--validation-dir={splits / 'validation'}"]
    folders += [f"--model-dir={root / 'model'}", f"--output-data-dir={root / 'output/data'}"]
    return [*folders, "--model_file", str(root / "nets/net.py"), "--batch_size", "8"]


def run(splits: Path, root: Path, *more: str, **files: str) -> int:
    write(root, **files)
    return train.main([*arguments(splits, root), *more], {})


def failure(root: Path) -> str:
    return (root / "output/failure").read_text()


def test_the_archive_holds_the_network_and_its_card_names_it(trained: Path) -> None:
    with tarfile.open(trained / "model.tar.gz") as archive:
        assert {name for name in archive.getnames() if name.startswith("code/own/")} == CODE
    shape = pictures.json_of(trained / "model/model.json")["architecture"]
    assert (shape["file"], shape["num_classes"], set(shape["sha256"])) == ("net.py", 3, set(FILES))


def test_it_is_evaluated_by_the_code_in_its_archive(trained: Path, colours: Path, tmp_path: Path) -> None:
    inputs = [f"--model-dir={trained}", f"--test-dir={colours / 'test'}", f"--validation-dir={colours / 'validation'}"]
    assert evaluate.main([*inputs, f"--output-dir={tmp_path}", f"--champion-dir={trained}"]) == 0
    judged = pictures.json_of(tmp_path / "evaluation/evaluation.json")["darkroom"]
    assert judged["accuracy"] > 0.8
    assert judged["champion"]["difference"] == 0  # the same archive, in a process of its own


@pytest.mark.parametrize("change", ["edited", "added", "gone"])
def test_code_that_the_card_does_not_describe_is_not_run(trained: Path, tmp_path: Path, change: str) -> None:
    shutil.copytree(trained / "model", tmp_path / "model")
    own = tmp_path / "model/code/own"
    if change == "gone":
        shutil.rmtree(own)
    else:
        (own / ("net.py" if change == "edited" else "more.py")).write_text(f"open({str(tmp_path / 'run')!r}, 'w')")
    with pytest.raises(Refusal, match="not the network's code that the card describes"):
        inference.model_fn(tmp_path / "model")
    assert not (tmp_path / "run").exists()


def hostile(trained: Path, folder: Path) -> Path:
    """The archive with code that would leave a trace, and a card that vouches for it."""
    code = f"open({str(folder / 'run')!r}, 'w')\n".encode()
    path = folder / "model.tar.gz"
    with tarfile.open(trained / "model.tar.gz") as old, tarfile.open(path, "w:gz") as new:
        for entry in old:
            if entry.isfile():
                body = old.extractfile(entry).read()
                body = code if entry.name.endswith(".py") else body
                entry.size = len(body)
                new.addfile(entry, io.BytesIO(body))
    return path


def test_a_warm_start_takes_the_weights_and_runs_nothing_of_the_archive(
    trained: Path, colours: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = hostile(trained, tmp_path)
    more = ["--epochs", "1", "--lr", "0.0001", "--warm-start-dir", str(path)]
    assert run(colours, tmp_path, *more, own_late=f"{LATE}# edited\n") == 0
    assert "warm start: 16 tensors of model.tar.gz; the head (4) of 3 classes is among them" in capsys.readouterr().err
    rows = (tmp_path / "output/data/metrics.jsonl").read_text().splitlines()
    assert json.loads(rows[0])["validation_accuracy"] > 0.8
    assert not (tmp_path / "run").exists()


def test_a_warm_start_of_another_network_is_refused(trained: Path, colours: Path, tmp_path: Path) -> None:
    start = ["--epochs", "1", "--warm-start-dir", str(trained)]
    wider = NET.replace("stage(8, 8)", "stage(8, 9)").replace("(8, num", "(9, num")
    assert run(colours, tmp_path, *start, net=wider) == 1
    assert "weights of another network; these layers differ: 1.convolution.weight has (8, 8, 3, 3)" in failure(tmp_path)


def test_a_state_dict_starts_it_and_its_head_alone_learns(trained: Path, colours: Path, tmp_path: Path) -> None:
    more = ["--epochs", "1", "--trainable_layers", "0", "--weights-dir", str(trained / "model/model.pt")]
    assert run(colours, tmp_path, *more) == 0
    assert pictures.json_of(tmp_path / "output/data/report/training.json")["parameters"] == 867


def test_more_layers_than_there_are_is_refused_with_their_names(colours: Path, tmp_path: Path) -> None:
    assert run(colours, tmp_path, "--trainable_layers", "3") == 1
    assert "trainable_layers 3: the network has 2 blocks below its head (1, 0, from the top)" in failure(tmp_path)


@pytest.mark.parametrize("name", FILES)
def test_a_checkpoint_belongs_to_the_code_of_the_network(colours: Path, tmp_path: Path, name: str) -> None:
    mark = fingerprint(colours, tmp_path)
    assert fingerprint(colours, tmp_path) == mark
    (tmp_path / "nets" / name).write_text(f"{FILES[name]}# edited\n")
    changed = fingerprint(colours, tmp_path)
    assert [key for key in mark if mark[key] != changed[key]] == [f"data own network: {name}"]


def test_features_belong_to_the_code_of_the_network(colours: Path, tmp_path: Path) -> None:
    """Changes that no layer and no weight shows."""
    write(tmp_path)
    found = {features_digest(colours, tmp_path) for _ in range(2)}
    write(tmp_path, own_late=LATE.replace("relu", "gelu"))
    assert len({*found, features_digest(colours, tmp_path)}) == 2


def features_digest(splits: Path, root: Path) -> str:
    torch.manual_seed(0)
    split = open_split(splits / "train")
    network = starting.network(hyperparameters.parse(arguments(splits, root), {}), split)
    return features.digest(split, (network, model.head(network)), torch.device("cpu"), torch.float32)


def fingerprint(splits: Path, root: Path) -> dict[str, str]:
    if not (root / "nets").is_dir():
        write(root)
    args = hyperparameters.parse([*arguments(splits, root), f"--checkpoint-dir={root / 'kept'}"], {})
    starting.network(args, open_split(splits / "train"))
    return resuming._fingerprint(args, 1)


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("net.py;id", "take the path of a .py file"),
        ("a b.py", "take the path of a .py file"),
        ("$(id).py", "take the path of a .py file"),
        ("net.txt", "take the path of a .py file"),
        ("nowhere/net.py", "nowhere/net.py: no such file, and model_file names it"),
    ],
)
def test_a_value_that_is_no_file_of_python_is_refused(colours: Path, tmp_path: Path, value: str, says: str) -> None:
    assert run(colours, tmp_path, "--model_file", value) == 1
    assert says in failure(tmp_path)


@pytest.mark.parametrize("other", [("--model", "resnet18"), ("--stem", "small")])
def test_a_network_of_torchvision_beside_it_is_refused(colours: Path, tmp_path: Path, other: tuple[str, str]) -> None:
    assert run(colours, tmp_path, *other) == 1
    assert "--model or --stem beside --model_file" in failure(tmp_path)


NAN = """
import torch
from torch import nn


class Blind(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))

    def forward(self, scores):
        if self.training:
            self.steps += 1
        elif self.steps <= {steps}:
            return scores * float("nan")
        return scores


def build(num_classes):
    layers = nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, num_classes), Blind()
    return nn.Sequential(*layers)
"""


def test_an_epoch_without_a_validation_loss_passes(colours: Path, tmp_path: Path) -> None:
    first = len(open_split(colours / "train")) // 8
    assert run(colours, tmp_path, "--epochs", "2", net=NAN.format(steps=first)) == 0
    told = [json.loads(row) for row in (tmp_path / "output/data/metrics.jsonl").read_text().splitlines()]
    assert ["validation_loss" in row for row in told] == [False, True]
    assert pictures.json_of(tmp_path / "output/data/report/training.json")["epochs"] == told


def test_a_model_without_a_validation_loss_is_refused(colours: Path, tmp_path: Path) -> None:
    assert run(colours, tmp_path, "--epochs", "1", "--lr", "0.02", net=NAN.format(steps=10**9)) == 1
    assert failure(tmp_path).startswith("the validation loss is nan after epoch 1, though training's is ")
    assert "to 0.002" in failure(tmp_path) and not (tmp_path / "model/model.json").exists()
