"""Earlier executions as the service lists them: what each step was called with, what came of it, how long it took.

An execution's requests are made again from its own definition, its parameters and what its jobs describe: what
Describe answers alone has defaults filled in, and would differ from a request that says the same with fewer words.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from functools import cached_property
from typing import Any

from pipeline import cache_keys
from pipeline.client import PAGE, Clients
from pipeline.control import executions
from pipeline.definition import Definition
from pipeline.errors import ConfigError, ServiceError, UnresolvedReference
from pipeline.local.resolve import Scope
from pipeline.plan import values

SOURCE = "SourcePipelineExecutionArn"
MOST_SOURCES = 5  # selective executions of which each took its results from the next
MOST = 30  # executions that are looked at, each with a few calls; a hit leads to older ones
_ABSENT = ("ResourceNotFound", "ResourceNotFoundException", "ValidationException")
# the key of a step's Metadata → what its properties are asked for, by the name at the end of its ARN
_DESCRIBE: dict[str, Callable[[Any, str], dict[str, Any]]] = {
    "ProcessingJob": lambda service, name: service.describe_processing_job(ProcessingJobName=name),
    "TrainingJob": lambda service, name: service.describe_training_job(TrainingJobName=name),
    "TuningJob": lambda service, name: _tuning_job(service, name),
    "TransformJob": lambda service, name: service.describe_transform_job(TransformJobName=name),
    "Model": lambda service, name: service.describe_model(ModelName=name),
    "EndpointConfig": lambda service, name: service.describe_endpoint_config(EndpointConfigName=name),
    "Endpoint": lambda service, name: service.describe_endpoint(EndpointName=name),
}


class Past:
    """The executions of one pipeline, newest first, each asked for once."""

    def __init__(self, clients: Clients, pipeline_arn: str) -> None:
        self._clients = clients
        self.pipeline_arn = pipeline_arn
        self._known: dict[str, Run] = {}

    @cached_property
    def runs(self) -> list[Run]:
        """MOST of them."""
        name = executions.pipeline_name(f"{self.pipeline_arn}/")
        answer = self._clients.sagemaker.list_pipeline_executions(
            PipelineName=name, SortBy="CreationTime", SortOrder="Descending", MaxResults=PAGE
        )
        rows = answer["PipelineExecutionSummaries"][:MOST]
        return [self.run(str(row["PipelineExecutionArn"])) for row in rows]

    def run(self, arn: str) -> Run:
        if arn not in self._known:
            self._known[arn] = Run(self._clients, arn, self)
        return self._known[arn]

    def successes(self, step: str) -> Iterator[Run]:
        """Executions in which the step itself ran and succeeded, newest end first.

        A hit counts for its source, and so does a result that a selective execution took from elsewhere.
        """
        found = {run.arn: run for run in self._sources(step)}
        yield from sorted(found.values(), key=lambda run: run.ended(step), reverse=True)

    def _sources(self, step: str) -> Iterator[Run]:
        for run in self.runs:
            row = run.rows.get(step)
            if row is None or row["StepStatus"] != "Succeeded":
                continue
            origin = self._origin(run, step)
            if origin is not None:
                yield origin

    def _origin(self, run: Run, step: str) -> Run | None:
        """Where the step really ran; None where that cannot be followed."""
        for _ in range(MOST_SOURCES):
            row = run.rows.get(step)
            if row is None or row["StepStatus"] != "Succeeded":
                return None
            taken = row.get("SelectiveExecutionResult") or row.get("CacheHitResult") or {}
            if not taken.get(SOURCE):
                return run
            run = self.run(str(taken[SOURCE]))
        return None


class Run:
    """One execution; everything is asked for when it is needed, once."""

    def __init__(self, clients: Clients, arn: str, past: Past) -> None:
        self._clients = clients
        self.arn = arn
        self.id = executions.identifier(arn)
        self._past = past

    @cached_property
    def rows(self) -> dict[str, dict[str, Any]]:
        return {row["StepName"]: row for row in executions.steps(self._clients, self.arn)}

    @cached_property
    def definition(self) -> Definition:
        return Definition.parse(executions.definition(self._clients, self.arn))

    @cached_property
    def parameters(self) -> dict[str, Any]:
        return values.typed(self.definition, executions.parameter_values(self._clients, self.arn))

    @cached_property
    def properties(self) -> Properties:
        return Properties(self._clients, self)

    @cached_property
    def source(self) -> Run | None:
        """Of a selective execution: the one whose results stand in for steps that it did not run."""
        chosen = executions.describe(self._clients, self.arn).get("SelectiveExecutionConfig") or {}
        arn = str(chosen.get(SOURCE) or "")
        return self._past.run(arn) if arn and arn != self.arn else None

    def holder(self, step: str) -> Run | None:
        """Whose result the step's is: its own, or that of the execution which it was taken from."""
        row = self.rows.get(step)
        reused = (row or {}).get("SelectiveExecutionResult") or {}
        if reused.get(SOURCE) and reused[SOURCE] != self.arn:
            return self._past.run(str(reused[SOURCE]))
        return self if row is not None else self.source

    def ended(self, step: str) -> float:
        end: datetime = self.rows[step].get("EndTime") or self.rows[step]["StartTime"]
        return end.timestamp()

    def started(self, step: str) -> float:
        return float(self.rows[step]["StartTime"].timestamp())

    def request(self, step: str, owner: str) -> dict[str, Any] | None:
        """What the step was called with; what the execution calls itself as `own_variables(owner)` has it.

        None where the definition has no such step, or what it was called with can no longer be read.
        """
        known = self.definition.steps.get(step)
        if known is None:
            return None
        try:
            request: dict[str, Any] = self.scope(owner).resolve(known.arguments, step, known.path)
        except (UnresolvedReference, ConfigError):  # a job that is gone; a parameter that the service does not tell
            return None
        return request

    def compared(self, step: str) -> dict[str, Any] | None:
        """The part of it that the cache compares."""
        known = self.definition.steps.get(step)
        request = self.request(step, self.id)
        if known is None or request is None or known.type not in cache_keys.ATTRIBUTES:
            return None
        return cache_keys.compared(known.type, request)

    def scope(self, owner: str) -> Scope:
        variables = {**values.own_variables(owner), **pipeline_variables(self._past.pipeline_arn)}
        return Scope(self.definition, self._clients.storage, self.parameters, variables, self.properties)


class Properties(dict[str, dict[str, Any]]):
    """Step → what it left, asked for when a reference needs it."""

    def __init__(self, clients: Clients, run: Run) -> None:
        super().__init__()
        self._clients = clients
        self._run = run

    def __contains__(self, step: object) -> bool:
        return self._row(str(step)) is not None

    def __getitem__(self, step: str) -> dict[str, Any]:
        if not super().__contains__(step):
            found = self._row(step)
            if found is None:
                raise KeyError(step)
            run, row = found
            steps = run.definition.steps
            declared = steps[step].body.get("OutputParameters") or () if step in steps else ()
            types = {each["OutputName"]: each.get("OutputType", "") for each in declared}
            self[step] = _properties(self._clients, row, types)
        return super().__getitem__(step)

    def _row(self, step: str) -> tuple[Run, dict[str, Any]] | None:
        """Of a step that succeeded, in this execution or in the one whose result this one took."""
        run: Run | None = self._run
        for _ in range(MOST_SOURCES):
            holder = run.holder(step) if run else None
            if holder is None or holder is run:
                row = holder.rows[step] if holder else None
                return (holder, row) if holder and row and row["StepStatus"] == "Succeeded" else None
            run = holder
        return None


def pipeline_variables(arn: str) -> dict[str, str]:
    return {"PipelineArn": arn, "PipelineName": arn.rpartition("/")[2]}


def _properties(clients: Clients, row: Mapping[str, Any], types: Mapping[str, str]) -> dict[str, Any]:
    """Empty for a job that the service no longer knows: a reference into it then says so."""
    metadata = row.get("Metadata") or {}
    kind = next(iter(metadata), "")
    body = metadata.get(kind) or {}
    arn = str(body.get("Arn", ""))
    try:
        if kind in _DESCRIBE and arn:
            return _DESCRIBE[kind](clients.sagemaker, arn.rpartition("/")[2])
        if kind == "RegisterModel" and arn:
            return dict(clients.sagemaker.describe_model_package(ModelPackageName=arn))
    except ServiceError as exc:
        if exc.code not in _ABSENT:
            raise
        return {}
    shown = body.get("OutputParameters") or ()
    outputs = {each["Name"]: _typed(each["Value"], types.get(each["Name"], "")) for each in shown}
    return {**body, "Outputs": outputs, "OutputParameters": outputs}


def _typed(text: Any, kind: str) -> Any:
    """The service shows outputs of Lambda and Callback steps as text; how it spells a Boolean is not documented."""
    if kind not in ("Integer", "Float", "Boolean"):
        return text
    try:
        return json.loads(str(text).lower())
    except ValueError:
        return text


def _tuning_job(service: Any, name: str) -> dict[str, Any]:
    """With the trials best first, as `TrainingJobSummaries[n]` of a Tuning step has them."""
    job: dict[str, Any] = service.describe_hyper_parameter_tuning_job(HyperParameterTuningJobName=name)
    objective = (job.get("HyperParameterTuningJobConfig") or {}).get("HyperParameterTuningJobObjective") or {}
    trials = service.list_training_jobs_for_hyper_parameter_tuning_job(
        HyperParameterTuningJobName=name,
        SortBy="FinalObjectiveMetricValue",
        SortOrder="Descending" if objective.get("Type") == "Maximize" else "Ascending",
    )
    return {**job, "TrainingJobSummaries": trials["TrainingJobSummaries"]}
