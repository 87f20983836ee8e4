"""The learning rate over a training, as a factor of `lr`."""

from __future__ import annotations

import math


def factor(schedule: str, warmup: float, done: float) -> float:
    """When this share of all steps is done. All begin at a tenth and rise evenly while the share is below `warmup`.

    onecycle: then half a cosine to 0 over what is left (Smith and Topin, 2018). cosine: the half cosine runs over all
    steps, so a long warm-up never reaches 1 (Loshchilov and Hutter, 2017). constant: stays.
    """
    rise = 0.1 + 0.9 * done / warmup if done < warmup else 1.0
    match schedule:
        case "onecycle":
            return rise if done < warmup else _fall((done - warmup) / (1 - warmup))
        case "cosine":
            return rise * _fall(done)
        case "constant":
            return rise
        case _:
            raise ValueError(f"unknown schedule {schedule!r}")


def _fall(share: float) -> float:
    return 0.5 + 0.5 * math.cos(math.pi * share)
