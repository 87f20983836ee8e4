"""When a trial is not worth going on with, and when a whole tuning job is done."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

# The documented rule compares with "all previous training jobs"; with fewer than this its median says nothing [ours]
LEAST_TRIALS_FOR_MEDIAN = 4
# An improvement of 1% or less does not count: HyperParameterTuningJobCompletionDetails says so
IMPROVEMENT = 0.01
# AWS detects convergence by "criteria developed over benchmarking tests" that are not public; this is ours
CONVERGED_AFTER = 10
# for the parity report
EARLY_STOPPING = f"the documented median rule, from {LEAST_TRIALS_FOR_MEDIAN} earlier trials on: that number is ours"
CONVERGENCE = f"{CONVERGED_AFTER} trials without a gain above 1 %: AWS's own criteria are not public"


class MedianRule:
    """TrainingJobEarlyStoppingType Auto, as AWS's page automatic-model-tuning-early-stopping describes it."""

    __slots__ = ("_averages", "_maximize")

    def __init__(self, maximize: bool) -> None:
        self._maximize = maximize
        self._averages: list[list[float]] = []  # a trial: running average after each epoch

    def learn(self, values: list[float]) -> None:
        """The objective of a trial that has ended, epoch by epoch."""
        total, averages = 0.0, []
        for count, value in enumerate(values, 1):
            total += value
            averages.append(total / count)
        if averages:
            self._averages.append(averages)

    def is_worse(self, value: float, epoch: int) -> bool:
        """Is this value after this epoch (from 1) worse than the median of the others' running averages?"""
        others = sorted(averages[epoch - 1] for averages in self._averages if len(averages) >= epoch)
        if len(others) < LEAST_TRIALS_FOR_MEDIAN:
            return False
        middle = len(others) // 2
        median = others[middle] if len(others) % 2 else (others[middle - 1] + others[middle]) / 2
        return value < median if self._maximize else value > median


class Completion:
    """TuningJobCompletionCriteria, judged after every trial."""

    __slots__ = ("_maximize", "_patience", "_reference", "_target", "converges", "not_improving", "reached")

    def __init__(self, criteria: Mapping[str, Any], maximize: bool) -> None:
        self._maximize = maximize
        target = criteria.get("TargetObjectiveMetricValue")
        self._target = None if target is None else float(target)
        patience = (criteria.get("BestObjectiveNotImproving") or {}).get("MaxNumberOfTrainingJobsNotImproving")
        self._patience = None if patience is None else int(patience)
        converged = (criteria.get("ConvergenceDetected") or {}).get("CompleteOnConvergence")
        self.converges = converged == "Enabled"
        self._reference: float | None = None
        self.not_improving = 0
        self.reached = ""  # the criterion that ended the tuning

    def learn(self, value: float | None) -> None:
        """The final objective of one more trial, None if it has none."""
        if value is not None and self._improves(value):
            self._reference = value
            self.not_improving = 0
        else:
            self.not_improving += 1
        if value is not None and self._target is not None and self._meets(value, self._target):
            self.reached = "TargetObjectiveMetricValue"
        elif self._patience is not None and self.not_improving >= self._patience:
            self.reached = self.reached or "BestObjectiveNotImproving"
        elif self.converges and self._reference is not None and self.not_improving >= CONVERGED_AFTER:
            self.reached = self.reached or "ConvergenceDetected"

    def _improves(self, value: float) -> bool:
        if self._reference is None:
            return True
        gain = value - self._reference if self._maximize else self._reference - value
        return gain > IMPROVEMENT * abs(self._reference)

    def _meets(self, value: float, target: float) -> bool:
        return value >= target if self._maximize else value <= target
