"""One trial of a tuning job: a training job with drawn hyperparameters."""

from __future__ import annotations

import math
import os

from pipeline.errors import ServiceError
from pipeline.local import logs
from pipeline.local.jobs import JobContext, JobFailed, checkpoints
from pipeline.local.jobs.tracking import Job, settle
from pipeline.local.jobs.training import KIND, TrainingRun

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    import optuna

    from pipeline.local.jobs.tuning import Tuning
    from pipeline.local.store import Record, Store

_TUNING = "hyper-parameter-tuning-job"
# members of a training job definition that a training job has under the same name
_COPIED = (
    *("AlgorithmSpecification", "RoleArn", "InputDataConfig", "VpcConfig", "OutputDataConfig", "ResourceConfig"),
    *("StoppingCondition", "EnableNetworkIsolation", "EnableInterContainerTrafficEncryption", "RetryStrategy"),
    *("EnableManagedSpotTraining", "CheckpointConfig", "Environment"),
)


class TrialJob(Job):
    """A training job's record that also says how its objective came out, in the same write as its last status."""

    __slots__ = ("metric",)

    def __init__(self, tuning: Tuning, context: JobContext, request: dict[str, Any], texts: dict[str, str]) -> None:
        self.metric = tuning.plan.metric
        linked = {"TuningJobArn": tuning.job.arn, "TunedHyperParameters": texts, "ObjectiveStatus": "Pending"}
        name = tuning.plan.definition.get("DefinitionName")
        named = {"TrainingJobDefinitionName": name} if name else {}
        super().__init__(context, KIND, "Training", {**request, **linked, **named, "_Trial": tuning.number})

    def close(self, status: str) -> None:
        if self.cancelled:
            return  # Pending: a resume runs it again
        set_objective(self.body, status, self.metric)


class Trial:
    """`value` is its final objective or None; `values` that after each epoch; `failure` why it failed, or ''."""

    def __init__(self, tuning: Tuning, drawn: optuna.trial.Trial, texts: dict[str, str]) -> None:
        self.tuning = tuning
        self.drawn = drawn
        self.values: list[float] = []
        self.failure = ""
        self.stopped_early = False
        self.context = _context(tuning.context, tuning.number)
        self.request = trial_request(tuning.plan.definition, texts, tuning.plan.metric)
        if self.request.get("CheckpointConfig"):
            self.context.parity("CheckpointConfig of trials", checkpoints.TRIALS)
        self.job = TrialJob(tuning, self.context, self.request, texts)

    @property
    def value(self) -> float | None:
        return final_value(self.job.body)

    async def run(self) -> None:
        """Never raises JobFailed: a tuning goes on when a trial fails."""
        work = TrainingRun(self.job, self.request, self.tuning.cores, self._on_metric, lambda: self.stopped_early)
        try:
            await settle(self.job, work.run(), self.context.log_path)
        except JobFailed as exc:
            self.failure = exc.message

    def _on_metric(self, name: str, value: float) -> None:
        if name != self.tuning.plan.metric or not math.isfinite(value):
            return
        self.values.append(value)
        if not self.stopped_early and self.tuning.judge(self, value, len(self.values)):
            self.stopped_early = True


def set_objective(body: dict[str, Any], status: str, metric: str) -> None:
    """Completes a trial's record from its final metrics. One that was stopped early still counts, as on AWS."""
    found = [item["Value"] for item in body.get("FinalMetricDataList") or [] if item["MetricName"] == metric]
    if found:
        body["FinalHyperParameterTuningJobObjectiveMetric"] = {"MetricName": metric, "Value": found[0]}
    body["ObjectiveStatus"] = "Succeeded" if found and status != "Failed" else "Failed"


def final_value(body: dict[str, Any]) -> float | None:
    """The objective that counts; None for a trial that failed or never logged it."""
    if body.get("ObjectiveStatus") != "Succeeded":
        return None
    return float(body["FinalHyperParameterTuningJobObjectiveMetric"]["Value"])


def trial_request(definition: Mapping[str, Any], texts: Mapping[str, str], metric: str) -> dict[str, Any]:
    """The CreateTrainingJob request of one trial."""
    request = {key: definition[key] for key in _COPIED if key in definition}
    request["ResourceConfig"] = resources(definition)
    static = definition.get("StaticHyperParameters") or {}
    request["HyperParameters"] = {**static, **texts, "_tuning_objective_metric": metric}
    if request.get("CheckpointConfig"):
        request["CheckpointConfig"] = checkpoints.of_trial(request["CheckpointConfig"], request["HyperParameters"])
    return request


def resources(definition: Mapping[str, Any]) -> dict[str, Any]:
    """The ResourceConfig of each trial."""
    if "ResourceConfig" in definition:
        return dict(definition["ResourceConfig"])
    config = definition.get("HyperParameterTuningResourceConfig") or {}
    chosen = {**config, **(config.get("InstanceConfigs") or [{}])[0]}
    return {key: chosen[key] for key in ("InstanceType", "InstanceCount", "VolumeSizeInGB") if key in chosen}


def _context(outer: JobContext, number: int) -> JobContext:
    """A trial's own name, folder and log: <step>-<n>.log."""
    values = {slot: getattr(outer, slot) for slot in JobContext.__slots__}
    stem, extension = os.path.splitext(outer.log_path)
    name = f"{outer.job_name}-{number:03d}-{os.urandom(4).hex()}"
    own = {
        "job_name": name,
        "work": os.path.join(outer.work, name),
        "log_path": f"{stem}-{number}{extension}",
        "previous_job": "",
        "announce": lambda _: None,
    }
    return JobContext(**{**values, **own})


def trials_of(store: Store, arn: str) -> list[Record]:
    """Oldest first."""
    found = [record for record in store.list(KIND) if record.body.get("TuningJobArn") == arn]
    return sorted(found, key=lambda record: int(record.body.get("_Trial", 0)))


def adopt(context: JobContext, arn: str, previous: str) -> tuple[list[Record], list[dict[str, str]]]:
    """Links the finished trials of a killed runner to the tuning job `arn`; also the others' hyperparameters."""
    store = context.store
    found = store.find(_TUNING, previous)
    if not found:
        return [], []
    finished, unfinished = [], []
    with store.transaction():
        for record in trials_of(store, found[0].arn):
            if record.body.get("ObjectiveStatus") == "Pending":
                unfinished.append(record.body["TunedHyperParameters"])
                changes = {"TrainingJobStatus": "Stopped", "SecondaryStatus": "Stopped", "ObjectiveStatus": "Failed"}
                store.change(KIND, record.name, {**changes, **logs.ended(record.body)}, status="Stopped")
            else:
                finished.append(store.change(KIND, record.name, {"TuningJobArn": arn}))
        changes = {"HyperParameterTuningJobStatus": "Stopped"}
        if found[0].status in ("InProgress", "Stopping"):
            store.change(_TUNING, previous, changes, status="Stopped")
    return finished, unfinished


def parents_trials(store: Store, warm_start: Mapping[str, Any]) -> list[Record]:
    """The finished trials of the tuning jobs that WarmStartConfig names. Raises JobFailed when one does not exist."""
    found: list[Record] = []
    for parent in warm_start.get("ParentHyperParameterTuningJobs") or []:
        name = parent["HyperParameterTuningJobName"]
        try:
            record = store.get(_TUNING, name)
        except ServiceError as exc:
            raise JobFailed(f"ClientError: WarmStartConfig: there is no tuning job {name!r} on this machine") from exc
        found += [trial for trial in trials_of(store, record.arn) if final_value(trial.body) is not None]
    return found
