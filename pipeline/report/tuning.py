"""What the page says of a tuning job: trials, the way to the best one, and which hyperparameters mattered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.report.charts import Series, chart, is_wide
from pipeline.report.collect import Trial, Tuning
from pipeline.report.parallel import Scale, number_of, parallel

GROUPS = 3  # of values of a number, by size
ENOUGH = 3 * GROUPS  # trials; of fewer nothing can be said


@dataclass(frozen=True)
class Importance:
    """`share`: of the differences between trials, 0 to 1."""

    name: str
    share: float


def view(tuning: Tuning) -> dict[str, Any]:
    names = sorted({name for trial in tuning.trials for name in trial.hyperparameters})
    measured = [trial for trial in tuning.trials if trial.objective is not None]
    return {
        "tuning": tuning,
        "names": names,
        "plots": [plot for plot in _plots(tuning, names) if plot],
        "parallel": parallel(_scales(tuning, names, measured)),
        "measured": len(measured),
        "enough": ENOUGH,
        "importance": sorted(
            (Importance(name, found) for name in names if (found := importance(measured, name)) is not None),
            key=lambda each: -each.share,
        ),
    }


def _plots(tuning: Tuning, names: list[str]) -> list[Any]:
    measured = [(trial.number, trial.objective, trial) for trial in tuning.trials if trial.objective is not None]
    pick = max if tuning.maximize else min
    values = [value for _, value, _ in measured]
    best = [(float(number), pick(values[: index + 1])) for index, (number, _, _) in enumerate(measured)]
    dots = Series("trial", [(float(number), value) for number, value, _ in measured], "dots")
    plots = [chart([dots, Series("best so far", best, "steps")], "trial", tuning.objective)]
    for name in names:
        points = [
            (number, value)
            for _, value, trial in measured
            if (number := number_of(trial.hyperparameters.get(name, ""))) is not None
        ]
        plots.append(chart([Series(name, points, "dots")], name, tuning.objective, log_x=is_wide(points)))
    return plots


def _scales(tuning: Tuning, names: list[str], measured: list[Trial]) -> list[Scale]:
    """One for each hyperparameter, and the objective at the right; trials from the worst to the best."""
    ranked = sorted(measured, key=lambda trial: _rank_key(trial, tuning.maximize))
    scales = [Scale(name, [trial.hyperparameters.get(name, "") for trial in ranked]) for name in names]
    return [*scales, Scale(tuning.objective, [str(trial.objective) for trial in ranked])] if ranked and names else []


def _rank_key(trial: Trial, maximize: bool) -> float:
    value = trial.objective or 0.0
    return value if maximize else -value


def importance(trials: Sequence[Trial], name: str) -> float | None:
    """Share of the variance of the objective's ranks that lies between groups of trials with like values.

    Kelley's ε² ("An unbiased correlation ratio measure", PNAS 21, 1935): unlike η² it is 0 on average where a
    hyperparameter has no effect, whatever the number of groups. Ranks, since one trial that diverged would outweigh
    all others. Numbers are parted by size into groups of equally many, so that a best value in the middle counts. None
    for too few trials, and where all have the same value.
    """
    known = [trial for trial in trials if name in trial.hyperparameters and trial.objective is not None]
    groups = _groups([trial.hyperparameters[name] for trial in known])
    count, kinds = len(known), len(set(groups))
    ranks = _ranks([float(trial.objective or 0.0) for trial in known])
    if count < ENOUGH or kinds < 2 or count <= kinds:
        return None
    mean = sum(ranks) / count
    whole = sum((rank - mean) ** 2 for rank in ranks)
    if not whole:
        return None
    within = 0.0
    for group in set(groups):
        inside = [rank for rank, other in zip(ranks, groups, strict=True) if other == group]
        centre = sum(inside) / len(inside)
        within += sum((rank - centre) ** 2 for rank in inside)
    return max(0.0, 1 - (within / (count - kinds)) / (whole / (count - 1)))


def _groups(values: list[str]) -> list[str]:
    """Words are groups of their own; numbers of more than GROUPS values are parted by size."""
    numbers = [number_of(value) for value in values]
    if None in numbers or len(set(numbers)) <= GROUPS:
        return values
    ranks = _ranks([number or 0.0 for number in numbers])
    return [str(min(int((rank - 0.5) * GROUPS / len(values)), GROUPS - 1)) for rank in ranks]


def _ranks(values: list[float]) -> list[float]:
    """From 1; equal values share the middle of their ranks."""
    places: dict[float, list[int]] = {}
    for place, value in enumerate(sorted(values), start=1):
        places.setdefault(value, []).append(place)
    return [sum(places[value]) / len(places[value]) for value in values]
