"""What takes the place of a rule's defaults in a short or a long job, where nobody has set them."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from health.rules.parameters import Value
from health.view import Records


class Job(NamedTuple):
    """What a rule knows of the job, beside its records. `every`: steps from one record of tensors to the next, 0 for
    none. `examples`: pictures that all epochs show. `readers`: threads or processes that prepare batches. `now`: the
    time, while training runs."""

    steps: int
    epochs: int
    every: int = 0
    classes: int = 0
    examples: int = 0
    readers: int = 1
    now: float | None = None
    start_up_seconds: float | None = None


def loss_steps(job: Job, records: Records) -> dict[str, Value]:
    """AWS's default interval of saving is 500 steps, so that losses ten steps apart were never compared there."""
    return {"num_steps": max(1, min(10, job.steps // 4), min(500, job.steps // 10))}


def first_steps(job: Job, records: Records) -> dict[str, Value]:
    """Long enough that a loss which falls slowly, as in a warm-up, falls by more than batches differ."""
    steps = max(min(10, job.steps), min(200, job.steps // 5))
    return {"steps": steps, "patience": max(1, steps // 2)}


def overfit_epochs(job: Job, records: Records) -> dict[str, Value]:
    return {"patience": max(1, min(10, job.epochs // 10))}


def still_epochs(job: Job, records: Records) -> dict[str, Value]:
    """AWS's, in jobs of 30 epochs and more."""
    share = min(1.0, job.epochs / 30)
    return {"patience_train": math.ceil(5 * share), "patience_validation": math.ceil(10 * share)}


def same_records(job: Job, records: Records) -> dict[str, Value]:
    return {"num_steps": 3 if not job.every or job.steps // job.every >= 6 else 2}


def labels(job: Job, records: Records) -> dict[str, Value]:
    """AWS's 500 are for ten classes."""
    if not job.classes:
        return {}
    return {"samples": max(1, min(50 * job.classes, job.examples // 2 or 50 * job.classes))}


def stall_seconds(job: Job, records: Records) -> dict[str, Value]:
    """As long as the whole job should take, from 5 minutes to AWS's 30."""
    seconds = records.steps["seconds"][records.steps["mode"] == "train"]
    seconds = seconds[np.isfinite(seconds)]
    if not len(seconds):
        return {}
    return {"threshold": float(min(1800, max(300, round(job.steps * float(np.median(seconds))))))}
