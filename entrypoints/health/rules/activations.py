"""Rules over what activations get and give: saturated sigmoids and tanhs, dead ReLUs."""

from __future__ import annotations

import numpy as np

from health.rules import tensor_rows
from health.rules.tensor_rows import Names
from health.verdicts import Verdict, fine, issues, missing, number
from health.view import Records


def saturated_activation(
    records: Records,
    *,
    collection_names: Names | None = None,
    tensor_regex: Names | None = None,
    threshold_tanh: tuple[float, float] = (-9.4999, 9.4999),
    threshold_sigmoid: tuple[float, float] = (-23.0, 16.99999),
    threshold_layer: float = 50.0,
) -> Verdict:
    """More than threshold_layer % of a tanh or sigmoid layer are saturated: what goes in lies beyond the minimum or the
    maximum, which were chosen for a gradient of 1e-7. By default tensor_regex is ".*tanh_input, .*sigmoid_input" (AWS).

    Ours: values of one recorded batch are counted, where AWS's nodes are inactive in less than threshold_inactivity %.
    """
    rule, tensors = "SaturatedActivation", records.tensors
    shares = 100 * (tensors["below"] + tensors["above"])
    rows = np.flatnonzero(np.isfinite(shares))
    if collection_names is not None or tensor_regex is not None:
        fed = {**tensors, "kind": np.full(len(shares), "input", dtype=object)}  # the figures are of what goes in
        asked = Records(records.steps, fed, records.system, records.classes)
        rows = np.intersect1d(rows, tensor_rows.chosen(asked, collection_names, tensor_regex, ()))
    shares = shares[rows]
    if not len(rows):
        return missing(rule, "No sigmoid or tanh was recorded", f"drop the rule, or {tensor_rows.GET}")
    bad = shares > threshold_layer
    if not bad.any():
        return fine(rule, len(rows), f"At most {number(shares.max())} % of a sigmoid or tanh layer are saturated")
    place, name, step, value = tensor_rows.worst(tensors, rows, bad, shares)
    low, high = threshold_tanh if tensors["layer"][rows[place]] == "Tanh" else threshold_sigmoid
    message = (
        f"{number(value)} % of {name} are saturated at step {step}, fed values beyond {number(low)} and "
        f"{number(high)}: more than {number(threshold_layer)} % ({tensor_rows.extent(tensors, rows, bad)})"
    )
    advice = (
        "normalise what goes in (batch normalisation), lower the learning rate, start from smaller weights, or use ReLU"
    )
    return issues(rule, len(rows), message, advice, step, name, value, threshold_layer)


def dead_relu(
    records: Records,
    *,
    tensor_regex: Names | None = None,
    threshold_inactivity: float = 1.0,
    threshold_layer: float = 50.0,
) -> Verdict:
    """More than threshold_layer % of the ReLUs of a layer are active in less than threshold_inactivity % (AWS).

    Ours: a unit is a channel, or a neuron of a linear layer, and its activity is that of one recorded batch.
    """
    rule, tensors = "DeadRelu", records.tensors
    rows = tensor_rows.matching(tensors, tensor_rows.of_kinds(tensors, ["output"]), tensor_regex)
    rows = rows[np.isfinite(tensors["idle_share"][rows])]
    if not len(rows):
        return missing(rule, "No output of a ReLU was recorded", f"drop the rule, or {tensor_rows.GET}")
    shares = 100 * tensors["idle_share"][rows]
    bad = shares > threshold_layer
    if not bad.any():
        return fine(rule, len(rows), f"At most {number(shares.max())} % of a layer's ReLUs are dead")
    _, name, step, value = tensor_rows.worst(tensors, rows, bad, shares)
    message = (
        f"{number(value)} % of the units of {name} are active in less than {number(threshold_inactivity)} % of places "
        f"at step {step}: more than {number(threshold_layer)} % ({tensor_rows.extent(tensors, rows, bad)})"
    )
    advice = "lower the learning rate or lengthen its warm-up, use LeakyReLU, GELU or SiLU, or add batch normalisation"
    return issues(rule, len(rows), message, advice, step, name, value, threshold_layer)
