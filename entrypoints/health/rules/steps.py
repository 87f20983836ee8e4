"""Rules about the steps of a job: names, parameters and defaults are those of SageMaker Debugger's profiler rules."""

from __future__ import annotations

from health.profiling import outliers
from health.verdicts import Verdict, fine, issues, missing
from health.view import Records

FEWEST = 8  # steps after the warm-up
MODES = {"EVAL": "validation", "TRAIN": "train", "validation": "validation", "train": "train"}  # AWS's words, and ours
WAITING = 10  # % of the time of steps: a loader that keeps up better than that is good enough
NEARLY_ALL = 0.9  # of the time that outliers cost
CALLED = {"other": "other reasons", outliers.CPU: "CPUs that other processes had"}
ADVICE = {
    "data": "see what the loader does at these steps (reads that miss the cache, large pictures, workers that start "
    "anew), and let it read further ahead",
    "checkpoint": "write checkpoints less often (checkpoint_minutes), or to a faster disk",
    "evaluation": "evaluate less often, or on a part of the validation split",
    "logging": "record and judge less often (health.every), and write fewer lines",
    "garbage collector": "call gc.freeze() when training starts, and build fewer objects in each step",
    "recording": "record statistics of tensors less often",
    outliers.CPU: "run on a quieter machine, or with fewer threads (OMP_NUM_THREADS)",
    "other": "look at the trace: the loop does work that no lap names, or something else had the machine",
}


def dataloader(
    records: Records, *, min_threshold: float = 70.0, max_threshold: float = 200.0, readers: int = 1
) -> Verdict:
    """Fewer data loader processes than min_threshold % of the cores, or more than max_threshold % (AWS).

    Ours: too few only where steps also wait for data in more than 10 % of their time: readers that keep up are enough.
    `readers` are threads or processes that prepare batches; the shipped train.py has one.
    """
    rule = "Dataloader"
    usual = outliers.durations(records.steps).usual
    cores = len(records.system["cpu_each"][-1]) if len(records.system["ended"]) else 0
    if len(usual) < FEWEST or not cores:
        said = f"There are {len(usual)} steps after the warm-up, of {FEWEST} needed, and {cores} cores were seen"
        return missing(rule, said, "let the job run for more steps, on Linux", len(usual))
    waiting = 100 * float(records.steps["data_wait"][usual].sum() / records.steps["seconds"][usual].sum())
    share = 100 * readers / cores
    said = (
        f"{readers} reader{'s' * (readers > 1)} for {cores} core{'s' * (cores > 1)} ({share:.0f} %); steps wait for "
        f"data in {waiting:.0f} % of their time"
    )
    if share > max_threshold:
        advice = f"use at most {int(cores * max_threshold / 100)} readers: more of them take turns"
        return issues(rule, len(usual), said, advice, value=share, threshold=max_threshold)
    if share < min_threshold and waiting > WAITING:
        advice = f"use about {cores} readers, or prepare pictures smaller, so that less is done to each while training"
        return issues(rule, len(usual), said, advice, value=share, threshold=min_threshold)
    return fine(rule, len(usual), said)


def max_initialization_time(
    records: Records, *, threshold: float = 20.0, start_up_seconds: float | None = None
) -> Verdict:
    """The first step takes more than `threshold` minutes to come (AWS).

    Ours: until the first step begins, from the start of the process (`start_up_seconds`, of the clock), else from the
    first look at the machine.
    """
    rule, steps, looks = "MaxInitializationTime", records.steps, records.system["ended"]
    if not len(steps["step"]) or (start_up_seconds is None and not len(looks)):
        said = "No step was done yet, or nothing says when the program started"
        return missing(rule, said, "let the job do a step, on Linux")
    if start_up_seconds is None:
        start_up_seconds = max(0.0, float(steps["ended"][0] - steps["seconds"][0] - looks[0]))
    minutes = start_up_seconds / 60
    span = f"{start_up_seconds:.1f} s" if minutes < 2 else f"{minutes:.1f} minutes"
    said = f"The first step began {span} after the program"
    if minutes > threshold:
        advice = "look in the profile for what start-up does; fetch files before the job, not in it"
        return issues(rule, 1, said, advice, int(steps["step"][0]), value=minutes, threshold=threshold)
    return fine(rule, 1, said)


def step_outlier(records: Records, *, stddev: float = 3.0, mode: str | None = None, n_outliers: int = 10) -> Verdict:
    """More than n_outliers steps take longer than `stddev` standard deviations (AWS).

    Ours: above the mean, that is, without warm-up and profiled steps; a step that is slow because it was recorded
    counts as usual, since that is our own cost. Of fewer than 100 * n_outliers steps 1 % may be
    outliers, at least one. Without `mode` steps of training are judged: what ends an epoch is none of them. Where
    90 % of the time that outliers cost is of those that waited for CPUs which other processes had, nothing of the
    training is wrong, and no issue is found (Linux; waiting.py tells how it is measured).
    """
    rule = "StepOutlier"
    usual = outliers.durations(records.steps, MODES[mode or "TRAIN"]).usual
    if len(usual) < FEWEST:
        said = f"There are {len(usual)} steps after the warm-up, of {FEWEST} needed"
        return missing(rule, said, f"train for at least {FEWEST + 2} steps", len(usual))
    found = [each for each in outliers.found(records.steps, usual, stddev) if each.cause != "recording"]
    ignored = min(n_outliers, max(1, len(usual) // 100))
    scaled = "" if ignored == n_outliers else f" ({ignored} instead of {n_outliers} may be so: the job is short)"
    limit = outliers.threshold(records.steps["seconds"][usual], stddev)
    said = f"{len(found)} of {len(usual)} steps take longer than {limit:.3g} s{scaled}"
    if len(found) <= ignored:
        return fine(rule, len(usual), said)
    main, lost = outliers.by_cause(found)[0], sum(each.excess for each in found)
    if main["cause"] == outliers.CPU and main["seconds"] >= NEARLY_ALL * lost:
        share = f"{100 * main['seconds'] / lost:.0f} % of the {lost:.3g} s which that costs"
        said += f": {main['steps']} of them, with {share}, for {CALLED[outliers.CPU]}; nothing of the training is wrong"
        return fine(rule, len(usual), said)
    every = f", every {main['every']} steps" if main["every"] else ""
    cause = CALLED.get(main["cause"], main["cause"])
    said += f": {main['steps']} of them for {cause}{every}, which costs {main['seconds']:.3g} s"
    first = found[0]
    return issues(rule, len(usual), said, ADVICE[main["cause"]], first.step, value=first.seconds, threshold=limit)
