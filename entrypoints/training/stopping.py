"""Early stopping: the best epoch's weights, and when to give up waiting for better ones."""

from __future__ import annotations

import math
from typing import Any

from torch import Tensor, nn


class Best:
    """With patience 0 training never stops early, and the last epoch counts as the best one."""

    def __init__(self, patience: int) -> None:
        self.patience = patience
        self.epoch = 0
        self.loss = math.inf
        self.weights: dict[str, Tensor] = {}

    def stops(self, epoch: int, loss: float, network: nn.Module) -> bool:
        """After each epoch; `loss` is the validation loss, and equal is no improvement."""
        if not self.patience:
            self.epoch = epoch
            return False
        if loss < self.loss:
            self.epoch, self.loss = epoch, loss
            self.weights = {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}
        return epoch - self.epoch >= self.patience

    def restore(self, network: nn.Module) -> int:
        """Number of the epoch whose weights the network has now."""
        if self.weights:
            network.load_state_dict(self.weights)
        return self.epoch

    def state_dict(self) -> dict[str, Any]:
        return {"epoch": self.epoch, "loss": self.loss, "weights": self.weights}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.epoch, self.loss, self.weights = state["epoch"], state["loss"], state["weights"]
