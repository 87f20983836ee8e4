"""The confusion matrix, whose cells lead to the very pictures that they count, and the errors that were surest."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pipeline.report.collect import Run
from pipeline.report.sections import CONFUSION, fits

LARGEST_MATRIX = 150  # classes; of more, those with most errors: a million cells are no picture of anything
DENSE = 25  # classes from which on cells are small
CONFUSIONS = 12  # in the list; the rest of it is folded
MOST_CHARACTERS = 1_600_000  # of all pictures of errors with their words; ours leave no more, others' jobs may
PICTURES = ("png", "jpeg", "gradcam")
BASE64 = re.compile("[A-Za-z0-9+/]+={0,2}")


@dataclass(frozen=True)
class Cell:
    """So many pictures of class `actual` were taken for `predicted`; both are places in the list of classes."""

    actual: int
    predicted: int
    count: int
    pictures: tuple[dict[str, Any], ...]

    @property
    def name(self) -> str:
        """The id of its pictures in the page; empty for a cell without any."""
        return f"e{self.actual}-{self.predicted}" if self.pictures else ""


def view(run: Run) -> dict[str, Any]:
    """Empty where nothing was evaluated, or by a job of somebody else."""
    matrix = _matrix(run)
    if not matrix:
        return {}
    classes = list(matrix)
    section = run.sections.get("evaluation", {})
    worst, room = within(section.get("worst", []), MOST_CHARACTERS)
    shown, _ = within((section.get("errors") or {}).get("pictures", []), room)
    counts = [[int(matrix[actual].get(predicted, 0)) for predicted in classes] for actual in classes]
    cells = sorted(_cells(counts, classes, shown), key=lambda cell: (-cell.count, cell.actual, cell.predicted))
    chosen = _chosen(counts)
    names: dict[int, dict[int, str]] = {}
    for cell in cells:
        names.setdefault(cell.actual, {})[cell.predicted] = cell.name
    return {
        "classes": classes,
        "rows": [_row(counts[number], classes, number, chosen, names.get(number, {})) for number in chosen],
        "chosen": [classes[number] for number in chosen],
        "dense": len(chosen) > DENSE,
        "first": cells[:CONFUSIONS],
        "more": cells[CONFUSIONS:],
        "with_pictures": [cell for cell in cells if cell.pictures],
        "wrong": sum(cell.count for cell in cells),
        "shown": sum(len(cell.pictures) for cell in cells),
        "worst": worst,
    }


def _matrix(run: Run) -> dict[str, dict[str, int]]:
    """SageMaker's own: actual class → predicted class → count."""
    metrics = run.evaluation.get("multiclass_classification_metrics")
    matrix = metrics.get("confusion_matrix") if isinstance(metrics, dict) else None
    return matrix if matrix and fits(matrix, CONFUSION) else {}


def within(rows: list[dict[str, Any]], room: int) -> tuple[list[dict[str, Any]], int]:
    """Those that have a picture, as long as there is room; and how much of it is left."""
    kept = []
    for row in rows:
        pictures = [row[kind] for kind in PICTURES if kind in row]
        size = sum(len(each) for each in row.values() if isinstance(each, str))
        if ("png" in row or "jpeg" in row) and size <= room and all(map(BASE64.fullmatch, pictures)):
            room -= size
            kept.append(row)
    return kept, room


def _cells(counts: list[list[int]], classes: list[str], shown: list[dict[str, Any]]) -> Iterator[Cell]:
    """Of every confusion that happened."""
    pictures: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in shown:
        pictures.setdefault((row["actual"], row["predicted"]), []).append(row)
    for actual, row_counts in enumerate(counts):
        for predicted, count in enumerate(row_counts):
            if count and actual != predicted:
                held = pictures.get((classes[actual], classes[predicted]), [])
                yield Cell(actual, predicted, count, tuple(held[:count]))


def _chosen(counts: list[list[int]]) -> list[int]:
    """Places of the classes that the matrix has, in their own order."""
    if len(counts) <= LARGEST_MATRIX:
        return list(range(len(counts)))
    wrong = [sum(row) - row[number] for number, row in enumerate(counts)]
    return sorted(sorted(range(len(counts)), key=lambda number: -wrong[number])[:LARGEST_MATRIX])


def _row(
    counts: list[int], classes: list[str], number: int, chosen: list[int], names: dict[int, str]
) -> dict[str, Any]:
    """Of the class at this place; `names`: ids of its cells that have any."""
    whole = sum(counts)
    return {
        "class": classes[number],
        "error": f"{1 - counts[number] / whole:.6f}" if whole else "0",
        "wrong": whole - counts[number],
        "cells": [
            {
                "count": counts[other],
                "share": f"{counts[other] / (whole or 1):.3f}",
                "name": names.get(other, ""),
                "class": classes[other],
                "right": number == other,
            }
            for other in chosen
        ],
    }
