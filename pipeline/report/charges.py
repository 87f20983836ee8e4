"""What the jobs of an execution cost in an account: machines, the seconds that are billed, the price of an hour."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.client import Clients
from pipeline.control import outcome
from pipeline.plan import cost
from pipeline.plan.prices import Money, Price, Prices


@dataclass(frozen=True)
class Charge:
    """`seconds` of one machine; `usd` is None where `missing` is not known."""

    machines: str
    seconds: float
    usd: float | None
    prices: tuple[Price, ...] = ()
    missing: str = ""


def of(clients: Clients, arn: str, steps: list[dict[str, Any]], money: Money) -> dict[str, Charge]:
    """Step → its charge. Empty on this machine, where nothing is billed; a step from the cache costs nothing."""
    if not clients.place:
        return {}
    prices = Prices(arn.split(":")[3], money.own, money.source, money.date)
    found = {step["StepName"]: _of(clients, step, prices) for step in steps}
    return {name: charge for name, charge in found.items() if charge}


def _of(clients: Clients, step: dict[str, Any], prices: Prices) -> Charge | None:
    if "CacheHitResult" in step or step.get("SelectiveExecutionResult"):
        return Charge("", 0.0, 0.0)
    match step["StepType"]:
        case "Processing" if name := outcome.metadata_name(step, "ProcessingJob"):
            job = clients.sagemaker.describe_processing_job(ProcessingJobName=name)
            return _charge("Processing", job, _between(job, "ProcessingStartTime", "ProcessingEndTime"), prices)
        case "Training" if job := outcome.training_job(clients, step):
            billed = job.get("BillableTimeInSeconds", _between(job, "TrainingStartTime", "TrainingEndTime"))
            return _charge("Training", job, billed, prices)
        case "Tuning" if job := outcome.tuning_job(clients, step):
            trials = outcome.trials(clients, step)
            whole = sum(_between(trial, "TrainingStartTime", "TrainingEndTime") or 0.0 for trial in trials)
            return _charge("Tuning", job, whole, prices)
        case "Transform" if name := outcome.metadata_name(step, "TransformJob"):
            job = clients.sagemaker.describe_transform_job(TransformJobName=name)
            return _charge("Transform", job, _between(job, "TransformStartTime", "TransformEndTime"), prices)
    return None


def _between(job: Mapping[str, Any], start: str, end: str) -> float | None:
    """None while it runs, or has never started."""
    return (job[end] - job[start]).total_seconds() if start in job and end in job else None


def _charge(kind: str, job: Mapping[str, Any], seconds: float | None, prices: Prices) -> Charge:
    """What Describe answers has the members of the request."""
    fleets = cost.fleets_of(kind, job)
    machines = " + ".join(f"{fleet.count} × {fleet.machine}" for fleet in fleets)
    if seconds is None:
        return Charge(machines, 0.0, None, missing="its time is not known")
    known = [prices.of("Training" if kind == "Tuning" else kind, fleet.machine) for fleet in fleets]
    if not fleets or None in known:
        unpriced = ", ".join(fleet.machine for fleet, price in zip(fleets, known, strict=True) if price is None)
        return Charge(machines, seconds, None, missing=f"no price of {unpriced}" if unpriced else "machines not known")
    if kind == "Tuning" and cost.is_spot(kind, job):  # of a training job the seconds that are billed say it
        return Charge(machines, seconds, None, missing="spot costs less, and how much is not known")
    costs = [price for price in known if price is not None]
    hourly = sum(price.usd * fleet.count for price, fleet in zip(costs, fleets, strict=True))
    return Charge(machines, seconds, hourly * seconds / 3600, tuple(dict.fromkeys(costs)))
