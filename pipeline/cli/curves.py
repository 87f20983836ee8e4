"""Learning curves on a terminal: loss and accuracy of a training, beside each other where there is room."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from typing import Any

from pipeline.cli.plots import BRAILLE, PLAIN, plot
from pipeline.cli.text import Span, on_one_line
from pipeline.report.charts import Series, number

BESIDE = 72  # columns from which on two plots stand side by side
WIDEST = 64  # characters of one plot: of a wider one the eye sees no more
GAP = 3
# what train.py says of an epoch, and which of its values is the best one
BEST = (("validation_accuracy", max), ("validation_loss", min))


def drawn(step: str, epochs: list[dict[str, Any]], width: int, unicode: bool) -> Iterator[list[Span]]:
    """`epochs`: as in report/training.json. Nothing where no value is finite."""
    pen = BRAILLE if unicode else PLAIN
    loss = [_series(epochs, "validation_loss", "validation"), _series(epochs, "train_loss", "training")]
    accuracy = [_series(epochs, "validation_accuracy", "validation")]
    beside = width >= BESIDE
    each = min(WIDEST, (width - GAP) // 2 if beside else width)
    plots = [plot(title, lines, each, pen) for title, lines in (("loss", loss), ("accuracy", accuracy))]
    if not any(plots):
        return
    for line in textwrap.wrap(f"{on_one_line(step)}: {_best(epochs)}", width, break_on_hyphens=False):
        yield [(line, "")]
    if beside and all(plots):
        for left, right in zip(*plots, strict=True):
            blank = " " * (each + GAP - sum(len(text) for text, _ in left))
            yield [*left, (blank, ""), *right]
    else:
        for rows in plots:
            yield from rows


def _series(epochs: list[dict[str, Any]], member: str, name: str) -> Series:
    return Series(name, [(row["epoch"], row[member]) for row in epochs if member in row])


def _best(epochs: list[dict[str, Any]]) -> str:
    """Best validation_accuracy 0.9405 in epoch 9 of 30, validation_loss 0.8015 in 11."""
    parts = []
    for name, pick in BEST:
        told = [(row[name], row["epoch"]) for row in epochs if name in row and row[name] == row[name]]
        if told:
            value = pick(value for value, _ in told)
            epoch = next(epoch for each, epoch in told if each == value)
            parts.append((f"{name} {number(value)}", number(epoch)))
    last = number(epochs[-1]["epoch"])
    if not parts:
        return f"{last} epochs"
    (first, epoch), *others = parts
    return ", ".join([f"best {first} in epoch {epoch} of {last}", *(f"{what} in {when}" for what, when in others)])
