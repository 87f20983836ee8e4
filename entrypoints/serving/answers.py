"""Probabilities as an answer's body: JSON, JSON Lines, CSV or .npy."""

from __future__ import annotations

import csv
import io
import json
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

JSON, LINES, CSV, NPY = "application/json", "application/jsonlines", "text/csv", "application/x-npy"
TYPES = (JSON, LINES, CSV, NPY)  # the first is what who asks for nothing gets


class Predictions(NamedTuple):
    """What the model makes of n pictures: (n, classes) calibrated probabilities, and how they are told."""

    rows: NDArray[np.float32]
    classes: tuple[str, ...]
    top: int
    unsure_below: float


def body(predictions: Predictions, kind: str) -> bytes:
    """`kind`: one of TYPES."""
    match kind:
        case "application/json":
            return _dumped({"predictions": entries(predictions)})
        case "application/jsonlines":
            return b"".join(_dumped(entry) + b"\n" for entry in entries(predictions))
        case "text/csv":
            return _table(entries(predictions))
        case "application/x-npy":
            file = io.BytesIO()
            np.save(file, np.ascontiguousarray(predictions.rows, dtype=np.float32), allow_pickle=False)
            return file.getvalue()
        case _:
            raise ValueError(f"{kind!r} is none of {', '.join(TYPES)}")


def entries(predictions: Predictions) -> list[dict[str, Any]]:
    """One for each picture: class, probability, unsure, and the `top` most probable classes."""
    return [_entry(row, predictions) for row in predictions.rows]


def _entry(row: NDArray[np.float32], about: Predictions) -> dict[str, Any]:
    best = np.argsort(-row, kind="stable")[: about.top]
    top = [{"class": about.classes[index], "probability": round(float(row[index]), 6)} for index in best]
    return {**top[0], "unsure": bool(row[best[0]] < about.unsure_below), "top": top}


def _dumped(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, allow_nan=False).encode(errors="replace")


def _table(rows: list[dict[str, Any]]) -> bytes:
    """class,probability,unsure: a line for each picture, and no line of names, as CSV is in SageMaker."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerows((row["class"], f"{row['probability']:.6f}", str(row["unsure"]).lower()) for row in rows)
    return file.getvalue().encode(errors="replace")
