"""One step before the first one: what a network cannot do is said before anything is computed."""

from __future__ import annotations

import argparse
from pathlib import Path

import custom
import torch
from data import Split
from refusal import Refusal
from torch import Tensor, nn
from torch.func import functional_call

from training import freezing
from training.distributed import World


def rehearse(
    args: argparse.Namespace, network: nn.Module, training: Split, autocast: torch.autocast, world: World
) -> None:
    """Somebody's own network learns from two blank pictures, in the job's precision and on its device; any network from
    one, where a process is given no more. Changes neither weights nor statistics nor random states.
    """
    side, batch = training.image_size, min(args.batch_size, len(training))
    if args.model_file:
        with custom.blaming(Path(args.model_file), f"a step of training with precision {args.precision} failed"):
            idle = stepped(network, side, 2, autocast)
        world.refuse_idle(idle)
    if batch < 2 * world.size and not args.sync_batch_norm:
        _refuse_single(network, side, batch, autocast, world)


def stepped(network: nn.Module, side: int, count: int, autocast: torch.autocast) -> list[str]:
    """Names of the trained parameters that scores do not depend on."""
    where = next(network.parameters()).device
    pictures = torch.zeros(count, 3, side, side, device=where).to(memory_format=torch.channels_last)
    buffers = {name: buffer.clone() for name, buffer in network.named_buffers()}
    trained = {name: each for name, each in network.named_parameters() if each.requires_grad}
    was = network.training
    with torch.random.fork_rng([where] if where.type == "cuda" else []):
        freezing.train_mode(network)
        with autocast:
            scores: Tensor = functional_call(network, buffers, (pictures,))
        gradients = torch.autograd.grad(scores.float().sum(), list(trained.values()), allow_unused=True)
        with autocast, torch.no_grad():  # last, as what a network keeps of a forward pass is then part of no graph
            functional_call(network.eval(), buffers, (pictures,))
    network.train(was)
    return [name for name, gradient in zip(trained, gradients, strict=True) if gradient is None]


def _refuse_single(network: nn.Module, side: int, batch: int, autocast: torch.autocast, world: World) -> None:
    try:
        stepped(network, side, 1, autocast)
    except ValueError as error:  # of batch norm
        raise Refusal(
            f"batches of {batch} leave a process one picture, and at {side} px the network cannot learn from one "
            f"({error}): raise batch_size (and its range in tuning) to {2 * world.size} or more"
        ) from None
