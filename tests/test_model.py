"""Networks: each family builds with the right head, trains, and is loaded from its file alone."""

from __future__ import annotations

import copy
import os
import pickle
import re
import zipfile
from pathlib import Path

import custom
import model
import pytest
import torch
import torchvision
from hypothesis import given, settings
from hypothesis import strategies as st
from refusal import Refusal
from torch import nn
from torchvision.models import get_model, list_models

# One of each family, with the least side of its pictures.
FAMILIES = {
    "alexnet": 63,
    "convnext_tiny": 32,
    "densenet121": 32,
    "efficientnet_b0": 32,
    "efficientnet_v2_s": 32,
    "googlenet": 32,
    "inception_v3": 75,
    "maxvit_t": 224,
    "mnasnet0_5": 32,
    "mobilenet_v2": 32,
    "mobilenet_v3_small": 32,
    "regnet_x_400mf": 32,
    "regnet_y_400mf": 32,
    "resnet18": 32,
    "shufflenet_v2_x0_5": 32,
    "squeezenet1_1": 24,
    "swin_t": 32,
    "swin_v2_t": 32,
    "vgg11_bn": 32,
    "vit_b_32": 224,
}
WITHOUT_META = ("regnet_",)  # computes its widths with tensors


@pytest.mark.parametrize("name", FAMILIES)
def test_each_family_gives_one_score_a_class_in_training_and_evaluation(name: str) -> None:
    network = model.build(name, 7, dropout=0.3)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    custom.check(network, 7, FAMILIES[name])
    assert model.outputs(network) == 7
    assert network.training
    assert all(torch.equal(before[key], value) for key, value in network.state_dict().items())


def test_every_classifier_of_torchvision_builds_with_its_head_last() -> None:
    names = [name for name in list_models(module=torchvision.models) if not name.startswith(WITHOUT_META)]
    assert len(names) > 60
    with torch.device("meta"):
        heads = {name: model.outputs(model.build(name, 11)) for name in names}
    assert set(heads.values()) == {11}


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v3_small", "shufflenet_v2_x0_5", "squeezenet1_1"])
def test_weights_of_a_seed_are_torchvisions_with_dropout_and_without(name: str) -> None:
    states = []
    for make in (
        lambda: get_model(name, weights=None, num_classes=5),
        lambda: model.build(name, 5, "torchvision", 0.4),
    ):
        torch.manual_seed(3)
        states.append(make().state_dict())
    assert states[0].keys() == states[1].keys()
    assert all(torch.equal(value, states[1][key]) for key, value in states[0].items())


def test_the_network_without_dropout_is_torchvisions_own() -> None:
    network = model.build("efficientnet_b0", 5)
    assert network.classifier[0].p == 0.2
    assert not model.head(network)._forward_pre_hooks


@pytest.mark.parametrize("name", ["resnet18", "efficientnet_b0", "squeezenet1_1", "googlenet"])
def test_dropout_acts_once_and_only_in_training(name: str) -> None:
    network = model.build(name, 5, dropout=0.5)
    others = [layer for layer in network.modules() if isinstance(layer, nn.Dropout)]
    assert all(layer.p == 0 for layer in others)
    layer = model.head(network)
    ones = torch.ones(2, layer.weight.shape[1], *(1 for _ in layer.weight.shape[2:]))
    torch.manual_seed(0)
    dropped, again = layer.train()(ones), layer(ones)
    assert not torch.equal(dropped, again)
    assert torch.equal(layer.eval()(ones), layer.forward(ones))


def test_a_copy_has_dropout_of_its_own() -> None:
    """A moving average of the weights is one."""
    network = model.build("shufflenet_v2_x0_5", 3, dropout=0.9)
    copied = copy.deepcopy(network)
    network.eval()
    ones = torch.ones(1, 1024)
    assert not torch.equal(model.head(copied)(ones), model.head(network)(ones))
    assert torch.equal(model.head(copied.eval())(ones), model.head(network)(ones))


def test_a_network_of_nothing_to_end_with_is_refused() -> None:
    with pytest.raises(Refusal, match=re.escape("end it with nn.Linear")):
        model.head(nn.Sequential(nn.ReLU()))


@pytest.mark.parametrize("name", ["mnasnet0_5", "googlenet", "vit_b_32", "densenet121"])
def test_weights_return_from_their_file_bit_for_bit(tmp_path: Path, name: str) -> None:
    first, second = model.build(name, 3, dropout=0.2), model.build(name, 3)
    model.save_weights(first, tmp_path / "w.pt")
    model.load_weights(second, tmp_path / "w.pt")
    loaded = second.state_dict()
    assert all(torch.equal(value, loaded[key]) for key, value in first.state_dict().items())


class Evil:
    def __init__(self, owned: Path) -> None:
        self.owned = owned

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.owned),)


def hostile(folder: Path) -> dict[str, tuple[object, str]]:
    """What torch.save is given, and words of the refusal."""
    weight = torch.zeros(3)
    return {
        "code": ({"fc.weight": Evil(folder / "owned")}, "no readable weights"),
        "tensor": (weight, "holds a Tensor and no state dict"),
        "list": ([weight], "holds a list and no state dict"),
        "checkpoint": ({"model": {"fc.weight": weight}}, "model is no name of a plain tensor"),
        "numbered": ({1: weight}, "a int is no name of a plain tensor"),
        "number": ({"fc.weight": 3}, "fc.weight is no name of a plain tensor"),
        "sparse": ({"fc.weight": weight.to_sparse()}, "fc.weight is no name of a plain tensor"),
        "complex": ({"fc.weight": torch.zeros(3, dtype=torch.complex64)}, "fc.weight is no name of a plain tensor"),
        "nowhere": ({"fc.weight": torch.zeros(3, device="meta")}, "fc.weight is no name of a plain tensor"),
        "whole network": (nn.Linear(2, 2), "no readable weights"),
    }


@pytest.mark.parametrize("case", sorted(hostile(Path())))
@pytest.mark.parametrize("packed", [True, False], ids=["zip", "legacy"])
def test_a_file_of_anything_but_plain_tensors_is_refused(tmp_path: Path, case: str, packed: bool) -> None:
    content, words = hostile(tmp_path)[case]
    torch.save(content, tmp_path / "w.pt", _use_new_zipfile_serialization=packed)
    with pytest.raises(Refusal, match=words) as caught:
        model.read_state(tmp_path / "w.pt", "take another")
    assert str(tmp_path / "w.pt") in str(caught.value)
    assert str(caught.value).endswith("take another")
    assert not (tmp_path / "owned").exists()


def test_a_plain_pickle_that_would_run_code_is_refused(tmp_path: Path) -> None:
    (tmp_path / "w.pt").write_bytes(pickle.dumps({"fc.weight": Evil(tmp_path / "owned")}))
    with pytest.raises(Refusal, match="no readable weights") as caught:
        model.read_state(tmp_path / "w.pt", "take another")
    assert "weights_only" not in str(caught.value)
    assert not (tmp_path / "owned").exists()


def test_a_file_that_unpacks_to_more_than_it_is_is_refused(tmp_path: Path) -> None:
    torch.save({"fc.weight": torch.zeros(1_000_000)}, tmp_path / "w.pt")
    with zipfile.ZipFile(tmp_path / "w.pt") as plain, zipfile.ZipFile(tmp_path / "b.pt", "w", 8) as bomb:
        for entry in plain.namelist():
            bomb.writestr(entry, plain.read(entry))
    with pytest.raises(Refusal, match="entries are compressed"):
        model.read_state(tmp_path / "b.pt", "take another")


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refusal, match="No such file"):
        model.read_state(tmp_path / "w.pt", "take another")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[bytes]]:
    folder = tmp_path_factory.mktemp("files")
    state = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)).state_dict()
    torch.save(state, folder / "zip.pt")
    torch.save(state, folder / "legacy.pt", _use_new_zipfile_serialization=False)
    return folder / "w.pt", [(folder / "zip.pt").read_bytes(), (folder / "legacy.pt").read_bytes()]


@settings(max_examples=300, deadline=None)
@given(
    kind=st.integers(0, 1),
    cut=st.none() | st.integers(0, 4000),
    changes=st.lists(st.tuples(st.integers(0, 4000), st.integers(0, 255)), max_size=8),
)
def test_a_torn_or_forged_file_is_read_or_refused_and_nothing_else(
    files: tuple[Path, list[bytes]], kind: int, cut: int | None, changes: list[tuple[int, int]]
) -> None:
    path, contents = files
    content = bytearray(contents[kind])
    for place, value in changes:
        content[place % len(content)] = value
    path.write_bytes(content[:cut])
    try:
        state = model.read_state(path, "take another")
    except Refusal as refusal:
        assert str(path) in str(refusal)
    else:
        assert all(isinstance(tensor, torch.Tensor) for tensor in state.values())
