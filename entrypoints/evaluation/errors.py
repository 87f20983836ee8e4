"""Pictures of the errors: the surest ones with their Grad-CAM, and small ones for the cells of the confusion matrix."""

from __future__ import annotations

import base64
import json
from collections import Counter
from typing import Any, NamedTuple

import images
import inference
import numpy as np
from data import Split
from numpy.typing import NDArray

from evaluation import gradcam

WORST = 24  # errors shown large
SHOWN_SIZE, SMALL_SIZE = 96, 64  # pixels at most: the report inlines them
EXACT_SIZE = 32  # up to here a PNG, which is as small as a JPEG
QUALITY = 75
ROOM = 1_000_000  # characters of all small pictures, each with its words: about 450 of 64 pixels; the report is mailed


class Answers(NamedTuple):
    """What the model said of a split: probabilities (n, classes), and the label of the highest output."""

    split: Split
    chances: NDArray[np.floating[Any]]
    predicted: NDArray[np.int64]

    def surest(self) -> list[int]:
        """Indices of the errors, the surest first."""
        wrong = np.flatnonzero(self.predicted != self.split.labels)
        return [int(each) for each in wrong[np.argsort(-self.chances[wrong, self.predicted[wrong]], kind="stable")]]

    def told(self, index: int) -> dict[str, Any]:
        predicted = self.predicted[index]
        return {
            "name": self.split.names[index],
            "actual": self.split.classes[self.split.labels[index]],
            "predicted": self.split.classes[predicted],
            "probability": round(float(self.chances[index, predicted]), 6),
        }

    def picture(self, index: int) -> NDArray[np.uint8]:
        return self.split.centred(index, index + 1)[0]


def answers(predictor: inference.Predictor, split: Split, scores: NDArray[np.float32]) -> Answers:
    return Answers(split, inference.chances(scores, predictor.temperature), scores.argmax(1))


def worst(predictor: inference.Predictor, said: Answers) -> dict[str, Any]:
    """The errors that the model was surest of, each with its picture and, where there is one, its Grad-CAM."""
    surest = said.surest()[:WORST]
    pictures = [said.picture(index) for index in surest]
    found = None
    if pictures:
        found = gradcam.maps(predictor.network, inference.inputs(predictor, np.stack(pictures)), said.predicted[surest])
    rows = []
    for place, (index, pixels) in enumerate(zip(surest, pictures, strict=True)):
        cells = found.cells[place] if found else None
        small = _squared(pixels, SHOWN_SIZE)
        rows.append(
            {
                **said.told(index),
                "probability_of_actual": round(float(said.chances[index, said.split.labels[index]]), 6),
                **_encoded(small),
                **({} if cells is None else {"gradcam": _text(gradcam.overlay(small, cells))}),
            }
        )
    size = found.size if found else None
    return {"worst": rows, **({"gradcam": {"layer": found.layer, "size": size}} if found and size else {})}


def by_cell(said: Answers, room: int = ROOM) -> dict[str, Any]:
    """A small picture of each error until `room` characters are full: first the surest of every cell, then the next.

    `left_out`: how many there was no room for.
    """
    order = _taking_turns(said)
    rows: list[dict[str, Any]] = []
    for index in order:
        row = {**said.told(index), **_encoded(_squared(said.picture(index), SMALL_SIZE))}
        room -= len(json.dumps(row))
        if room < 0:
            break
        rows.append(row)
    return {"errors": {"pictures": rows, "left_out": len(order) - len(rows)}}


def _taking_turns(said: Answers) -> list[int]:
    """Errors so that every cell of the confusion matrix comes once before any comes twice."""
    seen: Counter[tuple[int, int]] = Counter()
    turns = []
    for rank, index in enumerate(said.surest()):
        cell = int(said.split.labels[index]), int(said.predicted[index])
        turns.append((seen[cell], rank, index))
        seen[cell] += 1
    return [index for _, _, index in sorted(turns)]


def _squared(pixels: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    return images.squared(pixels, min(size, len(pixels)))


def _encoded(pixels: NDArray[np.uint8]) -> dict[str, str]:
    """{"png": base64} or {"jpeg": base64}."""
    return {"png" if len(pixels) <= EXACT_SIZE else "jpeg": _text(pixels)}


def _text(pixels: NDArray[np.uint8]) -> str:
    content = images.png(pixels) if len(pixels) <= EXACT_SIZE else images.jpeg(pixels, QUALITY)
    return base64.b64encode(content).decode("ascii")
