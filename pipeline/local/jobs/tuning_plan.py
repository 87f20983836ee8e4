"""A CreateHyperParameterTuningJob request, read and checked."""

from __future__ import annotations

import math

from pipeline.local.jobs import JobFailed
from pipeline.local.jobs.ranges import read_ranges

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pipeline.local.jobs.ranges import Range


class Plan:
    """A request, read and checked. Raises JobFailed for what the service would refuse."""

    def __init__(self, request: dict[str, Any]) -> None:
        self.config: dict[str, Any] = request["HyperParameterTuningJobConfig"]
        self.definition = _definition(request)
        self.warm_start: dict[str, Any] = request.get("WarmStartConfig") or {}
        if request.get("Autotune"):
            raise JobFailed("ClientError: Autotune does not exist on this machine: give ranges")
        self.strategy = str(self.config.get("Strategy", ""))
        objective = self.config.get("HyperParameterTuningJobObjective") or self.definition.get("TuningObjective") or {}
        self.metric = str(objective.get("MetricName", ""))
        self.maximize = objective.get("Type") == "Maximize"
        self.ranges = read_ranges(
            self.config.get("ParameterRanges") or self.definition.get("HyperParameterRanges") or {}
        )
        self._check_objective()
        self._check_static()
        self.early_stopping = self.config.get("TrainingJobEarlyStoppingType") == "Auto"
        self.resources = self._hyperband()
        limits = self.config.get("ResourceLimits") or {}
        self.parallel = int(limits.get("MaxParallelTrainingJobs") or 1)
        self.seconds = float(limits.get("MaxRuntimeInSeconds") or math.inf)
        self.most = self._most(limits)
        seed = self.config.get("RandomSeed")
        self.seed = None if seed is None else int(seed)
        self.criteria: dict[str, Any] = self.config.get("TuningJobCompletionCriteria") or {}

    def _check_objective(self) -> None:
        defined = [d.get("Name") for d in self.definition["AlgorithmSpecification"].get("MetricDefinitions") or []]
        if self.metric not in defined:
            raise JobFailed(f"ClientError: the objective {self.metric!r} is none of the MetricDefinitions: {defined}")

    def _check_static(self) -> None:
        static = self.definition.get("StaticHyperParameters") or {}
        for item in self.ranges:
            if item.name in static:
                raise JobFailed(f"ClientError: {item.name!r} is both a range and a StaticHyperParameter")

    def _hyperband(self) -> tuple[int, int] | None:
        if self.strategy != "Hyperband":
            return None
        if self.early_stopping:
            raise JobFailed("ClientError: Hyperband needs TrainingJobEarlyStoppingType Off: it stops trials itself")
        config = (self.config.get("StrategyConfig") or {}).get("HyperbandStrategyConfig") or {}
        return int(config.get("MinResource") or 1), int(config.get("MaxResource") or 0)

    def _most(self, limits: dict[str, Any]) -> int | None:
        most = limits.get("MaxNumberOfTrainingJobs")
        if self.strategy == "Grid":
            product = _grid_size(self.ranges)
            if most is not None and int(most) != product:
                raise JobFailed(f"ClientError: Grid has {product} combinations; MaxNumberOfTrainingJobs is {most}")
            return product
        if most is None and self.seconds == math.inf:
            raise JobFailed("ClientError: ResourceLimits needs MaxNumberOfTrainingJobs or MaxRuntimeInSeconds")
        return None if most is None else int(most)


def _definition(request: dict[str, Any]) -> dict[str, Any]:
    several = request.get("TrainingJobDefinitions") or []
    if len(several) > 1:
        raise JobFailed(f"ClientError: {len(several)} TrainingJobDefinitions; on this machine a tuning job has one")
    definition: dict[str, Any] = request.get("TrainingJobDefinition") or (several[0] if several else {})
    if not definition.get("AlgorithmSpecification"):
        raise JobFailed("ClientError: there is no TrainingJobDefinition with an AlgorithmSpecification")
    return definition


def _grid_size(ranges: list[Range]) -> int:
    for item in ranges:
        if not item.values:
            raise JobFailed(f"ClientError: Grid takes categorical ranges only; {item.name!r} is none")
    return math.prod(len(item.values) for item in ranges)
