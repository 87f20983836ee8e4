"""Everything that the page shows, from a client and from the files that the jobs left in storage."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from pipeline.client import Clients
from pipeline.control import executions, health, logs, outcome, registry
from pipeline.control.remembering import remembering
from pipeline.definition import Definition
from pipeline.errors import ServiceError, StorageError, Unavailable
from pipeline.plan.prices import Money
from pipeline.report import charges, left, lineage
from pipeline.report.charges import Charge
from pipeline.report.pictures import Pictures, fetch

LOG_LINES = 20


@dataclass(frozen=True)
class Trial:
    """One training job of a tuning job; `objective` is None while it has none."""

    number: int
    name: str
    status: str
    seconds: float
    hyperparameters: dict[str, str]
    objective: float | None
    best: bool


@dataclass(frozen=True)
class Tuning:
    step: str
    objective: str
    maximize: bool
    trials: list[Trial]


@dataclass(frozen=True)
class Run:
    """`sections`: name of a job's report file → its content, such as dataset, training, evaluation."""

    execution: dict[str, Any]
    definition: Definition
    steps: list[dict[str, Any]]
    parameters: dict[str, str]
    tunings: list[Tuning]
    sections: dict[str, dict[str, Any]]
    evaluation: dict[str, Any]
    packages: list[dict[str, Any]]
    unread: list[str] = field(default_factory=list)  # sentences: what jobs left that is too much to look into
    logs: dict[str, list[str]] = field(default_factory=dict)
    pictures: Pictures = field(default_factory=Pictures)
    health: health.Health | None = None
    charges: dict[str, Charge] = field(default_factory=dict)
    lineage: list[tuple[str, str]] = field(default_factory=list)
    options: str = ""  # of the commands that lead to where it ran
    place: str = ""  # as of Clients: empty on this machine

    @property
    def arn(self) -> str:
        return str(self.execution["PipelineExecutionArn"])

    @property
    def parity(self) -> list[dict[str, str]]:
        """On AWS there is none: nothing is simulated there."""
        return list((self.execution.get("Darkroom") or {}).get("Parity") or [])


def collect(clients: Clients, arn: str, money: Money | None = None) -> Run:
    """A run that failed half-way has less to show; that is no error. `money`: prices that go before darkroom's own."""
    clients = remembering(clients)
    steps = executions.steps(clients, arn)
    execution = executions.describe(clients, arn)
    packages = outcome.packages(clients, steps)
    found, unread = _sections(clients, steps)
    return Run(
        execution=execution,
        definition=Definition.parse(executions.definition(clients, arn)),
        steps=steps,
        parameters=executions.parameter_values(clients, arn),
        tunings=[tuning for step in steps if (tuning := tuning_of(clients, step))],
        sections={name: body for _, name, body in found},
        evaluation=outcome.evaluation(clients, arn, steps) or _registered(clients, packages),
        packages=packages,
        unread=unread,
        logs={step["StepName"]: _log(clients, step) for step in steps if step["StepStatus"] == "Failed"},
        pictures=_pictures(clients, found),
        health=health.read(clients, steps, page=True),
        charges=charges.of(clients, arn, steps, money or Money()),
        lineage=lineage.of(clients, execution, steps, packages),
        options=clients.options,
        place=clients.place,
    )


def _sections(
    clients: Clients, steps: list[dict[str, Any]]
) -> tuple[list[tuple[dict[str, Any], str, dict[str, Any]]], list[str]]:
    """(step, section, content) of what the jobs left, and what of it is too much to look into."""
    found: list[tuple[dict[str, Any], str, dict[str, Any]]] = []
    unread: list[str] = []
    for step in steps:
        try:
            found += [(step, name, body) for name, body in left.sections(clients, step)]
        except StorageError as exc:
            unread.append(f"{step['StepName']}: {exc.message}, and is not looked into")
    return found, unread


def _registered(clients: Clients, packages: list[dict[str, Any]]) -> dict[str, Any]:
    """The evaluation that a package links, where the definition declares no property file of it."""
    return next((found for package in packages if (found := registry.evaluation(clients, package))), {})


def _pictures(clients: Clients, found: list[tuple[dict[str, Any], str, dict[str, Any]]]) -> Pictures:
    """Of the data set that the page shows: the last one."""
    for step, name, body in reversed(found):
        if name == "dataset":
            address = outcome.output_address(clients, step, left.FOLDER) if step["StepType"] == "Processing" else ""
            return fetch(clients, address, body) if address else Pictures()
    return Pictures()


def _log(clients: Clients, step: dict[str, Any]) -> list[str]:
    try:
        paths = logs.of_program(clients, step)
        return [line for path in paths for line in logs.tail(clients, path, LOG_LINES)][-LOG_LINES:]
    except Unavailable:
        raise
    except ServiceError as exc:
        return [f"the log cannot be read: {exc.message}"]


def tuning_of(clients: Clients, step: dict[str, Any]) -> Tuning | None:
    """None for a step that tunes nothing, or has not begun to."""
    job = outcome.tuning_job(clients, step) if step["StepType"] == "Tuning" else {}
    if not job:
        return None
    goal = job["HyperParameterTuningJobConfig"].get("HyperParameterTuningJobObjective") or {}
    best = (job.get("BestTrainingJob") or {}).get("TrainingJobName")
    trials = [_trial(number, row, best) for number, row in enumerate(outcome.trials(clients, step), start=1)]
    return Tuning(step["StepName"], goal.get("MetricName", "objective"), goal.get("Type") != "Minimize", trials)


def _trial(number: int, row: dict[str, Any], best: str | None) -> Trial:
    start, end = row.get("TrainingStartTime"), row.get("TrainingEndTime")
    return Trial(
        number=number,
        name=row["TrainingJobName"],
        status=row["TrainingJobStatus"],
        seconds=(end - start).total_seconds() if start and end else 0.0,
        hyperparameters=dict(row.get("TunedHyperParameters") or {}),
        objective=(row.get("FinalHyperParameterTuningJobObjectiveMetric") or {}).get("Value"),
        best=row["TrainingJobName"] == best,
    )
