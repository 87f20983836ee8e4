"""Rules over weights: how they begin, how much they are changed, whether they change at all."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from health.rules import tensor_rows
from health.rules.tensor_rows import Mask, Names, Rows
from health.verdicts import Verdict, fine, issues, missing, number
from health.view import SAMPLE, Records


def poor_weight_initialization(
    records: Records,
    *,
    activation_inputs_regex: Names = (".*relu_input",),
    threshold: float = 10.0,
    distribution_range: float = 0.001,
    patience: int = 5,
    steps: int = 10,
) -> Verdict:
    """In the first `steps` steps the largest variance of what goes into activations is more than `threshold` times the
    smallest, or the 5th and 95th percentile of a gradient lie less than distribution_range apart; and the loss does not
    converge (AWS).

    Ours: how the three combine: one of the first two, and no decrease of the loss. That is judged between the first and
    the last `patience` of those steps: it has decreased if the means differ by more than twice the error that batches'
    noise makes of them. Of tensors the records of these steps count, or the first one where it is later.
    """
    rule = "PoorWeightInitialization"
    at, losses = records.losses("train")
    start = int(at[0]) if len(at) else 0
    losses = losses[at < start + steps]
    rows = tensor_rows.of_kinds(records.tensors, ["input", "gradient"])
    if not len(rows):
        return missing(rule, "Neither inputs of activations nor gradients were recorded", tensor_rows.GET)
    if len(losses) < min(steps, 2 * patience):
        more = "train for longer, or set steps and patience lower"
        return missing(rule, f"It needs the losses of {steps} steps and has {len(losses)}", more, len(losses))
    suspect, points = _suspect(records, rows, activation_inputs_regex, start + steps, (threshold, distribution_range))
    points += len(losses)
    before, after = losses[:patience], losses[-patience:]
    with np.errstate(invalid="ignore"):  # infinite losses have no variance, and do not decrease
        noise = 2 * np.sqrt((np.var(before) + np.var(after)) / max(1, patience - 1))
        decreased = bool(before.mean() - after.mean() > noise)
    course = f"the loss went from {number(before.mean())} to {number(after.mean())} in the first {steps} steps"
    if suspect is None or decreased:
        return fine(rule, points, f"Of the start, {course}" + (f", though {suspect.message}" if suspect else ""))
    advice = (
        "initialise for the activation (He for ReLU, Xavier for tanh and sigmoid), add batch normalisation, start from "
        "pretrained weights, or lower the learning rate"
    )
    return suspect._replace(
        points=points, message=f"{suspect.message[0].upper()}{suspect.message[1:]}, and {course}", advice=advice
    )


def weight_update_ratio(
    records: Records,
    *,
    num_steps: int = 1,
    large_threshold: float = 10.0,
    small_threshold: float = 1e-8,
    epsilon: float = 1e-9,
) -> Verdict:
    """The ratio of updates to weights is larger than large_threshold or smaller than small_threshold (AWS).

    Ours: norm of the update over norm of the weights before it, on a fixed sample of each tensor and at the step
    itself, so that num_steps is 1 whatever the interval of recording. Biases are not judged, nor tensors that were zero
    before, nor, for small_threshold, steps at which the schedule's learning rate is below a hundredth of its highest.
    """
    rule, tensors = "WeightUpdateRatio", records.tensors
    rows = tensor_rows.without_biases(tensors, tensor_rows.of_kinds(tensors, ["update"]))
    rows = rows[np.isfinite(tensors["ratio"][rows])]
    rows = rows[~_were_zero(records, rows, epsilon)]
    if not len(rows):
        return missing(rule, "No updates of weights were recorded", tensor_rows.GET)
    ratios = tensors["ratio"][rows]
    large = ratios > large_threshold
    small = (ratios < small_threshold) & ~tensor_rows.held_still(records, rows, 0.01)
    bad = large | small
    if not bad.any():
        between = f"{number(ratios.min())} and {number(ratios.max())}"
        return fine(rule, len(rows), f"Updates are between {between} of the weights")
    badness = np.abs(np.log(np.maximum(ratios, 1e-38)))
    place, name, step, value = tensor_rows.worst(tensors, rows, bad, ratios, badness)
    side, threshold = ("above", large_threshold) if large[place] else ("below", small_threshold)
    message = (
        f"The update of {name} is {number(value)} of its weights at step {step}, {side} {number(threshold)} "
        f"({tensor_rows.extent(tensors, rows, bad)})"
    )
    lower = "lower the learning rate, lengthen its warm-up, or set clip_norm"
    raised = "raise the learning rate, or look for layers that get no gradient"
    return issues(rule, len(rows), message, lower if large[place] else raised, step, name, value, threshold)


def unchanged_tensor(
    records: Records,
    *,
    collection_names: Names | None = None,
    tensor_regex: Names | None = None,
    num_steps: int = 3,
    rtol: float = 1e-5,
    atol: float = 1e-8,
    equal_nan: bool = False,
) -> Verdict:
    """A tensor is the same, as numpy.allclose has it, over the last num_steps recorded steps (AWS).

    Ours: weights, on the fixed sample of each that percentiles come from; not biases nor frozen ones, which have no
    gradient, nor steps at which the schedule's learning rate is below a quarter of its highest: a normalisation's
    weights of 1 then move by less than rtol.
    """
    rule, tensors = "UnchangedTensor", records.tensors
    rows = tensor_rows.chosen(records, collection_names, tensor_regex, ["weight"])
    rows = rows[tensors["kind"][rows] == "weight"]
    rows = rows[_learning(records, rows)]
    if collection_names is None and tensor_regex is None:
        rows = tensor_rows.without_biases(tensors, rows)
    changes = tensors["change"][rows]
    known = np.isfinite(changes)
    if not known.any():
        return missing(rule, "No weights were recorded twice", f"train for longer, or {tensor_rows.GET}", len(rows))
    same = known & (changes <= 1) & ~tensor_rows.held_still(records, rows, 0.25)
    if not equal_nan:
        same &= tensors["nan"][rows] == 0
    order, lengths = _streaks(tensors["name"][rows], same)
    bad = np.zeros(len(rows), dtype=bool)
    bad[order] = lengths >= num_steps - 1
    points = int(known.sum())
    if not bad.any():
        longest = int(lengths.max()) + 1
        return fine(rule, points, f"No weights stayed the same over {num_steps} records (at most over {longest})")
    _, name, step, value = tensor_rows.worst(tensors, rows, bad, changes, -changes)
    message = (
        f"{name} is the same over {num_steps} records up to step {step}: changed by {number(value)} of the tolerance "
        f"{number(atol)} + {number(rtol)} of its size ({tensor_rows.extent(tensors, rows, bad)})"
    )
    advice = "see whether the layer gets a gradient and is in the optimiser; raise the learning rate"
    return issues(rule, points, message, advice, step, name, value, 1.0)


def _suspect(
    records: Records, rows: Rows, patterns: Names, end: int, limits: tuple[float, float]
) -> tuple[Verdict | None, int]:
    """What looks badly initialised in the first records, and how many values were looked at."""
    tensors, (threshold, distribution_range) = records.tensors, limits
    rows = rows[tensors["step"][rows] < max(end, int(tensors["step"][rows].min()) + 1)]
    inputs = tensor_rows.matching(tensors, rows[tensors["kind"][rows] == "input"], patterns)
    inputs = inputs[np.isfinite(tensors["std"][inputs])]
    gradients = tensor_rows.without_biases(tensors, rows[tensors["kind"][rows] == "gradient"])
    gradients = gradients[np.isfinite(tensors["p95"][gradients]) & np.isfinite(tensors["p5"][gradients])]
    points = len(inputs) + len(gradients)
    for step in np.unique(tensors["step"][inputs]).tolist():
        here = inputs[tensors["step"][inputs] == step]
        variances = tensors["std"][here].astype(np.float64) ** 2
        low, high = here[variances.argmin()], here[variances.argmax()]
        ratio = float(variances.max() / max(variances.min(), 1e-300))
        if ratio > threshold:
            name = str(tensors["name"][low])
            most = tensors["name"][high]
            text = f"what goes into {most} has {number(ratio)} times the variance of that into {name} at step {step}"
            return issues("PoorWeightInitialization", points, text, "", step, name, ratio, threshold), points
    spreads = tensors["p95"][gradients] - tensors["p5"][gradients]
    narrow = spreads < distribution_range
    if not narrow.any():
        return None, points
    _, name, step, value = tensor_rows.worst(tensors, gradients, narrow, spreads, -spreads)
    text = f"the 5th and 95th percentile of the gradient of {name} are {number(value)} apart at step {step}"
    return issues("PoorWeightInitialization", points, text, "", step, name, value, distribution_range), points


def _were_zero(records: Records, rows: Rows, epsilon: float) -> Mask:
    """Rows whose weights were zero before, so that any update is infinitely large beside them.

    The update's norm follows from its mean and deviation, and of that the norm of the weights from the ratio.
    """
    tensors = records.tensors
    square = tensors["std"][rows].astype(np.float64) ** 2 + tensors["mean"][rows].astype(np.float64) ** 2
    norms = np.sqrt(np.minimum(tensors["count"][rows], SAMPLE) * square)
    return np.asarray(norms <= 2 * epsilon * tensors["ratio"][rows]) & (norms > 0)


def _learning(records: Records, rows: Rows) -> Mask:
    """Weights that have a gradient; all of them where no gradients were recorded."""
    tensors = records.tensors
    trained = set(tensors["name"][tensor_rows.of_kinds(tensors, ["gradient"])].tolist())
    if not trained:
        return np.ones(len(rows), dtype=bool)
    names = tensors["name"][rows].tolist()
    return tensor_rows.by_name(names, {name: name in trained for name in set(names)})


def _streaks(names: NDArray[Any], same: Mask) -> tuple[Rows, NDArray[Any]]:
    """The rows by name, and for each how many in a row up to it are `same`."""
    texts = names.tolist()
    codes = tensor_rows.by_name(texts, {name: number for number, name in enumerate(dict.fromkeys(texts))})
    order = np.argsort(codes, kind="stable")
    ordered, marks = codes[order], same[order]
    breaks = ~marks | np.r_[True, ordered[1:] != ordered[:-1]]
    count = np.cumsum(marks)
    base = np.maximum.accumulate(np.where(breaks, count - marks * 1, 0))
    return order, np.where(marks, count - base, 0)
