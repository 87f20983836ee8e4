"""A moving average of the weights: what is judged and kept in place of the last step's."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import nn


class Average:
    """With decay 0 it is the network itself, and costs nothing."""

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.decay = decay
        self.network = copy.deepcopy(network).requires_grad_(False) if decay else network
        self.updates = 0

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        """After each step. The first ones forget faster, or the random start would stay in a short training.

        Batch norm's statistics are averaged alike; whole numbers, such as its count of batches, are copied.
        """
        if not self.decay:
            return
        self.updates += 1
        weight = 1 - min(self.decay, (1 + self.updates) / (10 + self.updates))
        own = self.network.state_dict(keep_vars=True)
        for name, latest in network.state_dict(keep_vars=True).items():
            if latest.is_floating_point():
                own[name].lerp_(latest.to(own[name].dtype), weight)
            else:
                own[name].copy_(latest)

    def state_dict(self) -> dict[str, Any]:
        return {"updates": self.updates, "weights": self.network.state_dict()} if self.decay else {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if self.decay:
            self.updates = state["updates"]
            self.network.load_state_dict(state["weights"])
