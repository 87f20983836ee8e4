"""Weights of others: torchvision's names of old and new, an earlier archive, and whatever else lies in the channel."""

from __future__ import annotations

import io
import json
import re
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import archive
import model
import pytest
import torch
from refusal import Refusal
from torch import Tensor, nn
from torchvision.models import VisionTransformer, get_model
from training import weights

CLASSES = ["blue", "green", "red"]


def same(network: nn.Module, state: dict[str, Tensor], but: str = "nothing") -> bool:
    own = network.state_dict()
    return all(torch.equal(own[name], value) for name, value in state.items() if not name.startswith(but))


def saved(folder: Path, state: object, name: str = "weights.pth") -> Path:
    folder.mkdir(exist_ok=True)
    torch.save(state, folder / name)
    return folder


@pytest.mark.parametrize("name", ["resnet18", "mnasnet0_5", "squeezenet1_1", "efficientnet_b0"])
def test_torchvisions_weights_are_loaded_but_for_the_head(tmp_path: Path, name: str) -> None:
    source, network = model.build(name, 1000), model.build(name, 3)
    state = source.state_dict()
    where = model.head_name(network)
    head = model.head(network).weight.clone()
    told = weights.load_pretrained(network, saved(tmp_path, state))
    assert same(network, state, but=where)
    assert torch.equal(model.head(network).weight, head)
    assert f"of weights.pth; the head ({where}) of 1000 classes is left out, and one of 3 starts anew" in told


@pytest.mark.parametrize("name", ["googlenet", "inception_v3"])
def test_published_auxiliary_outputs_are_left_out(tmp_path: Path, name: str) -> None:
    state = get_model(name, weights=None, init_weights=False).state_dict()
    network = model.build(name, 3)
    weights.load_pretrained(network, saved(tmp_path, state))
    assert same(network, {key: state[key] for key in network.state_dict() if not key.startswith("fc.")})


def of_before(name: str) -> str:
    """As in the published densenet121 and vit_b_16 files."""
    name = re.sub(r"(denselayer\d+\.(?:norm|conv))([12])\.", r"\1.\2.", name)
    return name.replace("mlp.0.", "mlp.linear_1.").replace("mlp.3.", "mlp.linear_2.")


SMALL_VIT = {"image_size": 32, "patch_size": 16, "num_layers": 2, "num_heads": 2, "hidden_dim": 16, "mlp_dim": 32}


@pytest.mark.parametrize("make", [lambda: model.build("densenet121", 3), lambda: VisionTransformer(**SMALL_VIT)])
def test_names_of_earlier_torchvisions_are_known(tmp_path: Path, make: Callable[[], nn.Module]) -> None:
    state, network = make().state_dict(), make()
    old = {of_before(key): value for key, value in state.items()}
    assert old.keys() != state.keys()
    weights.load_pretrained(network, saved(tmp_path, old))
    assert same(network, state)


def test_files_of_before_batches_were_counted_are_loaded(tmp_path: Path) -> None:
    state = model.build("resnet18", 3).state_dict()
    old = {key: value for key, value in state.items() if not key.endswith("num_batches_tracked")}
    network = model.build("resnet18", 3)
    weights.load_pretrained(network, saved(tmp_path, old))
    assert same(network, old)


def test_a_head_of_as_many_classes_is_loaded(tmp_path: Path) -> None:
    state = model.build("shufflenet_v2_x0_5", 3).state_dict()
    network = model.build("shufflenet_v2_x0_5", 3)
    told = weights.load_pretrained(network, saved(tmp_path, state))
    assert same(network, state)
    assert told.endswith("the head (fc) of 3 classes is among them")


def test_a_trunk_without_head_is_loaded(tmp_path: Path) -> None:
    state = model.build("shufflenet_v2_x0_5", 3).state_dict()
    trunk = {key: value for key, value in state.items() if not key.startswith("fc.")}
    network = model.build("shufflenet_v2_x0_5", 3)
    assert "the head (fc) is left out" in weights.load_pretrained(network, saved(tmp_path, trunk))
    assert same(network, trunk)


def test_half_precision_is_widened(tmp_path: Path) -> None:
    state = {key: value.half() if value.is_floating_point() else value for key, value in small().state_dict().items()}
    network = small()
    weights.load_pretrained(network, saved(tmp_path, state))
    assert {value.dtype for value in network.state_dict().values()} == {torch.float32, torch.int64}


def small() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Linear(4, 3))


def changed(**tensors: object) -> dict[str, object]:
    return {**small().state_dict(), **{key.replace("_", ".", 1): value for key, value in tensors.items()}}


BAD: dict[str, tuple[object, str]] = {
    "shape": (changed(**{"0_weight": torch.zeros(4, 3, 7, 7)}), "0.weight has (4, 3, 7, 7), not (4, 3, 3, 3)"),
    "expanded": (changed(**{"0_bias": torch.zeros(1).expand(10**9)}), "0.bias has (1000000000,), not (4,)"),
    "too much": (changed(**{"9_weight": torch.zeros(1)}), "9.weight is too much"),
    "missing": ({"0.weight": small()[0].weight.detach()}, "0.bias is missing; 1.weight is missing; 1.bias is missing"),
    "nothing": ({}, "0.weight is missing"),
    "whole numbers": (changed(**{"0_bias": torch.zeros(4, dtype=torch.int64)}), "0.bias is torch.int64, not torch.f"),
    "nan": (changed(**{"0_bias": torch.full((4,), torch.nan)}), "0.bias holds infinite numbers or NaN"),
    "infinite": (changed(**{"1_running_var": torch.full((4,), torch.inf)}), "1.running_var holds infinite numbers"),
    "checkpoint": ({"state_dict": small().state_dict(), "epoch": 3}, "state_dict is no name of a plain tensor"),
}


@pytest.mark.parametrize("case", BAD)
def test_weights_that_do_not_fit_are_refused_by_layer_and_nothing_is_loaded(tmp_path: Path, case: str) -> None:
    content, words = BAD[case]
    network = small()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    with pytest.raises(Refusal, match=re.escape(words)) as caught:
        weights.load_pretrained(network, saved(tmp_path, content))
    assert str(caught.value).startswith(str(tmp_path / "weights.pth"))
    assert same(network, before)


def test_another_network_is_refused_by_its_first_layers(tmp_path: Path) -> None:
    saved(tmp_path, model.build("resnet34", 3).state_dict())
    with pytest.raises(Refusal, match=r"layer1\.2\.conv1\.weight is too much.* and \d+ more: set model and stem"):
        weights.load_pretrained(model.build("resnet18", 3), tmp_path)


def test_torchvisions_weights_do_not_fit_the_small_stem(tmp_path: Path) -> None:
    saved(tmp_path, model.build("resnet18", 3).state_dict())
    with pytest.raises(Refusal, match=re.escape("conv1.weight has (64, 3, 7, 7), not (64, 3, 3, 3)")):
        weights.load_pretrained(model.build("resnet18", 3, "small"), tmp_path)


def test_a_channel_holds_exactly_one_file_of_weights(tmp_path: Path) -> None:
    with pytest.raises(Refusal, match=re.escape("0 files *.pt or *.pth: channel 'weights'")):
        weights.load_pretrained(small(), tmp_path)
    for name in ("a.pt", "b.pth"):
        saved(tmp_path, small().state_dict(), name)
    with pytest.raises(Refusal, match=re.escape("2 files *.pt or *.pth (a.pt, b.pth)")):
        weights.load_pretrained(small(), tmp_path)
    assert weights.load_pretrained(small(), tmp_path / "a.pt")


ARCHITECTURE = {"name": "shufflenet_v2_x0_5", "stem": "torchvision", "num_classes": 3}


def card(network: nn.Module, folder: Path, **changes: object) -> dict[str, Any]:
    model.save_weights(network, folder / "model.pt")
    told = {"file": "model.pt", "sha256": archive.sha256(folder / "model.pt")}
    body = {"format": archive.FORMAT, "architecture": ARCHITECTURE, "classes": CLASSES, "weights": told}
    return {**body, "preprocessing": {}, **changes}


def packed(folder: Path, network: nn.Module, **changes: object) -> Path:
    """A channel with the model archive of an earlier training."""
    parts = folder / "parts"
    parts.mkdir()
    (parts / "model.json").write_text(json.dumps(card(network, parts, **changes)))
    (folder / "channel").mkdir()
    with tarfile.open(folder / "channel/model.tar.gz", "w:gz", compresslevel=1) as entries:
        for path in sorted(parts.iterdir()):
            entries.add(path, path.name)
    return folder / "channel"


def network_of(classes: int = 3) -> nn.Module:
    return model.build("shufflenet_v2_x0_5", classes)


def test_a_training_goes_on_from_an_earlier_archive(tmp_path: Path) -> None:
    earlier, network = network_of(), network_of()
    told = weights.warm_start(network, packed(tmp_path, earlier), ARCHITECTURE, CLASSES)
    assert same(network, earlier.state_dict())
    assert told.endswith("tensors of model.tar.gz; the head (fc) of 3 classes is among them")


def test_another_number_of_classes_gets_a_new_head(tmp_path: Path) -> None:
    earlier, network = network_of(), network_of(4)
    head = network.fc.weight.clone()
    told = weights.warm_start(network, packed(tmp_path, earlier), {**ARCHITECTURE, "num_classes": 4}, [*CLASSES, "x"])
    assert same(network, earlier.state_dict(), but="fc.")
    assert torch.equal(network.fc.weight, head)
    assert told.endswith("the head (fc) of 3 classes is left out, and one of 4 starts anew")


@pytest.mark.parametrize("classes", [["a", "b", "c"], CLASSES[::-1]])
def test_other_classes_or_another_order_get_a_new_head(tmp_path: Path, classes: list[str]) -> None:
    earlier, network = network_of(), network_of()
    told = weights.warm_start(network, packed(tmp_path, earlier), ARCHITECTURE, classes)
    assert not torch.equal(network.fc.weight, earlier.fc.weight)
    assert told.endswith("one of 3 starts anew, as the classes are others")


CARDS: dict[str, tuple[dict[str, Any], str]] = {
    "another network": ({"architecture": {**ARCHITECTURE, "name": "resnet18"}}, "its name is resnet18, and this"),
    "another stem": ({"architecture": {**ARCHITECTURE, "stem": "small"}}, "its stem is small, and this training's is"),
    "own file": (
        {"architecture": {**ARCHITECTURE, "file": "net.py"}},
        "its file is net.py, and this training's is None",
    ),
    "no architecture": ({"architecture": 3}, "is not as TrainModel writes it"),
    "classes": ({"classes": {}}, "is not as TrainModel writes it"),
    "no weights": ({"weights": {}}, "is not as TrainModel writes it"),
    "weights elsewhere": ({"weights": {"file": "../../etc/passwd", "sha256": ""}}, "missing or not those"),
    "weights of a folder": ({"weights": {"file": "..", "sha256": ""}}, "missing or not those"),
    "digest": ({"weights": {"file": "model.pt", "sha256": "0"}}, "missing or not those that its card describes"),
    "format": ({"format": 1}, "format 1"),
}


@pytest.mark.parametrize("case", CARDS)
def test_an_archive_that_is_not_such_a_network_is_refused(tmp_path: Path, case: str) -> None:
    changes, words = CARDS[case]
    with pytest.raises(Refusal, match=re.escape(words)):
        weights.warm_start(network_of(), packed(tmp_path, network_of(), **changes), ARCHITECTURE, CLASSES)


def test_weights_of_another_network_under_a_right_card_are_refused(tmp_path: Path) -> None:
    with pytest.raises(Refusal, match="weights of another network"):
        weights.warm_start(network_of(), packed(tmp_path, small()), ARCHITECTURE, CLASSES)


def test_an_archive_that_writes_elsewhere_is_refused(tmp_path: Path) -> None:
    (tmp_path / "channel").mkdir()
    with tarfile.open(tmp_path / "channel/model.tar.gz", "w:gz") as entries:
        entry = tarfile.TarInfo("../../owned")
        entry.size = 1
        entries.addfile(entry, io.BytesIO(b"x"))
    with pytest.raises(Refusal, match="outside the folder"):
        weights.warm_start(network_of(), tmp_path / "channel", ARCHITECTURE, CLASSES)


def test_no_archive_in_the_channel_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refusal, match=re.escape("0 files *.tar.gz: channel 'warm_start' has to hold exactly one")):
        weights.warm_start(network_of(), tmp_path, ARCHITECTURE, CLASSES)
