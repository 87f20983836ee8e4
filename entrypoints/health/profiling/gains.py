"""What to change first: where a job's seconds could be saved, and how many of them, largest first."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from health.page.markup import span
from health.profiling.outliers import CPU, Outlier, by_cause, durations
from health.view import Columns, Records

LEAST = 0.01  # of the job: less is not worth a change
HALF = 0.5
BUSY = 90.0  # % that a GPU may be used: the goal that the gain of a larger batch is reckoned with
STALLS = 0.5  # of the data wait: as much in a few steps is a stall, less a loader that is slow throughout


class Gain(NamedTuple):
    """`seconds` is an estimate, `reckoned` says of what; `cause` is a word, `source` the columns that it comes from."""

    cause: str
    what: str
    why: str
    seconds: float
    share: float
    reckoned: str
    source: str


def advice(
    records: Records, parts: list[dict[str, Any]], figures: dict[str, Any], found: list[Outlier]
) -> list[dict[str, Any]]:
    """`parts`: of the whole job; `figures`: durations of its usual steps; `found`: its outliers."""
    seconds = {part["part"]: float(part["seconds"]) for part in parts}
    whole = sum(seconds.values())
    if not whole:
        return []
    gains = [
        _data(seconds, whole, found, figures),
        _saved("checkpoint", seconds, whole, HALF, "Write checkpoints half as often", "checkpoint_minutes"),
        _saved("evaluation", seconds, whole, HALF, "Evaluate half as often", "or on half of the validation split"),
        _saved("logging", seconds, whole, 0.9, "Record and judge less often, write fewer lines", "health.every"),
        _saved("transfer", seconds, whole, 1.0, "Copy batches from pinned memory", "with non_blocking=True"),
        _saved("start_up", seconds, whole, HALF, "Do less before the first step", "imports, weights, first copies"),
        _saved("export", seconds, whole, HALF, "Do less after the last step", "the model's archive and its tests"),
        _saved("download", seconds, whole, HALF, "Fetch less before the program", "FastFile mode, a smaller image"),
        _unnamed(seconds, whole),
        _collector(whole, records.steps, found),
        _recording(records.steps, whole),
        _others(records.steps, whole, found),
        _warm_up(figures, whole),
        _gpu(records, seconds, whole),
    ]
    kept = sorted((gain for gain in gains if gain and gain.share >= LEAST), key=lambda gain: -gain.seconds)
    return [gain._asdict() for gain in kept]


def _saved(part: str, seconds: dict[str, float], whole: float, share: float, what: str, how: str) -> Gain | None:
    spent = seconds.get(part, 0.0)
    why = f"{part.replace('_', '-')} takes {span(spent)}, {100 * spent / whole:.0f} % of the job"
    reckoned = f"{100 * share:.0f} % of it"
    return Gain(part, f"{what} ({how})", why, spent * share, spent * share / whole, reckoned, f"clock: {part}")


def _data(seconds: dict[str, float], whole: float, found: list[Outlier], figures: dict[str, Any]) -> Gain | None:
    """A loader that stalls at some steps wants another cure than one that is slow at all of them."""
    spent = seconds.get("data_wait", 0.0)
    stalls = [one for one in found if one.cause == "data"]
    lost = sum(one.of_cause for one in stalls)
    why = f"steps wait {span(spent)} for data, {100 * spent / whole:.0f} % of the job"
    if stalls and lost > STALLS * spent:
        every = by_cause(stalls)[0]["every"]
        rhythm = f", every {every} steps" if every else ""
        steps = f"{len(stalls)} step{'s' * (len(stalls) != 1)}{rhythm} (step {stalls[0].step} is the first)"
        why += (
            f"; {span(lost)} of it in {steps}, {span(lost / len(stalls))} each, while the median step takes "
            f"{span(figures['median'])} in all"
        )
        what = "See what the loader does at these steps, and let it read further ahead"
    else:
        what = "Prepare batches ahead, in more threads or processes, from smaller pictures"
    return Gain("data", what, why, spent, spent / whole, "all of it, hidden behind the passes", "clock: data_wait")


def _unnamed(seconds: dict[str, float], whole: float) -> Gain:
    spent = seconds.get("other", 0.0)
    why = f"{span(spent)}, {100 * spent / whole:.0f} % of the job, belong to no part that the clock knows"
    what = "Find in the trace what else the loop does, and give it a lap"
    return Gain("other", what, why, spent, spent / whole, "all of it, at most", "clock: other")


def _collector(whole: float, steps: Columns, found: list[Outlier]) -> Gain:
    """After the warm-up: what modules leave behind that are imported in the first step is collected once."""
    rows = durations(steps).usual
    rows = rows[steps["collected"][rows]]
    spent = float(steps["other"][rows].sum())
    stalls = sum(one.cause == "garbage collector" for one in found)
    why = f"the garbage collector pauses {len(rows)} steps, {stalls} of them outliers, for {span(spent)} in all"
    what = "Call gc.freeze() when training starts, and build fewer objects in each step"
    return Gain("garbage collector", what, why, spent, spent / whole, "all of it, at most", "steps: other, collected")


def _recording(steps: Columns, whole: float) -> Gain | None:
    rows = durations(steps).usual
    recorded = rows[steps["recorded"][rows]]
    plain = rows[~steps["recorded"][rows]]
    if not len(recorded) or not len(plain):
        return None
    extra = float(np.median(steps["seconds"][recorded]) - np.median(steps["seconds"][plain]))
    lost = max(0.0, extra) * len(recorded)
    why = f"{len(recorded)} steps with statistics of tensors take {span(extra)} longer than the others"
    what = "Record statistics half as often"
    return Gain("recording", what, why, lost * HALF, lost * HALF / whole, "half of it", "steps: seconds by recorded")


def _others(steps: Columns, whole: float, found: list[Outlier]) -> Gain:
    """Also where all steps wait alike, which makes no outlier."""
    rows = durations(steps).usual
    waited = float(np.nansum(steps["waited"][rows]))
    lost = min(waited, float(steps["seconds"][rows].sum()))
    slow = sum(one.cause == CPU for one in found)
    why = (
        f"threads waited {span(waited)} for CPUs that other processes had, and made {slow} outliers by it: nothing of "
        "the training is wrong"
    )
    what = "Run on a quieter machine, or with fewer threads (OMP_NUM_THREADS)"
    return Gain(CPU, what, why, lost, lost / whole, "all of it, at most: some wait at once", "steps: waited")


def _warm_up(figures: dict[str, Any], whole: float) -> Gain | None:
    if not figures["steps"]:
        return None
    warm = figures["warm_up"]
    why = f"the first {warm['steps']} steps take {span(warm['extra'])} more than as many usual ones"
    what = "Let one process train longer: a longer job pays its warm-up once"
    return Gain(
        "warm-up", what, why, warm["extra"] * HALF, warm["extra"] * HALF / whole, "half of it", "steps: seconds"
    )


def _gpu(records: Records, seconds: dict[str, float], whole: float) -> Gain | None:
    """While forward, backward and optimiser run, an idle GPU waits for the host to give it work."""
    used = [float(np.mean(row)) for row in records.system["gpu"] if len(row)]
    if not used or np.mean(used) >= BUSY:
        return None
    computing = sum(seconds[part] for part in ("forward", "backward", "optimizer"))
    spare = computing * max(0.0, 1 - float(np.mean(used)) / BUSY)
    why = f"the GPUs compute {np.mean(used):.0f} % of the time"
    what = "Raise batch_size (and lr with it), or train in bfloat16"
    reckoned = f"as if they computed {BUSY:.0f} %"
    return Gain("GPU", what, why, spare, spare / whole, reckoned, "system: gpu; clock: forward, backward, optimizer")
