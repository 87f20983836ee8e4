"""What the next execution costs: at most, and if each step takes as long as the last time.

Machines alone: neither their disks nor S3, no retries. What spot capacity costs is not written down anywhere: at most
as much as on demand.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

from pipeline.client import Clients, pages
from pipeline.control import outcome
from pipeline.plan.caching import HIT, JOBS, SKIPPED, Forecast, Prediction
from pipeline.plan.history import Past
from pipeline.plan.prices import Price, Prices

LONGEST_S = 86400  # the service's default for Processing and Training jobs


@dataclass(frozen=True)
class Fleet:
    """What one job runs on. `seconds`: the longest that it may take, None where nothing limits it."""

    machine: str
    count: int
    seconds: float | None


@dataclass(frozen=True)
class StepCost:
    """USD; None where it is unknown, and `missing` says what is not known. A hit costs nothing."""

    step: str
    machines: str
    most: float | None
    likely: float | None
    prices: tuple[Price, ...] = ()
    missing: str = ""


@dataclass(frozen=True)
class Cost:
    """Sums of what is known; `without`: steps that are missing in them."""

    steps: tuple[StepCost, ...]
    most: float
    likely: float
    without_most: tuple[str, ...]
    without_likely: tuple[str, ...]


def estimate(clients: Clients, forecast: Forecast, prices: Prices) -> Cost:
    steps = tuple(_step(clients, forecast, found, prices) for found in forecast.predictions if found.kind in JOBS)
    return Cost(
        steps,
        most=sum(step.most or 0.0 for step in steps),
        likely=sum(step.likely or 0.0 for step in steps),
        without_most=tuple(step.step for step in steps if step.most is None),
        without_likely=tuple(step.step for step in steps if step.likely is None),
    )


def _step(clients: Clients, forecast: Forecast, found: Prediction, prices: Prices) -> StepCost:
    request = forecast.request(forecast.definition.steps[found.step])
    fleets = fleets_of(found.kind, request)
    machines = " + ".join(f"{fleet.count} × {fleet.machine}" for fleet in fleets)
    if found.outcome in (HIT, SKIPPED):
        return StepCost(found.step, machines, 0.0, 0.0)
    if not fleets:
        return StepCost(found.step, "", None, None, missing="machines are not known yet")
    kind = "Training" if found.kind == "Tuning" else found.kind
    known = [prices.of(kind, fleet.machine) for fleet in fleets]
    if None in known:
        missing = ", ".join(fleet.machine for fleet, price in zip(fleets, known, strict=True) if price is None)
        return StepCost(found.step, machines, None, None, missing=f"no price of {missing}")
    costs = [price for price in known if price is not None]
    hourly = sum(price.usd * fleet.count for price, fleet in zip(costs, fleets, strict=True))
    longest = _longest(found.kind, request, fleets)
    likely = _likely(clients, forecast, found, request)
    most = None if longest is None else hourly * longest / 3600
    missing = "nothing limits its time" if most is None else "it has never run" if likely is None else ""
    if likely and is_spot(found.kind, request):
        likely, missing = None, "spot costs less, and how much is not known"
    return StepCost(
        *(found.step, machines, most, None if likely is None else hourly * likely / 3600),
        prices=tuple(dict.fromkeys(costs)),
        missing=missing,
    )


def is_spot(kind: str, request: Mapping[str, Any]) -> bool:
    return (_trial(request) if kind == "Tuning" else request).get("EnableManagedSpotTraining") is True


def fleets_of(kind: str, request: Mapping[str, Any]) -> list[Fleet]:
    """Empty where the request does not tell, or not yet."""
    match kind:
        case "Processing":
            groups = [(request.get("ProcessingResources") or {}).get("ClusterConfig") or {}]
        case "Training":
            groups = _groups(request)
        case "Tuning":
            # several definitions share the jobs among them: the first stands for all
            groups = _groups(_trial(request))
        case _:
            groups = [request.get("TransformResources") or {}]
    limit = _seconds(_trial(request) if kind == "Tuning" else request)
    known = [
        Fleet(group["InstanceType"], group.get("InstanceCount", 1), None if kind == "Transform" else limit)
        for group in groups
        if isinstance(group.get("InstanceType"), str) and isinstance(group.get("InstanceCount", 1), int)
    ]
    return known if len(known) == len(groups) else []


def _groups(request: Mapping[str, Any]) -> list[dict[str, Any]]:
    resources = request.get("ResourceConfig") or request.get("HyperParameterTuningResourceConfig") or {}
    return list(resources.get("InstanceGroups") or resources.get("InstanceConfigs") or [resources])


def _trial(request: Mapping[str, Any]) -> dict[str, Any]:
    several = request.get("TrainingJobDefinitions") or [{}]
    return dict(request.get("TrainingJobDefinition") or several[0])


def _seconds(request: Mapping[str, Any]) -> float | None:
    limit = (request.get("StoppingCondition") or {}).get("MaxRuntimeInSeconds", LONGEST_S)
    return float(limit) if isinstance(limit, int | float) else None


def _longest(kind: str, request: Mapping[str, Any], fleets: Iterable[Fleet]) -> float | None:
    """Seconds of all its jobs together."""
    seconds = next(iter(fleets)).seconds
    if kind != "Tuning" or seconds is None:
        return seconds
    jobs = _jobs(request)
    whole = _limits(request).get("MaxRuntimeInSeconds")
    parallel = _limits(request).get("MaxParallelTrainingJobs")
    bounds = [jobs * seconds] if jobs is not None else []
    if isinstance(whole, int) and isinstance(parallel, int):
        bounds.append(float(whole * parallel))
    return min(bounds, default=None)


def _likely(clients: Clients, forecast: Forecast, found: Prediction, request: Mapping[str, Any]) -> float | None:
    """Seconds; 0 for a step that rather hits."""
    if not found.likely:
        return 0.0
    last = _last(forecast.past, found.step)
    if last is None:
        return None
    row = last[1]
    if found.kind != "Tuning":
        return float((row["EndTime"] - row["StartTime"]).total_seconds())
    each = list(_trial_seconds(clients, row))
    jobs = _jobs(request)
    return sum(each) / len(each) * (jobs if jobs is not None else len(each)) if each else None


def _last(past: Past | None, step: str) -> tuple[str, dict[str, Any]] | None:
    run = next(past.successes(step), None) if past else None
    return (run.arn, run.rows[step]) if run and run.rows[step].get("EndTime") else None


def _trial_seconds(clients: Clients, row: Mapping[str, Any]) -> Iterator[float]:
    name = outcome.metadata_name(dict(row), "TuningJob")
    if name:
        operation = clients.sagemaker.list_training_jobs_for_hyper_parameter_tuning_job
        for trial in pages(operation, "TrainingJobSummaries", HyperParameterTuningJobName=name):
            if "TrainingStartTime" in trial and "TrainingEndTime" in trial:
                yield (trial["TrainingEndTime"] - trial["TrainingStartTime"]).total_seconds()


def _limits(request: Mapping[str, Any]) -> dict[str, Any]:
    return dict((request.get("HyperParameterTuningJobConfig") or {}).get("ResourceLimits") or {})


def _jobs(request: Mapping[str, Any]) -> int | None:
    """How many trials there will be; a grid has as many as it has places."""
    most = _limits(request).get("MaxNumberOfTrainingJobs")
    if isinstance(most, int):
        return most
    config = request.get("HyperParameterTuningJobConfig") or {}
    categories = (config.get("ParameterRanges") or {}).get("CategoricalParameterRanges") or []
    if config.get("Strategy") == "Grid" and categories:
        return prod(len(each.get("Values") or ()) for each in categories)
    return None
