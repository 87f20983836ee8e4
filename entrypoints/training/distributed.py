"""The processes of a training: one, or a group of which each learns from its own part of every batch."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from refusal import Refusal
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from training.interruption import Interrupted
from training.watch import Watch

# Longest wait of a process for another one. A process that ends is noticed at once; this is for one that hangs, or a
# network that swallows what it is given. One writes checkpoints and packs the model while the others wait.
LONGEST = timedelta(minutes=10)
IDLE = "find_unused_parameters"  # what DDP names where a parameter had no gradient in a step
UNUSED = (
    "a step used a part only of what is trained, and several processes wait for the gradients of all of it: let every "
    "step use the whole network, or train in one process"
)
# What torch says when the other end of a connection is gone (gloo's errors are plain RuntimeErrors).
CONNECTION = ("gloo", "Connection closed", "Connection reset", "Broken pipe", "NCCL", "Socket", "Timed out waiting")


class World:
    """One process, which does everything itself: no call here costs or changes anything."""

    rank, size = 0, 1

    @property
    def first(self) -> bool:
        """Is it the one that writes?"""
        return self.rank == 0

    def own(self, count: int) -> slice:
        """Its part of `count` things in order; the parts of all ranks are the whole, and differ by one at most."""
        return slice(self.rank * count // self.size, (self.rank + 1) * count // self.size)

    def draw_apart(self, seed: int) -> None:
        """Dropout differs from rank to rank; weights are drawn before, equally."""

    def refuse_thin(self, batch: int) -> None:
        """Each rank needs a picture of each batch."""

    def refuse_idle(self, names: list[str]) -> None:
        """Ranks wait for the gradients of all trained parameters: `names` are those that never have one."""

    def learning(self, network: nn.Module, sync_batch_norm: bool) -> nn.Module:
        """What to call for the scores that are learnt from."""
        return network

    def sync(self, learning: nn.Module, wanted: bool) -> None:
        """Before a forward pass: are its gradients to be summed over all ranks? Those that accumulate are not."""

    def loss(self, own: Tensor, labels: Tensor, balance: Tensor | None) -> tuple[Tensor, Tensor]:
        """Of the mean over its part of a batch: what to learn from, and the mean over the whole batch."""
        return own, own.detach()

    def alike(self, network: nn.Module) -> None:
        """Statistics of batch norm become the first rank's, as each has seen its own pictures."""

    def summed(self, *values: float) -> tuple[float, ...]:
        return values

    def gathered(self, values: list[Any]) -> list[Any]:
        """The lists of all ranks, one after the other."""
        return values

    def agreed(self, ask: Callable[[], Any]) -> Any:
        """The first rank's answer, for all."""
        return ask()


class Group(World):
    """A rank of several, as torchrun's variables number them."""

    def __init__(self, env: Mapping[str, str], device: torch.device, note: Path | None) -> None:
        self.rank, self.size = int(env["RANK"]), int(env["WORLD_SIZE"])
        self.device = device
        if env.get("SM_NETWORK_INTERFACE_NAME"):  # gloo would take the one that the host's own name leads to
            os.environ.setdefault("GLOO_SOCKET_IFNAME", env["SM_NETWORK_INTERFACE_NAME"])
        try:
            dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=LONGEST)
            self.watch = Watch(env, self.gathered([env.get("SM_CURRENT_HOST") or os.uname().nodename]), note)
        except RuntimeError as error:
            raise Refusal(f"process {self.rank} of {self.size} did not find the others: {first_line(error)}") from error

    def draw_apart(self, seed: int) -> None:
        if not self.first:
            torch.manual_seed(seed + self.rank)

    def refuse_thin(self, batch: int) -> None:
        if batch < self.size:
            raise Refusal(
                f"{self.size} processes cannot share batches of {batch}: raise batch_size (and its range in tuning) to "
                f"{self.size} or more, or take fewer instances"
            )

    def refuse_idle(self, names: list[str]) -> None:
        if names:
            raise Refusal(
                f"{', '.join(names[:5])}: the scores do not depend on them, and {self.size} processes wait for the "
                "gradients of all that is trained: take them out of the network, or train in one process"
            )

    def learning(self, network: nn.Module, sync_batch_norm: bool) -> nn.Module:
        """The first rank's statistics of batch norm are everybody's after each forward pass, and what is kept."""
        if sync_batch_norm and self.device.type == "cpu":
            raise Refusal("sync_batch_norm needs GPUs, and these hosts have none: set sync_batch_norm to false")
        if sync_batch_norm:
            network = nn.SyncBatchNorm.convert_sync_batchnorm(network)
        return DistributedDataParallel(network, device_ids=[self.device.index] if self.device.type == "cuda" else None)

    def sync(self, learning: nn.Module, wanted: bool) -> None:
        learning.require_backward_grad_sync = wanted  # type: ignore[assignment]  # all that DDP's no_sync() does

    def loss(self, own: Tensor, labels: Tensor, balance: Tensor | None) -> tuple[Tensor, Tensor]:
        """DDP takes the mean of all gradients: a part that weighs less than others has to say less."""
        weight = own.new_tensor(len(labels)) if balance is None else balance[labels].sum()
        sums = torch.stack([weight, own.detach() * weight])
        dist.all_reduce(sums)
        return own * (weight * self.size / sums[0]), sums[1] / sums[0]

    def alike(self, network: nn.Module) -> None:
        for buffer in network.buffers():
            dist.broadcast(buffer, 0)

    def summed(self, *values: float) -> tuple[float, ...]:
        """The first rank's sums, to the last bit: what is decided by them is decided equally."""
        sums = torch.tensor(values, dtype=torch.float64, device=self.device)
        dist.all_reduce(sums)
        dist.broadcast(sums, 0)
        return tuple(sums.tolist())

    def gathered(self, values: list[Any]) -> list[Any]:
        lists: list[Any] = [None] * self.size
        dist.all_gather_object(lists, values)
        return [value for part in lists for value in part]

    def agreed(self, ask: Callable[[], Any]) -> Any:
        answer = [ask() if self.first else None]
        dist.broadcast_object_list(answer, 0, device=self.device)
        return answer[0]

    def leave(self) -> None:
        """After the last step: nobody leaves before the model is saved, so that all of them know how it went."""
        self.watch.leaving()
        dist.barrier()
        self.watch.end()
        dist.destroy_process_group()


ALONE = World()


@contextlib.contextmanager
def joined(env: Mapping[str, str], device: torch.device, note: Path | None) -> Iterator[World]:
    """The world that torchrun's variables tell of. When one rank ends before its time, all end, and say why."""
    if int(env.get("WORLD_SIZE") or 1) == 1:
        yield ALONE
        return
    group = Group(env, device, note)
    try:
        yield group
        group.leave()
    except RuntimeError as error:
        if IDLE in str(error):
            group.watch.tell(UNUSED)
            raise Refusal(UNUSED) from error
        if isinstance(error, dist.DistError) or any(word in str(error) for word in CONNECTION):
            raise Refusal(group.watch.why(first_line(error))) from error
        group.watch.tell(f"{type(error).__name__}: {first_line(error)}")
        raise
    except Interrupted:
        raise  # the others were sent a signal as well; nobody is to end the first one before it has judged its tables
    except BaseException as error:
        group.watch.tell(str(error) or type(error).__name__)
        raise


def first_line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0][:300]
