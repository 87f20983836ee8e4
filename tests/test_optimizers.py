"""Optimisers take what is trained; a step clips, moves and forgets the gradient."""

from __future__ import annotations

from argparse import Namespace

import pytest
import torch
from torch import nn
from training import optimizers

ARGS = {"lr": 0.1, "momentum": 0.0, "weight_decay": 0.0, "optimizer": "sgd"}
SCALER = torch.amp.GradScaler("cpu", enabled=False)


def layer() -> nn.Linear:
    linear = nn.Linear(3, 2)
    nn.init.zeros_(linear.weight)
    nn.init.zeros_(linear.bias)
    return linear


def stepped(gradient: float, clip_norm: float, **args: object) -> nn.Linear:
    linear = layer()
    optimizer = optimizers.build(linear, Namespace(**{**ARGS, **args}))
    for parameter in linear.parameters():
        parameter.grad = torch.full_like(parameter, gradient)
    optimizers.step(optimizer, SCALER, clip_norm)
    return linear


@pytest.mark.parametrize(
    ("name", "kind"), [("sgd", torch.optim.SGD), ("adam", torch.optim.Adam), ("adamw", torch.optim.AdamW)]
)
def test_each_name_is_its_optimiser_with_the_values_given(name: str, kind: type) -> None:
    built = optimizers.build(layer(), Namespace(optimizer=name, lr=0.2, momentum=0.5, weight_decay=0.01))
    assert type(built) is kind
    assert (built.defaults["lr"], built.defaults["weight_decay"]) == (0.2, 0.01)
    assert built.defaults.get("momentum", 0.5) == 0.5


def test_decay_goes_through_the_gradient_in_adam_and_around_it_in_adamw() -> None:
    """Without gradient adam's step keeps its full length however small the decay; adamw only shrinks the weight."""
    moved = {}
    for name in ("adam", "adamw"):
        weight = nn.Parameter(torch.ones(1))
        wrapped = nn.ParameterList([weight])
        built = optimizers.build(wrapped, Namespace(optimizer=name, lr=0.1, momentum=0.0, weight_decay=0.01))
        weight.grad = torch.zeros(1)
        optimizers.step(built, SCALER, 0)
        moved[name] = 1 - weight.item()
    assert moved["adam"] == pytest.approx(0.1, rel=1e-3)
    assert moved["adamw"] == pytest.approx(0.001, rel=1e-3)


def test_frozen_weights_stay_out() -> None:
    linear = layer()
    linear.bias.requires_grad_(False)
    built = optimizers.build(linear, Namespace(**ARGS))
    assert [each is linear.weight for group in built.param_groups for each in group["params"]] == [True]


def test_clipping_shortens_the_whole_gradient_and_keeps_its_direction() -> None:
    linear = stepped(gradient=5.0, clip_norm=1.0)
    moved = torch.cat([parameter.detach().flatten() for parameter in linear.parameters()])
    assert moved.norm().item() == pytest.approx(0.1, rel=1e-4)
    assert torch.allclose(moved, moved[0].expand_as(moved))


@pytest.mark.parametrize("clip_norm", [0.0, 1.0])
def test_float16s_scaler_changes_neither_the_step_nor_the_clipping(clip_norm: float) -> None:
    linear, scaler = layer(), torch.amp.GradScaler("cpu", init_scale=1024.0)
    optimizer = optimizers.build(linear, Namespace(**ARGS))
    scaler.scale(5 * sum(parameter.sum() for parameter in linear.parameters())).backward()
    optimizers.step(optimizer, scaler, clip_norm)
    assert torch.allclose(linear.weight, stepped(5.0, clip_norm).weight, rtol=1e-5)


def test_a_gradient_beyond_float16_skips_the_step_and_lowers_the_scale() -> None:
    linear, scaler = layer(), torch.amp.GradScaler("cpu", init_scale=1024.0)
    optimizer = optimizers.build(linear, Namespace(**ARGS))
    scaler.scale(linear.weight.sum() * torch.inf).backward()
    optimizers.step(optimizer, scaler, 1.0)
    assert torch.equal(linear.weight, torch.zeros(2, 3))
    assert scaler.get_scale() == 512


@pytest.mark.parametrize("clip_norm", [0.0, 100.0])
def test_a_short_gradient_or_no_clipping_leaves_it_alone(clip_norm: float) -> None:
    assert torch.allclose(stepped(5.0, clip_norm).weight, torch.full((2, 3), -0.5))


def test_a_step_forgets_the_gradient() -> None:
    assert all(parameter.grad is None for parameter in stepped(1.0, 0).parameters())


def test_an_unknown_optimiser_is_an_error() -> None:
    with pytest.raises(ValueError, match="lion"):
        optimizers.build(layer(), Namespace(**{**ARGS, "optimizer": "lion"}))
