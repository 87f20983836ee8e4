"""What is frozen: blocks from the top cover every family, and a frozen layer changes in no way while training."""

from __future__ import annotations

import copy
import re

import model
import pytest
import torch
from refusal import Refusal
from torch import nn
from training import freezing

COUNTS = {
    "alexnet": 7,
    "convnext_tiny": 5,
    "densenet121": 5,
    "efficientnet_b0": 9,
    "efficientnet_v2_s": 8,
    "googlenet": 12,
    "inception_v3": 16,
    "maxvit_t": 6,
    "mnasnet0_5": 10,
    "mobilenet_v2": 19,
    "mobilenet_v3_small": 14,
    "regnet_x_400mf": 5,
    "resnet50": 5,
    "shufflenet_v2_x0_5": 5,
    "squeezenet1_0": 9,
    "swin_t": 5,
    "swin_v2_t": 5,
    "vgg11": 10,
    "vgg11_bn": 10,
    "vit_b_16": 13,
}
TOPS = {
    "convnext_tiny": "features.6+features.7+classifier.0",
    "densenet121": "features.transition3+features.denseblock4+features.norm5",
    "maxvit_t": "classifier.3",
    "resnet18": "layer4",
    "swin_t": "features.6+features.7+norm",
    "vit_b_32": "encoder.layers.encoder_layer_11+encoder.ln",
}


def on_meta(name: str) -> nn.Module:
    """No weights: only names and shapes count here. RegNet computes its widths with tensors."""
    if name.startswith("regnet"):
        return model.build(name, 3)
    with torch.device("meta"):
        return model.build(name, 3)


@pytest.mark.parametrize("name", COUNTS)
def test_head_and_blocks_hold_every_parameter_once(name: str) -> None:
    network = on_meta(name)
    blocks = freezing.blocks(network)
    held = [parameter for block in blocks for parameter in block.parameters] + [*model.head(network).parameters()]
    assert len(blocks) == COUNTS[name]
    assert sorted(map(id, held)) == sorted(map(id, network.parameters()))


@pytest.mark.parametrize("name", TOPS)
def test_the_top_block_has_its_downsampling_and_its_norm(name: str) -> None:
    assert freezing.blocks(on_meta(name))[0].name == TOPS[name]


def test_what_belongs_to_the_input_is_in_the_lowest_block() -> None:
    network = on_meta("vit_b_32")
    lowest = {id(parameter) for parameter in freezing.blocks(network)[-1].parameters}
    assert {id(network.class_token), id(network.encoder.pos_embedding), id(network.conv_proj.weight)} <= lowest
    assert freezing.blocks(on_meta("resnet18"))[-1].name == "conv1+bn1"


def trained(network: nn.Module) -> set[str]:
    return {name.partition(".")[0] for name, parameter in network.named_parameters() if parameter.requires_grad}


RESNET: list[tuple[str | int, set[str]]] = [
    (0, {"fc"}),
    (1, {"fc", "layer4"}),
    (2, {"fc", "layer4", "layer3"}),
    (4, {"fc", "layer4", "layer3", "layer2", "layer1"}),
    (5, {"fc", "layer4", "layer3", "layer2", "layer1", "conv1", "bn1"}),
    ("all", {"fc", "layer4", "layer3", "layer2", "layer1", "conv1", "bn1"}),
]


@pytest.mark.parametrize(("layers", "names"), RESNET)
def test_so_many_blocks_from_the_top_are_trained(layers: str | int, names: set[str]) -> None:
    network = model.build("resnet18", 3)
    count = freezing.freeze(network, layers)
    assert trained(network) == names
    assert count == sum(each.numel() for each in network.parameters() if each.requires_grad)


@pytest.mark.parametrize("layers", [6, -1, "5", "half", True, 1.0])
def test_a_number_that_is_none_of_blocks_is_refused_with_their_names(layers: str | int) -> None:
    with pytest.raises(Refusal, match=re.escape("5 blocks below its head (layer4, layer3, layer2, layer1, …")):
        freezing.freeze(model.build("resnet18", 3), layers)


def one_step(network: nn.Module, side: int = 32) -> None:
    freezing.train_mode(network)
    optimizer = torch.optim.SGD([each for each in network.parameters() if each.requires_grad], lr=0.1)
    network(torch.randn(4, 3, side, side)).square().sum().backward()
    optimizer.step()


@pytest.mark.parametrize("name", ["resnet18", "densenet121", "mobilenet_v3_small", "shufflenet_v2_x0_5"])
def test_a_step_leaves_what_is_frozen_as_it_was_statistics_included(name: str) -> None:
    network = model.build(name, 3)
    freezing.freeze(network, 1)
    frozen = {key for key, each in network.named_parameters() if not each.requires_grad}
    layers = {key.rpartition(".")[0] for key in frozen}
    before = copy.deepcopy(network.state_dict())
    one_step(network)
    changed = {key for key, value in network.state_dict().items() if not torch.equal(value, before[key])}
    assert changed
    assert not {key for key in changed if key.rpartition(".")[0] in layers}
    assert any(key.endswith("running_mean") for key in changed) == (name != "mobilenet_v3_small")


def test_nothing_frozen_is_training_as_torch_has_it() -> None:
    for name in ("resnet18", "efficientnet_b0", "swin_t"):
        network = on_meta(name)
        network.eval()
        freezing.train_mode(network)
        assert all(module.training for module in network.modules())


@pytest.mark.parametrize(("name", "side"), [("efficientnet_b0", 32), ("swin_t", 32), ("vgg11_bn", 32)])
def test_a_frozen_trunk_gives_the_same_features_each_time(name: str, side: int) -> None:
    """Its own dropout and stochastic depth are off; only the head's dropout is left."""
    network = model.build(name, 3)
    freezing.freeze(network, 0)
    freezing.train_mode(network)
    seen: list[torch.Tensor] = []
    model.head(network).register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].detach()))
    pictures = torch.randn(2, 3, side, side)
    network(pictures)
    network(pictures)
    assert torch.equal(seen[0], seen[1])
    assert model.head(network).training


def test_norms_without_weights_go_with_the_layer_before_them() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, affine=False), nn.Flatten(), nn.Linear(4 * 900, 2))
    freezing.freeze(network, 0)
    freezing.train_mode(network)
    assert [layer.training for layer in network] == [False, False, False, True]
    freezing.freeze(network.requires_grad_(True), 1)
    freezing.train_mode(network)
    assert all(layer.training for layer in network)


class Wrapped(nn.Module):
    """A network of one's own around another's, with weights used twice."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 4, 3))
        self.backbone.append(self.backbone[3])
        self.scale = nn.Parameter(torch.ones(1))
        self.out = nn.Linear(4, 2)


def test_a_single_trunk_is_opened_and_shared_weights_count_once() -> None:
    network = Wrapped()
    assert [block.name for block in freezing.blocks(network)] == ["backbone.3", "backbone.0+backbone.1+embedding"]
    assert freezing.freeze(network, 1) == 4 * 4 * 9 + 4 + 4 * 2 + 2


def test_blocks_of_norm_and_linear_are_blocks_each() -> None:
    def part() -> nn.Module:
        return nn.Sequential(nn.LayerNorm(4), nn.Linear(4, 4))

    network = nn.Sequential(part(), part(), part(), nn.Linear(4, 2))
    assert [block.name for block in freezing.blocks(network)] == ["2", "1", "0"]


def test_a_lone_linear_layer_has_no_blocks() -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(12, 2))
    assert freezing.blocks(network) == []
    assert freezing.freeze(network, 0) == 26
