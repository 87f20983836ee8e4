"""What the page says of a tuning job: trials, the way to the best one, and which hyperparameters mattered."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from markupsafe import Markup

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
    ranked = sorted(measured, key=lambda trial: _rank_key(trial, tuning.maximize))
    scales = [Scale(name, [trial.hyperparameters.get(name, "") for trial in ranked]) for name in names]
    objective = Scale(tuning.objective, [str(trial.objective) for trial in ranked])
    return {
        "tuning": tuning,
        "names": names,
        "rows": [(trial, [_cell(trial, name) for name in names]) for trial in tuning.trials],
        "plots": [plot for plot in (_course(tuning, measured), *_plots(scales, objective)) if plot],
        "parallel": parallel([*scales, objective] if ranked and names else []),
        "measured": len(measured),
        "enough": ENOUGH,
        "importance": sorted(
            (Importance(name, found) for name in names if (found := importance(measured, name)) is not None),
            key=lambda each: -each.share,
        ),
    }


def _cell(trial: Trial, name: str) -> tuple[str, str]:
    """As it was given, which the table is sorted by, and as it is shown."""
    text = trial.hyperparameters.get(name, "")
    return text, short(text)


def short(text: str) -> str:
    """0.021959816073193316 → 0.02196; what is no long number stays as it is."""
    value = number_of(text)
    return text if value is None or len(text) <= 8 else f"{value:.4g}"


def _course(tuning: Tuning, measured: list[Trial]) -> Markup:
    """Trials one after the other, and the best so far."""
    values = [trial.objective or 0.0 for trial in measured]
    so_far = accumulate(values, max if tuning.maximize else min)
    dots, best = (
        [(float(trial.number), value) for trial, value in zip(measured, found, strict=True)]
        for found in (values, so_far)
    )
    return chart([Series("trial", dots, "dots"), Series("best so far", best, "steps")], "trial", tuning.objective)


def _plots(scales: list[Scale], objective: Scale) -> Iterator[Markup]:
    """One for each hyperparameter whose values are numbers."""
    for scale in scales:
        pairs = zip(scale.numbers, objective.numbers, strict=True)
        points = [(across, up) for across, up in pairs if across is not None and up is not None]
        yield chart([Series(scale.name, points, "dots")], scale.name, objective.name, log_x=is_wide(points))


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
    whole = _spread(ranks)
    if not whole:
        return None
    parted: dict[str, list[float]] = {}
    for rank, group in zip(ranks, groups, strict=True):
        parted.setdefault(group, []).append(rank)
    within = sum(_spread(inside) for inside in parted.values())
    return max(0.0, 1 - (within / (count - kinds)) / (whole / (count - 1)))


def _groups(values: list[str]) -> list[str]:
    """Words are groups of their own; numbers of more than GROUPS values are parted by size."""
    numbers = [number_of(value) for value in values]
    if None in numbers or len(set(numbers)) <= GROUPS:
        return values
    ranks = _ranks([number or 0.0 for number in numbers])
    return [str(min(int((rank - 0.5) * GROUPS / len(values)), GROUPS - 1)) for rank in ranks]


def _spread(ranks: list[float]) -> float:
    """Sum of their squared distances from the mean."""
    mean = sum(ranks) / len(ranks)
    return sum((rank - mean) ** 2 for rank in ranks)


def _ranks(values: list[float]) -> list[float]:
    """From 1; equal values share the middle of their ranks."""
    first: dict[float, int] = {}
    last: dict[float, int] = {}
    for place, value in enumerate(sorted(values), start=1):
        first.setdefault(value, place)
        last[value] = place
    return [(first[value] + last[value]) / 2 for value in values]
