"""What TuneModel can search: names that train.py is told and that make a better or a worse model."""

from __future__ import annotations

from functools import cache
from typing import Any

from pipeline.config.hyperparameters import Hyperparameters
from pipeline.config.section import Section
from pipeline.config.training import ModelSection

_NO_QUALITIES = ("seed", "precision", "sync_batch_norm")
# Name → the section that says what is allowed.
TUNABLE: dict[str, type[Section]] = {
    **{name: Hyperparameters for name in Hyperparameters.model_fields if name not in _NO_QUALITIES},
    "dropout": ModelSection,
    "trainable_layers": ModelSection,
}


def is_choice(name: str) -> bool:
    """Words, such as those of `optimizer`, that no interval can hold."""
    return "enum" in _node(name)


def is_whole(name: str) -> bool:
    """Whole numbers, be it beside words: trainable_layers may be `all`."""
    node = _node(name)
    kinds = {part.get("type") for part in node.get("anyOf", [node])}
    return "integer" in kinds


@cache
def _node(name: str) -> dict[str, Any]:
    found: dict[str, Any] = TUNABLE[name].model_json_schema()["properties"][name]
    return found
