"""Figures of a classifier from labels and predictions, in the form that SageMaker's model quality reports have."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.int64]
BETAS = {"f0_5": 0.5, "f1": 1.0, "f2": 2.0}
# Model Monitor: deviation over five draws of 80%, from 200 samples on
# (docs.aws.amazon.com/sagemaker/latest/dg/model-monitor-model-quality-metrics.html).
DRAWS, SHARE, NEEDED = 5, 0.8, 200
Z95 = 1.959964


def confusion(labels: Numbers, predicted: Numbers, count: int) -> Numbers:
    """[actual, predicted] counts."""
    return np.bincount(labels * count + predicted, minlength=count * count).reshape(count, count)


def per_class(matrix: Numbers) -> dict[str, NDArray[np.float64]]:
    """Precision, recall and F by class; 0 where a class was never predicted, or has no picture."""
    right, predicted, actual = np.diag(matrix), matrix.sum(0), matrix.sum(1)
    precision, recall = _ratio(right, predicted), _ratio(right, actual)
    table = {"precision": precision, "recall": recall}
    for name, beta in BETAS.items():
        table[name] = _ratio((1 + beta**2) * precision * recall, beta**2 * precision + recall)
    return table


def scores(matrix: Numbers) -> dict[str, float]:
    """Accuracy, and each figure of `per_class` averaged over classes (macro) and over pictures (weighted)."""
    weights = matrix.sum(1) / matrix.sum()
    averaged = {"accuracy": float(np.trace(matrix) / matrix.sum())}
    for name, values in per_class(matrix).items():
        averaged[f"weighted_{name}"] = float(values @ weights)
        averaged[f"macro_{name}"] = float(values.mean())
    return averaged


def within(scores: NDArray[Any], labels: Numbers, most: int) -> int:
    """How many pictures have their label among the `most` highest of (n, classes); of equal ones the first counts."""
    best = np.argsort(-scores, axis=1, kind="stable")[:, :most]
    return int((best == labels[:, None]).any(1).sum())


def model_quality(labels: Numbers, predicted: Numbers, classes: tuple[str, ...]) -> dict[str, Any]:
    """The value of `multiclass_classification_metrics`: a confusion matrix, and {value, standard_deviation} each."""
    matrix = confusion(labels, predicted, len(classes))
    deviations = _deviations(labels, predicted, len(classes))
    rows = {
        actual: {name: int(count) for name, count in zip(classes, row, strict=True)}
        for actual, row in zip(classes, matrix, strict=True)
    }
    figures = {
        name: {"value": value, "standard_deviation": deviations.get(name, "NaN")}
        for name, value in scores(matrix).items()
    }
    return {"confusion_matrix": rows, **figures}


def wilson(right: int, count: int) -> tuple[float, float]:
    """95% interval of a share (Wilson, 1927): sensible at 0 and 1 too, where the normal approximation is not."""
    share = right / count
    middle = share + Z95**2 / (2 * count)
    reach = Z95 * math.sqrt(share * (1 - share) / count + Z95**2 / (4 * count**2))
    scale = 1 + Z95**2 / count
    return max(0.0, (middle - reach) / scale), min(1.0, (middle + reach) / scale)


def _deviations(labels: Numbers, predicted: Numbers, count: int) -> dict[str, float]:
    if len(labels) < NEEDED:
        return {}
    random = np.random.Generator(np.random.PCG64(0))
    draws = []
    for _ in range(DRAWS):
        chosen = random.choice(len(labels), size=int(SHARE * len(labels)), replace=False)
        draws.append(scores(confusion(labels[chosen], predicted[chosen], count)))
    return {name: float(np.std([draw[name] for draw in draws])) for name in draws[0]}


def _ratio(above: NDArray[Any], below: NDArray[Any]) -> NDArray[np.float64]:
    result = np.zeros(len(above))
    return np.divide(above, below, out=result, where=below > 0)
