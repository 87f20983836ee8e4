"""CreateHyperParameterTuningJob on this machine: trials are training jobs, Optuna draws their hyperparameters."""

from __future__ import annotations

import math
import time
from contextlib import suppress

from pipeline.local.jobs import JobContext, JobFailed
from pipeline.local.jobs.completion import CONVERGENCE, EARLY_STOPPING, Completion, MedianRule
from pipeline.local.jobs.hosts import machine_cores
from pipeline.local.jobs.metrics import HISTORY
from pipeline.local.jobs.tracking import Job, settle
from pipeline.local.jobs.trial import Trial, adopt, final_value, parents_trials, resources, set_objective
from pipeline.local.jobs.tuning_plan import Plan
from pipeline.local.loop import Cancelled

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pipeline.local.jobs.search import Search
    from pipeline.local.loop import Task
    from pipeline.local.store import Record

KIND = "hyper-parameter-tuning-job"
_MOST_SUMMARIES = 50  # what a definition may index with TrainingJobSummaries[k]


async def run(request: dict[str, Any], context: JobContext) -> dict[str, Any]:
    """Raises JobFailed; returns the body of DescribeHyperParameterTuningJob, and TrainingJobSummaries, best first."""
    job = Job(context, KIND, "HyperParameterTuning", request)
    context.announce({"TuningJob": {"Arn": job.arn}})
    return await settle(job, _work(job, request), context.log_path)


async def _work(job: Job, request: dict[str, Any]) -> dict[str, Any]:
    tuning = Tuning(job, Plan(request))
    return await tuning.run()


class Tuning:
    """One tuning job at work."""

    def __init__(self, job: Job, plan: Plan) -> None:
        from pipeline.local.jobs.search import Search

        self.job = job
        self.context = job.context
        self.plan = plan
        cores = machine_cores()
        self.instances = int(resources(plan.definition).get("InstanceCount") or 1)  # of each trial
        self.parallel = min(plan.parallel, max(1, cores // self.instances), plan.most or plan.parallel)
        self.cores = max(1, cores // self.parallel)
        self.search: Search = Search(
            plan.ranges,
            plan.strategy,
            maximize=plan.maximize,
            seed=plan.seed,
            most=plan.most,
            parallel=self.parallel,
            resources=plan.resources,
        )
        self.median = MedianRule(plan.maximize)
        self.completion = Completion(plan.criteria, plan.maximize)
        self.running: dict[Task, Trial] = {}
        self.finished: list[dict[str, Any]] = []  # summaries, with what ranks them
        self.pending: list[dict[str, str]] = []  # hyperparameters of trials that a killed runner had begun
        self.started = 0
        self.number = 0  # of the last trial; also those of before a resume count
        self.last_log = ""

    async def run(self) -> dict[str, Any]:
        self._take_up()
        self._note_parity()
        began = time.monotonic()
        deadline = began + self.plan.seconds
        try:
            while True:
                while self._may_start(deadline):
                    self._start()
                self._save()
                if not self.running:
                    break
                left = None if deadline == math.inf else max(0.0, deadline - time.monotonic())
                done = await self.context.loop.first(self.running, left)
                for task in done:
                    self._end(task)
                if self.completion.reached or time.monotonic() >= deadline:
                    await self._stop_running(for_good=True)
        except BaseException:
            await self._stop_running(for_good=False)
            raise
        self.job.body["ConsumedResources"] = {"RuntimeInSeconds": math.ceil(time.monotonic() - began)}
        return self._finish()

    def _take_up(self) -> None:
        """Trials of a tuning job that a killed runner left behind, and of those that a warm start names."""
        for record in parents_trials(self.context.store, self.plan.warm_start):
            self._learn(record, is_own=False)
        if not self.context.previous_job:
            return
        finished, self.pending = adopt(self.context, self.job.arn, self.context.previous_job)
        for record in finished:
            self.started += 1
            self.number = max(self.number, int(record.body.get("_Trial", 0)))
            self._learn(record, is_own=True)
            history = record.body.get(HISTORY, {}).get(self.plan.metric, [])
            self.median.learn([value for _, value in history])
            self.completion.learn(final_value(record.body))
            self._count(record.body)

    def _learn(self, record: Record, is_own: bool) -> None:
        self.search.learn(record.body["TunedHyperParameters"], final_value(record.body), is_own)

    def _note_parity(self) -> None:
        self.context.parity(
            f"Strategy {self.plan.strategy}", "Optuna draws the values: others than SageMaker would draw"
        )
        if self.plan.early_stopping:
            self.context.parity("TrainingJobEarlyStoppingType", EARLY_STOPPING)
        if self.completion.converges:
            self.context.parity("ConvergenceDetected", CONVERGENCE)
        if self.parallel < self.plan.parallel:
            self.context.parity(
                "MaxParallelTrainingJobs",
                f"{self.parallel} instead of {self.plan.parallel} at a time: there are {machine_cores()} cores"
                + (f" for {self.instances} instances each" if self.instances > 1 else ""),
            )

    def _may_start(self, deadline: float) -> bool:
        if len(self.running) >= self.parallel or self.completion.reached or time.monotonic() >= deadline:
            return False
        return self.plan.most is None or self.started < self.plan.most

    def _start(self) -> None:
        drawn, texts = self.search.again(self.pending.pop(0)) if self.pending else self.search.ask()
        self.started += 1
        self.number += 1
        trial = Trial(self, drawn, texts)
        self.running[self.context.loop.spawn(trial.run())] = trial

    def judge(self, trial: Trial, value: float, epoch: int) -> bool:
        """After an epoch of a trial: is it not worth going on with?"""
        if self.search.report(trial.drawn, value, epoch):
            return True
        return self.plan.early_stopping and self.median.is_worse(value, epoch)

    def _end(self, task: Task) -> None:
        trial = self.running.pop(task)
        task.result()
        self.search.tell(trial.drawn, trial.value, trial.stopped_early)
        self.median.learn(trial.values)
        self.completion.learn(trial.value)
        self.last_log = trial.context.log_path if trial.failure else self.last_log
        self._count(trial.job.body)

    def _count(self, body: dict[str, Any]) -> None:
        keys = (
            *("TrainingJobName", "TrainingJobArn", "CreationTime", "TrainingStartTime", "TrainingEndTime"),
            *("TrainingJobStatus", "TunedHyperParameters", "FailureReason"),
            *("FinalHyperParameterTuningJobObjectiveMetric", "ObjectiveStatus"),
        )
        self.finished.append({key: body[key] for key in keys if key in body})

    async def _stop_running(self, for_good: bool) -> None:
        """`for_good`: the tuning is done with them; else a resume runs them again."""
        for task in self.running:
            task.cancel()
        while self.running:
            for task in await self.context.loop.first(self.running):
                trial = self.running.pop(task)
                with suppress(Cancelled):
                    task.result()
                self.search.tell(trial.drawn, None, stopped=True)
                if for_good and trial.job.cancelled:
                    set_objective(trial.job.body, "Stopped", self.plan.metric)
                    trial.job.save(now=True)
                self._count(trial.job.body)

    def _ranked(self) -> list[dict[str, Any]]:
        """Best first; those without an objective are not in it."""
        with_value = [item for item in self.finished if item.get("ObjectiveStatus") == "Succeeded"]
        return sorted(with_value, key=_objective, reverse=self.plan.maximize)

    def _save(self) -> None:
        statuses = [item["TrainingJobStatus"] for item in self.finished]
        objectives = [item.get("ObjectiveStatus") for item in self.finished]
        body = self.job.body
        body["TrainingJobStatusCounters"] = {
            "Completed": statuses.count("Completed"),
            "InProgress": len(self.running),
            "RetryableError": 0,
            "NonRetryableError": statuses.count("Failed"),
            "Stopped": statuses.count("Stopped"),
        }
        body["ObjectiveStatusCounters"] = {
            "Succeeded": objectives.count("Succeeded"),
            "Pending": len(self.running),
            "Failed": objectives.count("Failed"),
        }
        body["TuningJobCompletionDetails"] = {
            "NumberOfTrainingJobsObjectiveNotImproving": self.completion.not_improving
        }
        best = self._ranked()[:1]
        if best:
            body["BestTrainingJob"] = best[0]
        self.job.save(now=not self.running)

    def _finish(self) -> dict[str, Any]:
        body = self.job.body
        body["HyperParameterTuningEndTime"] = time.time()
        if self.completion.reached == "ConvergenceDetected":
            body["TuningJobCompletionDetails"]["ConvergenceDetectedTime"] = time.time()
        ranked = self._ranked()
        if not ranked:
            raise JobFailed(self._why_nothing(), "", self.last_log)
        return {**self.job.end("Completed"), "TrainingJobSummaries": ranked[:_MOST_SUMMARIES]}

    def _why_nothing(self) -> str:
        count = len(self.finished)
        reasons = [item["FailureReason"] for item in self.finished if item.get("FailureReason")]
        if reasons:
            return f"ClientError: all {count} training jobs failed; the last one: {reasons[-1]}"
        return f"ClientError: none of {count} training jobs logged the objective metric {self.plan.metric!r}"


def _objective(summary: dict[str, Any]) -> float:
    return float(summary["FinalHyperParameterTuningJobObjectiveMetric"]["Value"])
