"""Rules over losses and over time: does training get anywhere, does it fit too much, does it go on at all?"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from health.verdicts import Verdict, fine, issues, missing, number
from health.view import Records

MODES = {"EVAL": "validation", "TRAIN": "train", "GLOBAL": "train"}
GET_VALIDATION = "train for at least two epochs: each ends with a validation"
Numbers = NDArray[np.float64]
Steps = NDArray[np.int64]


def loss_not_decreasing(
    records: Records,
    *,
    num_steps: int = 10,
    diff_percent: float = 0.0,
    mode: str | None = None,
    epochs: int | None = None,
) -> Verdict:
    """The loss, compared with that of a step at least num_steps before, has not decreased by diff_percent; looked at
    in the order EVAL, TRAIN, GLOBAL (AWS).

    Ours: validation is judged where the job has two of them or more (`epochs`, else those so far), else training; of
    training, each loss stands for the mean of the losses up to the next step that is compared, since single batches
    differ by chance.
    """
    rule = "LossNotDecreasing"
    validations = epochs or int((records.steps["mode"] == "validation").sum())
    which = MODES[mode] if mode else "validation" if validations > 1 else "train"
    steps, losses = records.losses(which)
    places = _apart(steps, num_steps)
    if which == "train" and len(places):
        end = int(np.searchsorted(steps, steps[places[-1]] + num_steps))
        if steps[-1] < steps[places[-1]] + num_steps - 1 and len(places) > 1:  # the last block is not whole yet
            places, end = places[:-1], int(places[-1])
        values = np.add.reduceat(losses[:end], places) / np.diff(np.r_[places, end])
    else:
        values = losses[places]
    if len(values) < 2:
        more = GET_VALIDATION if which == "validation" and len(losses) < 2 else "train for longer, or lower num_steps"
        return missing(rule, f"No two {which} losses lie {num_steps} steps apart", more, len(losses))
    with np.errstate(invalid="ignore"):  # infinity
        wanted = values[:-1] - np.abs(values[:-1]) * diff_percent / 100
    bad = ~(values[1:] < wanted) if diff_percent == 0 else ~(values[1:] <= wanted)
    kind = "validation" if which == "validation" else "mean training"
    if not bad.any():
        course = f"from {number(values[0])} to {number(values[-1])}"
        return fine(rule, len(losses), f"The {kind} loss decreased in each of {len(bad):,} comparisons, {course}")
    place = int(np.argmax(bad))
    step, earlier = int(steps[places[place + 1]]), int(steps[places[place]])
    percent = f" by {number(diff_percent)} %" if diff_percent else ""
    message = (
        f"The {kind} loss has not decreased{percent} at step {step}: {number(values[place + 1])} after "
        f"{number(values[place])} at step {earlier} ({int(bad.sum()):,} of {len(bad):,} comparisons)"
    )
    advice = (
        "change the learning rate (lower it where the loss jumps, raise it where it creeps), look at labels and "
        "augmentation, or let early_stopping end what no longer learns"
    )
    return issues(rule, len(losses), message, advice, step, "loss", float(values[place + 1]), float(wanted[place]))


def overfit(records: Records, *, start_step: int = 0, patience: int = 1, ratio_threshold: float = 0.1) -> Verdict:
    """The mean validation loss exceeds the mean training loss by more than ratio_threshold of it, for `patience` steps
    from start_step on (AWS).

    Ours: a step is a validation, at the end of each epoch; it is compared with the mean over that epoch's batches. The
    first does not count, nor one that is better than the best before by more than ratio_threshold of it: that is how a
    network with batch normalisation begins, whose statistics come behind.
    """
    rule = "Overfit"
    steps, validation, train = _by_epoch(records)
    usable = np.isfinite(train) & np.isfinite(validation) & (train > 0)
    steps, validation, train = steps[usable], validation[usable], train[usable]
    settled = ~_falling(validation, ratio_threshold) & (steps >= start_step)
    if not (steps[1:] >= start_step).any():
        more = "train for two epochs at least, and let start_step lie before the last"
        return missing(rule, "No two epochs have both a training and a validation loss", more, len(steps))
    ratios = (validation - train) / train
    lengths = _run_lengths((ratios > ratio_threshold) & settled)
    bad = lengths >= patience
    if not bad.any():
        return fine(rule, len(steps), f"Validation loss is {_above(ratios[-1])} training loss in the latest epoch")
    place = int(np.argmax(bad))
    value = float(ratios[place])
    message = (
        f"Validation loss {number(validation[place])} is {_above(value)} training loss {number(train[place])} at step "
        f"{steps[place]}, more than {number(100 * ratio_threshold)} % ({int(lengths[place])} in a row)"
    )
    advice = (
        "train on more data or more augmentation (augment, mixup, cutmix), regularise (dropout, weight_decay, "
        "label_smoothing), train fewer layers, or set early_stopping"
    )
    return issues(rule, len(steps), message, advice, int(steps[place]), "loss", value, ratio_threshold)


def overtraining(
    records: Records, *, patience_train: int = 5, patience_validation: int = 10, delta: float = 0.1
) -> Verdict:
    """Training and validation loss no longer improve: there was no new optimum, better by delta than the last, for
    patience_train and patience_validation steps (AWS).

    Ours: both have to stand still, a step is an epoch, and the training loss is the mean over its batches.
    """
    rule = "Overtraining"
    steps, validation, train = _by_epoch(records)
    if len(steps) <= max(patience_train, patience_validation):
        more = "train for more epochs, or set patience_train and patience_validation lower"
        return missing(rule, f"{len(steps)} validations, and patience of {patience_validation}", more, len(steps))
    waited, best = _waiting(validation, delta)
    waited_train, _ = _waiting(train, delta)
    bad = (waited >= patience_validation) & (waited_train >= patience_train)
    if not bad.any():
        return fine(rule, len(steps), f"Validation loss stood still for at most {int(waited.max())} epochs")
    place = int(np.argmax(bad))
    message = (
        f"For {int(waited[place])} epochs validation loss has not come {number(delta)} below {number(best[place])}, "
        f"nor training loss below its own for {int(waited_train[place])}: at step {steps[place]} it is "
        f"{number(validation[place])}"
    )
    advice = "set early_stopping, or train for fewer epochs; a lower delta calls smaller gains an improvement"
    value = float(best[place] - validation[place])
    return issues(rule, len(steps), message, advice, int(steps[place]), "loss", value, delta)


def stalled_training(records: Records, *, threshold: float = 1800.0, now: float | None = None) -> Verdict:
    """Nothing new is recorded for `threshold` seconds (AWS).

    Ours: a record is a step, and `now` is the time while training still runs. The time between two lives of a job that
    was resumed does not count: that of a step is what its own clock says.
    """
    rule, ended = "StalledTrainingRule", records.steps["ended"]
    if not np.isfinite(ended).any():
        return missing(rule, "No step has ended yet", "wait for the first one")
    seconds = records.steps["seconds"]
    gaps = np.r_[np.nan, np.diff(ended)]
    waits = np.where(np.isfinite(seconds), seconds, gaps)
    if now is not None:
        waits = np.r_[waits, now - np.nanmax(ended)]
    bad = waits > threshold
    if not bad.any():
        longest = f"{number(np.nanmax(waits))} s" if np.isfinite(waits).any() else "unknown"
        return fine(rule, len(ended), f"The longest step took {longest}")
    place = int(np.argmax(bad))
    step, value = int(records.steps["step"][min(place, len(ended) - 1)]), float(waits[place])
    where = f"after step {step}" if place == len(ended) else f"at step {step}"
    message = f"Nothing was recorded for {number(value)} s {where}, longer than {number(threshold)} s"
    advice = "look what the job waits for: a download, a reader of the disk, another rank, a debugger's prompt"
    return issues(rule, len(ended), message, advice, step, None, value, threshold)


def _apart(steps: Steps, least: int) -> NDArray[np.int64]:
    """Places of steps to compare: the first, and from each on the next that is at least so many steps later."""
    places: list[int] = []
    place = 0
    while place < len(steps):
        places.append(place)
        place = int(np.searchsorted(steps, steps[place] + least))
    return np.array(places, dtype=np.int64)


def _by_epoch(records: Records) -> tuple[Steps, Numbers, Numbers]:
    """Of each epoch that was validated: step and loss of the validation, and mean training loss (NaN: none)."""
    table = records.steps
    rows, validated = table["mode"] == "train", table["mode"] == "validation"
    last = int(table["epoch"].max()) + 1 if len(table["epoch"]) else 0
    epochs, losses = table["epoch"][rows], table["loss"][rows]
    weights = np.maximum(table["examples"][rows], 1)
    total = np.bincount(epochs, weights, last)
    with np.errstate(invalid="ignore"):  # infinity
        sums = np.bincount(epochs, losses * weights, last)
        means = np.divide(sums, total, out=np.full(last, np.nan), where=total > 0)
    return table["step"][validated], table["loss"][validated], means[table["epoch"][validated]]


def _run_lengths(marks: NDArray[np.bool_]) -> NDArray[np.int64]:
    """How many in a row up to here are marked."""
    count = np.cumsum(marks)
    return np.asarray(count - np.maximum.accumulate(np.where(marks, 0, count)))


def _falling(losses: Numbers, share: float) -> NDArray[np.bool_]:
    """The first, and each that is lower than all before by more than this share of the lowest."""
    before = np.minimum.accumulate(losses)
    falling: NDArray[np.bool_] = np.r_[True, losses[1:] < before[:-1] * (1 - share)]
    return falling[: len(losses)]


def _waiting(losses: Numbers, delta: float) -> tuple[NDArray[np.int64], Numbers]:
    """At each place, how many ago the last optimum was found, and what it was."""
    waited, bests = np.zeros(len(losses), dtype=np.int64), np.full(len(losses), np.nan)
    best, since = np.inf, 0
    for place, loss in enumerate(losses.tolist()):
        if loss < best - delta or (best == np.inf and loss < best):
            best, since = loss, place
        waited[place], bests[place] = place - since, best
    return waited, bests


def _above(ratio: Any) -> str:
    percent = 100 * float(ratio)
    return f"{number(percent)} % above" if percent >= 0 else f"{number(-percent)} % below"
