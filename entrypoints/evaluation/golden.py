"""A few test pictures with what the model said of them: whoever deploys it asks the endpoint about the same."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import images
import jsonfile
import numpy as np
from data import Split
from numpy.typing import NDArray

FILE = "golden.json"
CLASSES = 5  # a picture of each, at most
CLEAR = 0.05  # between the first and the second class: another machine's rounding must not change their order


def write(folder: Path, test: Split, chances: NDArray[np.float32]) -> None:
    """`chances`: (pictures, classes). The pictures are whole stored squares, so the endpoint cuts what was judged."""
    rows = [_row(test, chances, index) for index in chosen(chances)]
    jsonfile.write(folder / FILE, {"version": 0, "pictures": rows})


def chosen(chances: NDArray[np.float32]) -> list[int]:
    """Of the classes that the model found, the picture of middling certainty: at 1.0 many a wrong model agrees."""
    top, ordered = chances.argmax(1), np.sort(chances, axis=1)
    clear = ordered[:, -1] - ordered[:, -2] >= CLEAR
    found: list[int] = []
    for label in np.unique(top[clear])[:CLASSES]:
        candidates = np.flatnonzero(clear & (top == label))
        by_certainty = candidates[np.argsort(chances[candidates, label], kind="stable")]
        found.append(int(by_certainty[len(by_certainty) // 2]))
    return found or [int((ordered[:, -1] - ordered[:, -2]).argmax())]


def _row(test: Split, chances: NDArray[np.float32], index: int) -> dict[str, Any]:
    label = int(chances[index].argmax())
    return {
        "name": test.names[index],
        "content_type": "image/png",
        "body": base64.b64encode(images.png(test.take(np.array([index]))[0])).decode("ascii"),
        "class": test.classes[label],
        "probability": round(float(chances[index, label]), 6),
    }
