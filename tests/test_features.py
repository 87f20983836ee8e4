"""Features: what the head would have been given, found again only for the same pictures, weights and precision."""

from __future__ import annotations

import argparse
import copy
import dataclasses
import json
import os
from pathlib import Path

import model
import pictures
import pytest
import torch
import train
from data import Split, open_split
from torch import Tensor, nn
from torch.nn import functional as F
from training import features, freezing, hyperparameters, optimizers, schedules
from training.batches import Batches

CPU = torch.device("cpu")
Layers = features.Layers


@pytest.fixture(scope="module")
def colours(tmp_path_factory: pytest.TempPathFactory) -> Split:
    return open_split(pictures.colours(tmp_path_factory.mktemp("colours"), {"train": 14}) / "train")


class Small(nn.Module):
    """A network of one's own: a convolution, a mean, a head; `slope` is seen neither in weights nor in options."""

    def __init__(self, classes: int = 3, slope: float = 1.0) -> None:
        super().__init__()
        self.body = nn.Conv2d(3, 8, 3, stride=2)
        self.norm = nn.BatchNorm2d(8)
        self.head = nn.Linear(8, classes)
        self.slope = slope

    def forward(self, pictures: Tensor) -> Tensor:
        return self.head((self.slope * self.norm(self.body(pictures))).relu().mean((2, 3)))  # type: ignore[no-any-return]


def small(seed: int = 0, classes: int = 3, slope: float = 1.0) -> Layers:
    torch.manual_seed(seed)
    network = Small(classes, slope)
    return network, network.head


def given(split: Split, layers: Layers, folder: Path, precision: torch.dtype = torch.float32) -> Tensor:
    return features.of(split, layers, CPU, precision, {features.FOLDER: str(folder)})


def test_the_head_gives_for_features_what_the_network_gives_for_pictures(colours: Split, tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = model.build("resnet18", 3).eval()
    rows = given(colours, (network, model.head(network)), tmp_path)
    assert rows.shape == (42, 512) and rows.dtype == torch.float32
    with torch.inference_mode():
        scores = torch.cat([network(shown) for shown, _ in Batches(colours, CPU).in_order()])
        assert torch.allclose(network.fc(rows), scores, atol=1e-5)


def test_a_later_trial_finds_them_whatever_its_head_is(
    colours: Split, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = model.build("resnet18", 3), model.build("resnet18", 5, dropout=0.5)
    trunk = {name: tensor for name, tensor in first.state_dict().items() if not name.startswith("fc")}
    second.load_state_dict(trunk, strict=False)
    rows = [given(colours, (network, model.head(network)), tmp_path) for network in (first, second)]
    assert rows[0].equal(rows[1])
    lines = capsys.readouterr().err.splitlines()
    assert ["computed in" in line for line in lines] == [True, False]
    assert ["found in" in line for line in lines] == [False, True]


def test_without_a_folder_nothing_is_kept(colours: Split, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    kept = given(colours, small(), tmp_path / "kept")
    for env in ({}, {features.FOLDER: ""}):
        assert features.of(colours, small(), CPU, env=env).equal(kept)
    assert os.listdir(tmp_path) == ["kept"]


def test_a_folder_that_cannot_be_used_is_said_and_done_without(
    colours: Split, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    assert given(colours, small(), tmp_path / "file").equal(given(colours, small(), tmp_path / "folder"))
    assert f"features are not kept in {tmp_path / 'file'}: " in capsys.readouterr().err


def changed(split: Split, **keys: object) -> Split:
    return dataclasses.replace(split, manifest={**split.manifest, **keys})


def test_what_they_depend_on_is_in_their_name(colours: Split) -> None:
    def name(split: Split = colours, layers: Layers = small(), precision: torch.dtype = torch.float32) -> str:  # noqa: B008
        return features.digest(split, layers, CPU, precision)

    shard = {**colours.manifest["shards"][0], "sha256": "0" * 64}
    normed, strided = small(), small()
    normed[0].norm.running_mean[3] += 1
    strided[0].body.stride = (1, 1)
    others = [
        name(changed(colours, shards=[shard])),
        name(changed(colours, image_size=15)),
        name(changed(colours, stored_size=19)),
        name(changed(colours, mean=[0.4, 0.4, 0.41])),
        name(changed(colours, deviation=[0.3, 0.3, 0.31])),
        name(layers=small(seed=1)),
        name(layers=normed),
        name(layers=strided),
        name(precision=torch.bfloat16),
    ]
    assert len({name(), *others}) == 1 + len(others)
    assert name(changed(colours, class_weights=[1.0, 2.0, 3.0])) == name() == name(layers=small())


def test_features_of_other_code_are_computed_again(colours: Split, tmp_path: Path) -> None:
    """Same weights, same options, same name; only running it tells."""
    before = given(colours, small(slope=1.0), tmp_path)
    after = given(colours, small(slope=1.5), tmp_path)
    assert len(os.listdir(tmp_path)) == 1 and torch.allclose(after, 1.5 * before)
    assert given(colours, small(slope=1.5), tmp_path).equal(after)


@pytest.mark.parametrize("sampled", ("shuffled", "balanced"))
def test_epochs_have_the_order_of_batches(colours: Split, tmp_path: Path, sampled: str) -> None:
    layers = small()
    shown = features.Features(colours, given(colours, layers, tmp_path), CPU)
    both = shown, Batches(colours, CPU)
    randoms = [torch.Generator().manual_seed(7) for _ in both]
    for _ in range(2):
        ours, theirs = (
            list(each.shuffled(10, "none", random, sampled)) for each, random in zip(both, randoms, strict=True)
        )
        assert len(ours) == len(theirs) == shown.steps(10) == 4
        for (rows, labels), (images, expected) in zip(ours, theirs, strict=True):
            assert labels.equal(expected)
            assert torch.allclose(rows, features.given(layers, images, torch.float32), atol=1e-6)


def test_a_resumed_epoch_goes_on_where_it_stopped(colours: Split, tmp_path: Path) -> None:
    shown = features.Features(colours, given(colours, small(), tmp_path), CPU)
    every, rest = (list(shown.shuffled(10, "none", torch.Generator().manual_seed(7), first=first)) for first in (0, 3))
    assert [labels.tolist() for _, labels in rest] == [labels.tolist() for _, labels in every[3:]]


def test_their_way_to_the_device_is_timed_apart(colours: Split, tmp_path: Path) -> None:
    laps: list[str] = []
    shown = features.Features(colours, given(colours, small(), tmp_path), CPU)
    for _ in shown.shuffled(10, "none", torch.Generator(), lap=laps.append):
        laps.append("step")
    assert laps == ["data_wait", "transfer", "step"] * 4


def test_validation_sees_every_picture_once(colours: Split, tmp_path: Path) -> None:
    rows = given(colours, small(), tmp_path)
    shown = list(features.Features(colours, rows, CPU).in_order())
    assert torch.cat([part for part, _ in shown]).equal(rows)
    assert torch.cat([labels for _, labels in shown]).tolist() == colours.labels.tolist()


def test_changing_pictures_have_no_features(colours: Split, tmp_path: Path) -> None:
    shown = features.Features(colours, given(colours, small(), tmp_path), CPU)
    with pytest.raises(ValueError, match="'flip'"):
        next(shown.shuffled(10, "flip", torch.Generator()))


def test_a_head_learns_the_same_from_features_as_from_pictures(colours: Split, tmp_path: Path) -> None:
    learnt = []
    for cached in (False, True):
        network, head = small()
        network.eval().requires_grad_(False)
        head.requires_grad_(True)
        rows = given(colours, (network, head), tmp_path) if cached else None
        shown = Batches(colours, CPU) if rows is None else features.Features(colours, rows, CPU)
        learner = network if rows is None else head
        optimizer, random = torch.optim.SGD(head.parameters(), lr=0.1, momentum=0.9), torch.Generator().manual_seed(0)
        for _ in range(3):
            for each, labels in shown.shuffled(8, "none", random):
                F.cross_entropy(learner(each), labels).backward()
                optimizer.step()
                optimizer.zero_grad()
        learnt.append(network.state_dict())
    assert not learnt[0]["head.weight"].equal(small()[1].weight)
    for name, tensor in learnt[0].items():
        assert torch.allclose(tensor, learnt[1][name], atol=1e-5), name


def suits(network: nn.Module, head: nn.Module, size: int = 16) -> bool:
    network.requires_grad_(False)
    head.requires_grad_(True)
    return features.suit((network, head), size, CPU)


@pytest.mark.parametrize(
    ("name", "dropout"), (("resnet18", 0.5), ("mobilenet_v3_small", 0.0), ("convnext_tiny", 0.0), ("alexnet", 0.5))
)
def test_frozen_torchvision_networks_suit(name: str, dropout: float) -> None:
    """Stochastic depth, and dropout further below, are off in what is frozen."""
    network = model.build(name, 3, dropout=dropout)
    freezing.freeze(network, 0)
    assert features.suit((network, model.head(network)), 64, CPU)


def test_no_layer_but_the_last_suits() -> None:
    network = model.build("resnet18", 3)
    assert not suits(network, network.layer4[0].conv1, 32)
    squeezed = model.build("squeezenet1_1", 3)
    assert not suits(squeezed, model.head(squeezed), 64)


class Softened(Small):
    def forward(self, pictures: Tensor) -> Tensor:
        return super().forward(pictures).softmax(1)


class Dropped(Small):
    def forward(self, pictures: Tensor) -> Tensor:
        return super().forward(F.dropout(pictures, 0.5, self.training))


class Twice(Small):
    def forward(self, pictures: Tensor) -> Tensor:
        return super().forward(pictures) + super().forward(-pictures)


class Rectified(Small):
    def forward(self, pictures: Tensor) -> Tensor:
        return super().forward(pictures).relu_()


class Named(Small):
    """Its head is given no tensor by place."""

    def forward(self, pictures: Tensor) -> Tensor:
        return self.head(input=self.norm(self.body(pictures)).mean((2, 3)))  # type: ignore[no-any-return]


class Unused(Small):
    def forward(self, pictures: Tensor) -> Tensor:
        return pictures.mean((2, 3))


@pytest.mark.parametrize("kind", (Softened, Dropped, Twice, Rectified, Named, Unused))
def test_a_network_whose_head_learns_otherwise_from_features_does_not_suit(kind: type[Small]) -> None:
    plain, other = Small(), kind()
    assert suits(plain, plain.head) and not suits(other, other.head)


def test_a_head_with_a_weight_of_another_layer_does_not_suit() -> None:
    network = Small()
    network.also = nn.Linear(8, 3)
    assert suits(network, network.head)
    network.also.weight = network.head.weight
    assert not suits(network, network.head)


def test_asking_whether_it_suits_draws_no_random_number() -> None:
    network = Dropped()
    before = torch.get_rng_state()
    suits(network, network.head)
    assert torch.get_rng_state().equal(before)


ARGUMENTS = {"trainable_layers": 0, "augment": "none", "mixup": 0.0, "cutmix": 0.0}


@pytest.mark.parametrize(
    "change",
    ({"trainable_layers": "all"}, {"trainable_layers": 1}, {"augment": "flip"}, {"mixup": 0.2}, {"cutmix": 1.0}),
)
def test_pictures_are_shown_where_they_or_the_network_change(colours: Split, change: dict[str, object]) -> None:
    network, _ = small()
    freezing.freeze(network, 0)
    splits = colours, colours
    shown, check, learner = features.shown(argparse.Namespace(**ARGUMENTS), splits, network, CPU, torch.float32)
    assert isinstance(shown, features.Features) and isinstance(check, features.Features)
    assert learner is network.head
    args = argparse.Namespace(**ARGUMENTS | change)
    shown, check, learner = features.shown(args, splits, network, CPU, torch.float32)
    assert isinstance(shown, Batches) and isinstance(check, Batches) and learner is network


def test_the_whole_network_has_the_head_that_was_learnt() -> None:
    network, head = small()
    average = copy.deepcopy(head)
    average.weight.data.add_(1)
    assert features.whole(network, head, average) is network and network.head.weight.equal(average.weight)
    other = copy.deepcopy(network)
    assert features.whole(network, network, other) is other


def trained(splits: Path, root: Path, *more: str) -> dict[str, Tensor]:
    """The weights that train.py leaves."""
    folders = {"train-dir": splits / "train", "validation-dir": splits / "validation", "model-dir": root / "model"}
    channels = [f"--{name}={folder}" for name, folder in folders.items()]
    settings = ["--trainable_layers", "0", "--epochs", "3", "--batch_size", "8", "--seed", "5", *more]
    assert train.main([*channels, f"--output-data-dir={root / 'output/data'}", "--checkpoint-dir=", *settings], {}) == 0
    return torch.load(root / "model/model.pt", weights_only=True)  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pictures.colours(tmp_path_factory.mktemp("both"), {"train": 12, "validation": 3})


def test_the_time_for_features_is_told_by_itself(both: Path, tmp_path: Path) -> None:
    trained(both, tmp_path)
    seconds = json.loads((tmp_path / "output/data/report/training.json").read_text())["seconds"]
    assert seconds["features"] > 0
    assert sum(seconds.values()) == pytest.approx(2 * seconds["total"], abs=0.01)


def test_training_a_head_gives_what_the_same_steps_on_pictures_give(both: Path, tmp_path: Path) -> None:
    weights = trained(both, tmp_path, "--precision", "float32")
    settings = ["--seed", "5", *(f"--{name}={both}" for name in ("train-dir", "validation-dir"))]
    args = hyperparameters.parse([*settings, f"--model-dir={both}", f"--output-data-dir={both}"], {})
    torch.manual_seed(5)
    network = model.build("resnet18", 3).to(memory_format=torch.channels_last)
    freezing.freeze(network, 0)
    before = network.fc.weight.detach().clone()
    optimizer, random = optimizers.build(network, args), torch.Generator().manual_seed(5)
    shown = Batches(open_split(both / "train"), CPU)
    steps = [batch for _ in range(3) for batch in shown.shuffled(8, "none", random)]
    freezing.train_mode(network)
    for number, (images, labels) in enumerate(steps):
        optimizer.param_groups[0]["lr"] = args.lr * schedules.factor("onecycle", 0.25, number / len(steps))
        F.cross_entropy(network(images), labels, label_smoothing=args.label_smoothing).backward()
        optimizer.step()
        optimizer.zero_grad()
    assert not torch.allclose(network.fc.weight, before, atol=1e-3)
    for name, tensor in network.state_dict().items():
        assert torch.allclose(tensor, weights[name], atol=1e-5), name


@pytest.mark.parametrize("more", ((), ("--ema", "0.9", "--early_stopping", "1", "--dropout", "0.3")))
def test_a_training_that_finds_features_leaves_the_same_bits(
    both: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    more: tuple[str, ...],
) -> None:
    runs = [trained(both, tmp_path / "without", *more)]
    monkeypatch.setenv(features.FOLDER, str(tmp_path / "features"))
    runs += [trained(both, tmp_path / name, *more) for name in ("first", "later")]
    said = capfd.readouterr().err
    assert (said.count("computed in"), said.count("found in")) == (4, 2)
    for weights in runs[1:]:
        assert all(tensor.equal(runs[0][name]) for name, tensor in weights.items())
