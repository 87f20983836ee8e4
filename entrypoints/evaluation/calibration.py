"""Whether "90 % sure" is right nine times out of ten: calibration error, and the one number that mends much of it."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

BINS = 15  # as Guo et al. (2017)
PER_BIN = 20  # pictures at least, else a bin's accuracy is noise: few pictures make fewer bins
LOWEST, HIGHEST = 0.05, 20.0  # of a temperature
STEPS = 60  # bisection alone would need 45 for 1e-12; Newton's steps take about 6
ROWS = 4096  # at a time: 1,000 classes of it are 33 MB


class Bin(NamedTuple):
    """Pictures of similar confidence."""

    count: int
    confidence: float  # mean
    accuracy: float


def temperature(logits: ArrayLike, labels: ArrayLike) -> float:
    """What logits (n, classes) have to be divided by for probabilities to hold, on pictures that nobody trained on.

    Guo et al., "On Calibration of Modern Neural Networks" (ICML 2017): the loss of softmax(logits / T) is least. In
    1 / T that loss is convex, so its slope has one zero: Newton's steps between closing brackets. Targets are Platt's
    (1999), one uncertain picture beside the n that are known: where every one is right, "always sure" is not the
    answer. Raises ValueError for logits that are not finite.
    """
    scores, truth = np.asarray(logits), np.asarray(labels).astype(np.int64)
    if scores.ndim != 2 or truth.shape != (len(scores),):
        raise ValueError(f"logits of shape {scores.shape} for labels of shape {truth.shape}")
    if not np.isfinite(scores).all():
        raise ValueError("logits that are not finite have no temperature")
    if not len(scores):
        return 1.0
    low, high, factor = 1 / HIGHEST, 1 / LOWEST, 1.0
    for _ in range(STEPS):
        slope, curvature = _slope(scores, truth, factor)
        if curvature <= 0 and slope == 0:  # all classes alike: no factor changes anything
            return 1.0
        low, high = (factor, high) if slope < 0 else (low, factor)
        newton = factor - slope / curvature if curvature > 0 else math.inf
        following = newton if low < newton < high else math.sqrt(low * high)
        if abs(following - factor) <= 1e-9 * factor:
            break
        factor = following
    return round(1 / factor, 6)


def _slope(scores: NDArray[Any], truth: NDArray[np.int64], factor: float) -> tuple[float, float]:
    """First and second derivative of the mean loss by the factor: E[z] - z of the target, and the variance of z."""
    uncertain = 1 / (len(scores) + 2)
    slope = curvature = 0.0
    for start in range(0, len(scores), ROWS):
        part = scores[start : start + ROWS].astype(np.float64)
        part -= part.max(1, keepdims=True)
        chances = np.exp(factor * part)
        chances /= chances.sum(1, keepdims=True)
        own = part[np.arange(len(part)), truth[start : start + ROWS]]
        mean = (chances * part).sum(1)
        slope += float((mean - (1 - uncertain) * own - uncertain * part.mean(1)).sum())
        curvature += float(((chances * part**2).sum(1) - mean**2).sum())
    return slope / len(scores), curvature / len(scores)


def bins(chances: NDArray[np.floating[Any]], right: NDArray[np.bool_]) -> list[Bin]:
    """Pictures by the probability of the predicted class, as many in each bin; equal probabilities stay together.

    Equal-mass bins are less biased than bins of equal width, most of which are nearly empty (Nixon et al., "Measuring
    Calibration in Deep Learning", 2019; Roelofs et al., "Mitigating Bias in Calibration Error Estimation", 2022).
    """
    confidence = chances.max(1).astype(np.float64)
    order = np.argsort(confidence, kind="stable")
    confidence, hits = confidence[order], right[order]
    number = max(1, min(BINS, len(order) // PER_BIN))
    places = [len(order) * each // number for each in range(1, number)]
    edges = np.unique([0, *np.searchsorted(confidence, confidence[places]), len(order)])
    spans = [slice(first, last) for first, last in zip(edges[:-1], edges[1:], strict=True)]
    return [Bin(len(hits[span]), float(confidence[span].mean()), float(hits[span].mean())) for span in spans]


def error(found: list[Bin]) -> float:
    """Expected calibration error: how far confidence is from accuracy, averaged over pictures."""
    return sum(each.count * abs(each.confidence - each.accuracy) for each in found) / sum(each.count for each in found)
