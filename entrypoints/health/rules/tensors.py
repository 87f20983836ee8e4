"""Rules over any tensor: vanishing gradients, values that explode, zeros, variances."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from health.rules import tensor_rows
from health.rules.tensor_rows import Names, Rows
from health.verdicts import Verdict, fine, issues, missing, number
from health.view import Columns, Records


def vanishing_gradient(records: Records, *, threshold: float = 1e-7) -> Verdict:
    """The mean of the absolute values of a gradient drops below the threshold (AWS).

    Ours: each tensor is judged by itself, at each recorded step; biases only where there is nothing else, since a bias
    before a batch normalisation has no gradient by design.
    """
    rule, tensors = "VanishingGradient", records.tensors
    gradients = tensor_rows.of_kinds(tensors, ["gradient"])
    if not len(gradients):
        return missing(rule, "No gradients were recorded", tensor_rows.GET)
    rows = tensor_rows.without_biases(tensors, gradients)
    rows = rows if len(rows) else gradients
    means = tensors["mean_abs"][rows]
    bad = means < threshold
    if not bad.any():
        least = number(np.nanmin(means)) if np.isfinite(means).any() else "not a number"
        return fine(rule, len(rows), f"The smallest mean magnitude of a gradient is {least}")
    _, name, step, value = tensor_rows.worst(tensors, rows, bad, means, -means)
    return issues(
        rule,
        len(rows),
        f"The gradient of {name} has a mean magnitude of {number(value)} at step {step}, below {number(threshold)} "
        f"({tensor_rows.extent(tensors, rows, bad)})",
        "put ReLU in the place of sigmoid and tanh, add batch normalisation or residual connections, initialise the "
        "weights for the activation (He for ReLU, Xavier for tanh), or train fewer layers from pretrained weights",
        step,
        name,
        value,
        threshold,
    )


def exploding_tensor(
    records: Records,
    *,
    collection_names: Names | None = None,
    tensor_regex: Names | None = None,
    only_nan: bool = False,
) -> Verdict:
    """A tensor has values that are not finite; with only_nan, NaN alone counts (AWS).

    Ours: counts are exact, over all elements and ranks; without collection_names and tensor_regex everything recorded
    is looked at, and the loss of every step too. Of the earliest step, the tensor is named that the others got it from:
    weights, then activations in the order of the network, then gradients.
    """
    rule, tensors = "ExplodingTensor", records.tensors
    every = collection_names is None and tensor_regex is None
    rows = tensor_rows.chosen(
        records, collection_names, tensor_regex, ["weight", "gradient", "update", "input", "output"]
    )
    counts = tensors["nan" if only_nan else "non_finite"][rows]
    losses = records.steps["loss"] if every or {"losses", "all"} & set(collection_names or ()) else np.empty(0)
    lost = np.flatnonzero(np.isnan(losses) if only_nan else ~np.isfinite(losses))
    points = len(rows) + len(losses)
    if not points:
        return missing(rule, "No tensor of that name was recorded", tensor_rows.GET)
    bad = counts > 0
    what = "NaN" if only_nan else "NaN or infinite"
    advice = (
        "lower the learning rate or lengthen its warm-up, set clip_norm to about 1, look for broken pictures and "
        "labels, or train in bfloat16 or float32 where float16 overflows"
    )
    at = int(tensors["step"][rows[bad]].min()) if bad.any() else None
    if len(lost) and (at is None or records.steps["step"][lost[0]] < at):
        step, mode = int(records.steps["step"][lost[0]]), records.steps["mode"][lost[0]]
        value = float(losses[lost[0]])
        message = f"The {mode} loss is {value} at step {step} ({len(lost):,} of {len(losses):,} losses)"
        return issues(rule, points, message, advice, step, "loss", value)
    if at is None:
        return fine(rule, points, f"Nothing recorded was {what}")
    place, name, step, value = tensor_rows.worst(tensors, rows, bad, counts, _source(tensors, rows))
    row = rows[place]
    message = (
        f"The {tensors['kind'][row]} of {name} has {int(value):,} {what} values of {int(tensors['count'][row]):,} at "
        f"step {step} ({tensor_rows.extent(tensors, rows, bad)})"
    )
    return issues(rule, points, message, advice, step, name, value, 0.0)


def all_zero(
    records: Records,
    *,
    collection_names: Names | None = None,
    tensor_regex: Names | None = None,
    threshold: float = 100.0,
) -> Verdict:
    """At least `threshold` per cent of a tensor's values are zero; collections and patterns say which (AWS).

    Ours: where neither is given, gradients but biases' and outputs of activations: weights may well begin at zero.
    """
    rule, tensors = "AllZero", records.tensors
    rows = tensor_rows.chosen(records, collection_names, tensor_regex, ["gradient", "output"])
    if collection_names is None and tensor_regex is None:
        rows = tensor_rows.without_biases(tensors, rows)
    rows = rows[np.isfinite(tensors["zero_share"][rows])]
    if not len(rows):
        return missing(rule, "No tensor of that name was recorded", tensor_rows.GET)
    shares = 100 * tensors["zero_share"][rows]
    bad = shares >= threshold
    if not bad.any():
        return fine(rule, len(rows), f"At most {min(shares.max(), 99.9):.3g} % of a tensor are zero")
    place, name, step, value = tensor_rows.worst(tensors, rows, bad, shares)
    message = (
        f"{number(value)} % of the {tensors['kind'][rows[place]]} of {name} are zero at step {step}, at or above "
        f"{number(threshold)} % ({tensor_rows.extent(tensors, rows, bad)})"
    )
    advice = "see whether the layer is reached, and initialised; lower the learning rate where ReLUs died"
    return issues(rule, len(rows), message, advice, step, name, value, threshold)


def tensor_variance(
    records: Records,
    *,
    collection_names: Names | None = None,
    tensor_regex: Names | None = None,
    max_threshold: float | None = None,
    min_threshold: float | None = None,
) -> Verdict:
    """A tensor's variance is above max_threshold or below min_threshold; there are no defaults (AWS).

    Ours: where neither collections nor patterns are given, weights but biases; tensors of one value are not judged.
    """
    rule, tensors = "TensorVariance", records.tensors
    if max_threshold is None and min_threshold is None:
        return missing(rule, "It has no thresholds", "set max_threshold, min_threshold or both: AWS has no defaults")
    rows = tensor_rows.chosen(records, collection_names, tensor_regex, ["weight"])
    if collection_names is None and tensor_regex is None:
        rows = tensor_rows.without_biases(tensors, rows)
    rows = rows[np.isfinite(tensors["std"][rows]) & (tensors["count"][rows] != 1)]
    if not len(rows):
        return missing(rule, "No tensor of that name was recorded", tensor_rows.GET)
    variances = tensors["std"][rows].astype(np.float64) ** 2
    high = variances > (np.inf if max_threshold is None else max_threshold)
    low = variances < (-np.inf if min_threshold is None else min_threshold)
    bad = high | low
    if not bad.any():
        between = f"{number(variances.min())} and {number(variances.max())}"
        return fine(rule, len(rows), f"Variances are between {between}")
    place, name, step, value = tensor_rows.worst(
        tensors, rows, bad, variances, np.abs(np.log(np.maximum(variances, 1e-300)))
    )
    threshold = max_threshold if high[place] else min_threshold
    side = "above" if high[place] else "below"
    message = (
        f"The {tensors['kind'][rows[place]]} of {name} has a variance of {number(value)} at step {step}, {side} "
        f"{number(threshold or 0.0)} ({tensor_rows.extent(tensors, rows, bad)})"
    )
    tamed = "lower the learning rate, raise weight_decay, or add batch normalisation"
    advice = (
        tamed if high[place] else "see whether the layer is trained at all; lower weight_decay, raise the learning rate"
    )
    return issues(rule, len(rows), message, advice, step, name, value, threshold)


def _source(tensors: Columns, rows: Rows) -> NDArray[Any]:
    """The higher, the earlier in a step; equal ones are in the order of the network."""
    order = {"weight": 3, "input": 2, "output": 2, "gradient": 1, "update": 0}
    return tensor_rows.by_name(tensors["kind"][rows].tolist(), order)
