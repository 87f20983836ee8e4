"""Walks a definition: order, parallelism, conditions, cache, retries, resume.

It runs inside the execution's own runner process. Everything that it decides is in the store before it acts on it, so a
runner that is killed at any moment leaves an execution that `resume` can finish.
"""

from __future__ import annotations

import importlib
import os
import time
from collections import deque

from pipeline import cache_keys
from pipeline.definition import BRANCHES, Definition
from pipeline.errors import DarkroomError
from pipeline.local import conditions, names, parity
from pipeline.local.folders import Folders
from pipeline.local.jobs import KINDS, MODULES, JobContext, JobFailed
from pipeline.local.loop import Cancelled
from pipeline.local.records import Execution, StepRow
from pipeline.local.resolve import Scope
from pipeline.local.retries import Retries

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pipeline.definition import Step
    from pipeline.local.isolation import Isolation
    from pipeline.local.jobs import Driver
    from pipeline.local.loop import Loop, Task
    from pipeline.local.storage import Storage
    from pipeline.local.store import Store

STOP_POLL_S = 0.2
HEARTBEAT_S = 2.0
STEP_TYPES = (*KINDS, "Condition", "Fail")
# step type → the execution variable that is its own job's name; other types have none
JOB_NAME_VARIABLES = {"Processing": "ProcessingJobName", "Training": "TrainingJobName"}


class Executor:
    """One execution of one definition. `await run()` returns the status that it ended with."""

    def __init__(self, store: Store, storage: Storage, loop: Loop, isolation: Isolation, execution: Execution) -> None:
        self.store = store
        self.storage = storage
        self.loop = loop
        self.isolation = isolation
        self.execution = execution
        self.definition = Definition.parse(execution.definition)
        self.steps = StepRow.of_execution(store, execution.id)
        self.parity = {row["Subject"]: row["How"] for row in execution.body.get("Parity", ())}
        properties = {name: row.body["Properties"] for name, row in self.steps.items() if row.status == "Succeeded"}
        properties.update(execution.body.get("SourceProperties", {}))
        variables = execution.variables()
        self.scope = Scope(self.definition, storage, execution.body["Parameters"], variables, properties)
        self.selected = frozenset(execution.body.get("SelectedSteps") or self.definition.steps)
        self.waiting: dict[str, set[str]] = {}  # step that has not started → dependencies that have not succeeded
        self.dependents: dict[str, list[str]] = {}
        self.ready: deque[str] = deque()
        self.running: dict[str, Task] = {}
        self.folders = Folders(loop)
        self.failures: list[str] = []

    async def run(self) -> str:
        self._check_types()
        self._note(parity.rows(self.definition))
        self._plan()
        watch = self.loop.spawn(self._watch())
        limit = self.execution.body.get("MaxParallelExecutionSteps") or max(2, os.cpu_count() or 2)
        try:
            while self.ready or self.running:
                while self.ready and len(self.running) < limit and not self.failures:
                    name = self.ready.popleft()
                    del self.waiting[name]
                    self.running[name] = self.loop.spawn(self._run_step(self.definition.steps[name]))
                if not self.running:
                    break  # something failed: what has not started never will
                done = await self.loop.first([*self.running.values(), watch])
                if watch in done:
                    watch.result()  # raises if the store is gone
                    return await self._stop()
                self._settle()
        finally:
            watch.cancel()
        return "Failed" if self.failures else "Succeeded"

    @property
    def failure_reason(self) -> str:
        return f"Step failure: One or multiple steps failed. {' '.join(self.failures)}" if self.failures else ""

    def _check_types(self) -> None:
        for step in self.definition.steps.values():
            if step.type not in STEP_TYPES:
                hint = f"known types: {', '.join(STEP_TYPES)}"
                raise DarkroomError(f"{step.name}: {step.path}.Type: unknown step type {step.type!r}", hint)

    def _plan(self) -> None:
        """Who waits for whom. Steps that succeeded before a resume, and those not selected, count as done."""
        for name in self.definition.steps:
            if name not in self.selected or (name in self.steps and self.steps[name].status == "Succeeded"):
                continue
            needs = {other for other in self.definition.dependencies(name) if not self._is_done(name, other)}
            self.waiting[name] = needs
            for other in needs:
                self.dependents.setdefault(other, []).append(name)
            if not needs:
                self.ready.append(name)

    def _is_done(self, name: str, other: str) -> bool:
        if other not in self.definition.steps:
            path = self.definition.steps[name].path
            raise DarkroomError(f"{name}: {path}: depends on {other!r}, and there is no such step")
        if other not in self.selected:
            return True
        row = self.steps.get(other)
        if row is None or row.status != "Succeeded":
            return False
        inner = self.definition.steps[name]
        return inner.parent != other or row.body["Properties"].get("Branch") == inner.branch

    async def _watch(self) -> None:
        """Returns when somebody asked to stop; keeps the heartbeat meanwhile."""
        beat = time.monotonic()
        while True:
            await self.loop.sleep(STOP_POLL_S)
            if self.execution.stop_requested(self.store):
                return
            if time.monotonic() - beat > HEARTBEAT_S:
                beat = time.monotonic()
                self.execution.beat(self.store)

    async def _stop(self) -> str:
        for task in self.running.values():
            task.cancel()
        while self.running:
            await self.loop.first(self.running.values())
            self._settle()
        return "Stopped"

    def _settle(self) -> None:
        """Takes in what has ended: release those that waited for it, remember failures."""
        for name, task in [(name, task) for name, task in self.running.items() if task.done]:
            del self.running[name]
            try:
                task.result()
            except Cancelled:
                self._end(name, "Stopped")
            except DarkroomError as exc:
                reason = exc.message + (f" ({exc.hint})" if exc.hint else "")
                log_path = exc.log_path if isinstance(exc, JobFailed) else ""
                self._end(name, "Failed", failure=reason, log_path=log_path)
                self.failures.append(f"{name}: {exc.message}")
            else:
                self._release(name)

    def _release(self, name: str) -> None:
        branch = self.scope.properties[name].get("Branch", "")
        for other in self.dependents.pop(name, ()):
            inner = self.definition.steps[other]
            if inner.parent == name and inner.branch != branch:
                continue  # the branch not taken: it, and whatever waits for it, never starts
            needs = self.waiting[other]
            needs.discard(name)
            if not needs:
                self.ready.append(other)

    async def _run_step(self, step: Step) -> None:
        match step.type:
            case "Condition":
                self._begin(step)
                path = f"{step.path}.Arguments.Conditions"
                resolved = self.scope.resolve(step.arguments.get("Conditions"), step.name, path)
                outcome = conditions.holds(resolved, step.name, path)
                metadata = {"Condition": {"Outcome": "True" if outcome else "False"}}
                self._end(step.name, "Succeeded", {"Branch": BRANCHES[not outcome], "Outcome": str(outcome)}, metadata)
            case "Fail":
                row = self._begin(step)
                path = f"{step.path}.Arguments.ErrorMessage"
                message = str(self.scope.resolve(step.arguments.get("ErrorMessage", ""), step.name, path))
                row.body["Metadata"] = {"Fail": {"ErrorMessage": message}}
                raise JobFailed(message)
            case _:
                await self._run_job(step)

    async def _run_job(self, step: Step) -> None:
        row = self._begin(step)
        job_name, body = self._resolved(step)
        if cache_keys.enabled(body):
            row.cache_key = cache_keys.key(step.type, body["Arguments"])
            if self._hit(step, row, body["CacheConfig"].get("ExpireAfter", "")):
                return
        properties = await self._with_retries(step, job_name, body, row)
        self._end(step.name, "Succeeded", properties)

    def _resolved(self, step: Step) -> tuple[str, dict[str, Any]]:
        """A new job's name, and the step's body with every placeholder replaced; some stand for that very name."""
        job_name = names.job_name(KINDS[step.type], self.execution.id, step.name)
        variable = JOB_NAME_VARIABLES.get(step.type)
        scope = self.scope.with_variable(variable, job_name) if variable else self.scope
        body = {
            key: scope.resolve(value, step.name, f"{step.path}.{key}")
            for key, value in step.body.items()
            if key not in ("DependsOn", "DisplayName", "Description", "PropertyFiles")
        }
        body.setdefault("Arguments", {})
        return job_name, body

    def _hit(self, step: Step, row: StepRow, expire_after: str) -> bool:
        try:
            oldest = time.time() - cache_keys.expiry_seconds(expire_after)
        except ValueError as exc:
            raise DarkroomError(f"{step.name}: {step.path}.CacheConfig.ExpireAfter: {exc}") from exc
        source = row.hit(self.store, oldest)
        if source is None:
            last = row.last_success(self.store)
            if last is None:
                row.body["CacheMiss"] = ["no earlier run"]
            else:
                row.body["CacheMiss"] = cache_keys.differences(last.cache_key, row.cache_key) or ["expired"]
            return False
        row.body["CacheHit"] = names.arn("pipeline", f"{source.pipeline}/execution/{source.execution}")
        row.body["LogPath"] = source.body.get("LogPath", "")
        row.cache_key = ""  # a hit is no source of further hits: expiry counts from the real run
        self._end(step.name, "Succeeded", source.body["Properties"], source.body.get("Metadata", {}))
        return True

    async def _with_retries(self, step: Step, job_name: str, body: dict[str, Any], row: StepRow) -> dict[str, Any]:
        """The properties that the step's job leaves, after as many attempts as its policies allow."""
        retries = Retries(step.body.get("RetryPolicies") or [])
        while True:
            try:
                return await _driver(step.type)(body["Arguments"], self._context(step, job_name, body, row))
            except JobFailed as exc:
                pause = retries.pause_after(exc.exception_type)
                if pause is None:
                    raise
            row.attempt += 1
            row.save(self.store)
            await self.loop.sleep(pause)
            job_name, body = self._resolved(step)  # each attempt is a job of its own

    def _context(self, step: Step, job_name: str, body: dict[str, Any], row: StepRow) -> JobContext:
        previous, row.previous_job = row.previous_job, ""
        row.body["LogPath"] = os.path.join(self.store.home, "logs", self.execution.id, f"{step.name}.log")

        def announce(metadata: dict[str, Any]) -> None:
            row.body["Metadata"] = metadata
            row.save(self.store)

        return JobContext(
            store=self.store,
            storage=self.storage,
            loop=self.loop,
            isolation=self.isolation,
            folders=self.folders,
            execution_arn=self.execution.arn,
            execution_id=self.execution.id,
            step=body,
            job_name=job_name,
            work=os.path.join(self.execution.work_folder(self.store.home), job_name),
            log_path=row.body["LogPath"],
            previous_job=previous,
            announce=announce,
            parity=lambda subject, how: self._note({subject: how}),
        )

    def _begin(self, step: Step) -> StepRow:
        row = self.steps.get(step.name)
        if row is None:
            row = StepRow.new(self.execution, step.name, step.type, len(self.steps))
            self.steps[step.name] = row
        else:
            row.start_again()
        row.save(self.store)
        return row

    def _end(
        self,
        name: str,
        status: str,
        properties: dict[str, Any] | None = None,
        metadata: dict[str, Any] | None = None,
        failure: str = "",
        log_path: str = "",
    ) -> None:
        row = self.steps[name]
        row.status = status
        row.ended = time.time()
        row.failure = failure
        if properties is not None:
            row.body["Properties"] = self.scope.properties[name] = properties
        if metadata is not None:
            row.body["Metadata"] = metadata
        if log_path:
            row.body["LogPath"] = log_path
        row.save(self.store)

    def _note(self, rows: dict[str, str]) -> None:
        if any(self.parity.get(subject) != how for subject, how in rows.items()):
            self.parity.update(rows)
            self.execution.save_body(self.store, Parity=[{"Subject": s, "How": h} for s, h in self.parity.items()])


def _driver(step_type: str) -> Driver:
    """Job modules are imported when a definition needs them: the runner of a no-op chain never loads tuning."""
    run: Driver = importlib.import_module(f"pipeline.local.jobs.{MODULES[step_type]}").run
    return run
