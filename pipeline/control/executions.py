"""Executions: find, wait for, stop, resume."""

from __future__ import annotations

import time

from pipeline.client import pages, request_token
from pipeline.errors import DarkroomError, ServiceError, Unavailable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from pipeline.client import Clients

    Watch = Callable[[dict[str, Any], list[dict[str, Any]]], None]
    Trouble = Callable[[Unavailable | None], None]

ENDED = ("Succeeded", "Failed", "Stopped")
# of an execution or a step, a class of the pages' style and a colour on a terminal
LOOKS = {"Succeeded": "good", "Failed": "bad", "Stopped": "stopped", "Stopping": "stopped", "Executing": "running"}
STOPPED, RESUMED = ("Stopping", "Stopped"), ("Executing", "Succeeded")
NOT_IN_THIS_STATE = ("ConflictException", "ValidationException")  # which of the two AWS answers is not documented
LAST = "last"
# the key of a step's Metadata → its type, where the two differ: the service names a step's type nowhere else
TYPES = {
    "ProcessingJob": "Processing",
    "TrainingJob": "Training",
    "TuningJob": "Tuning",
    "TransformJob": "Transform",
}
SHORTEST_PAUSE_S = 0.02
LONGEST_PAUSE_S = 0.25
COSTS = 4  # looking takes at most a fifth of a core
SHARE_OF_ELAPSED = 0.04  # what happens is seen that much later, at most
PATIENCE_S = 2 * 3600.0  # for a service that does not answer: the execution goes on meanwhile


def find(clients: Clients, wanted: str, pipeline: str = "") -> str:
    """The ARN that an id, the beginning of one, an ARN, `last` or nothing stands for. Raises DarkroomError.

    `pipeline`: only its executions. In an account that others share, the last of all may well be somebody else's.
    """
    if wanted.startswith("arn:"):
        return wanted
    known = [str(row["PipelineExecutionArn"]) for row in newest_first(clients, pipeline)]
    if not known:
        raise nothing(clients)
    if wanted in ("", LAST):
        pipelines = dict.fromkeys(pipeline_name(arn) for arn in known)
        if clients.place and len(pipelines) > 1:
            raise DarkroomError(f"several pipelines have executions{clients.place}: {', '.join(pipelines)}", _WHOSE)
        return known[0]
    matches = [arn for arn in known if identifier(arn).startswith(wanted)]
    exact = [arn for arn in matches if identifier(arn) == wanted]
    match exact or matches:
        case [arn]:
            return arn
        case []:
            raise DarkroomError(f"there is no execution {wanted!r}", "darkroom executions")
        case several:
            names = ", ".join(identifier(arn) for arn in several)
            raise DarkroomError(f"{wanted!r} is the beginning of several executions: {names}", "write more of its id")


_WHOSE = "whose last one? add --pipeline NAME, or name the execution by its id"


def nothing(clients: Clients) -> DarkroomError:
    """Where nothing was ever executed."""
    first = "darkroom start DEFINITION" if clients.place else "darkroom run"
    return DarkroomError(f"nothing has been executed yet{clients.place}", first)


def newest_first(clients: Clients, pipeline: str = "") -> list[dict[str, Any]]:
    """Summaries as ListPipelineExecutions gives them, of one pipeline or of all."""
    listed = pages(clients.sagemaker.list_pipelines, "PipelineSummaries")
    names = [pipeline] if pipeline else [row["PipelineName"] for row in listed]
    operation = clients.sagemaker.list_pipeline_executions
    rows = [row for name in names for row in pages(operation, "PipelineExecutionSummaries", PipelineName=name)]
    return sorted(rows, key=lambda row: row["StartTime"], reverse=True)


def page(clients: Clients, pipeline: str, most: int, token: str = "") -> tuple[list[dict[str, Any]], str]:
    """The newest ones of a pipeline, and the token of those before them; empty where there are none."""
    more = {"NextToken": token} if token else {}
    answer = clients.sagemaker.list_pipeline_executions(PipelineName=pipeline, MaxResults=most, **more)
    return answer["PipelineExecutionSummaries"], str(answer.get("NextToken") or "")


def identifier(arn: str) -> str:
    """arn:…:pipeline/digits/execution/abc123 → abc123."""
    return arn.rpartition("/")[2]


def pipeline_name(arn: str) -> str:
    """arn:…:pipeline/digits/execution/abc123 → digits."""
    return arn.partition(":pipeline/")[2].partition("/")[0]


def describe(clients: Clients, arn: str) -> dict[str, Any]:
    """Raises ServiceError ResourceNotFound."""
    described: dict[str, Any] = clients.sagemaker.describe_pipeline_execution(PipelineExecutionArn=arn)
    return described


def steps(clients: Clients, arn: str) -> list[dict[str, Any]]:
    """In the order in which they started; StepType is added, empty until the service knows the step's job."""
    operation = clients.sagemaker.list_pipeline_execution_steps
    rows = [
        {**row, "StepType": _step_type(row)}
        for row in pages(operation, "PipelineExecutionSteps", PipelineExecutionArn=arn)
    ]
    rows.reverse()  # they come newest first, and several may start in one millisecond
    return sorted(rows, key=lambda row: row["StartTime"].timestamp() if row.get("StartTime") else 0.0)


def _step_type(row: dict[str, Any]) -> str:
    kind = next(iter(row.get("Metadata") or {}), "")
    return TYPES.get(kind, kind)


def wait(
    clients: Clients,
    arn: str,
    watch: Watch,
    trouble: Trouble = lambda _: None,
    clock: Callable[[], float] = time.monotonic,
) -> dict[str, Any]:
    """Calls `watch(execution, steps)` at every look; returns the execution when it has ended, however it ended.

    The pause between two looks grows with the time waited and with what a look costs: neither a chain of fast steps nor
    a thousand steps are slowed by their own watcher. Where the service does not answer, `trouble` is told once, and
    again with None as soon as it does; raises Unavailable when that has lasted PATIENCE_S.
    """
    began = answered = clock()
    troubled = False
    while True:
        looked = clock()
        try:
            execution = describe(clients, arn)
            watch(execution, steps(clients, arn))
        except Unavailable as exc:
            if clock() - answered > PATIENCE_S:
                raise
            if not troubled:
                trouble(exc)
            troubled = True
        else:
            if troubled:
                trouble(None)
            if execution["PipelineExecutionStatus"] in ENDED:
                return execution
            answered, troubled = clock(), False
        now = clock()
        clients.pause(pause(now - began, now - looked))


def pause(elapsed: float, cost: float) -> float:
    """Seconds until the next look, after `elapsed` seconds of waiting, where a look takes `cost` seconds."""
    return max(min(max(SHORTEST_PAUSE_S, SHARE_OF_ELAPSED * elapsed), LONGEST_PAUSE_S), COSTS * cost)


def stop(clients: Clients, arn: str) -> None:
    """Asks; the execution is Stopped when its jobs are. Raises ServiceError if it has ended otherwise already."""
    try:
        clients.sagemaker.stop_pipeline_execution(PipelineExecutionArn=arn, ClientRequestToken=request_token())
    except ServiceError as exc:
        if not _reached(clients, arn, exc, STOPPED):
            raise


def resume(clients: Clients, arn: str) -> None:
    """Goes on where it stopped or failed, with the definition and the parameters that it was started with.

    One that runs, or has succeeded, is left alone: this very call may have been heard before its answer was lost.
    """
    try:
        clients.sagemaker.retry_pipeline_execution(PipelineExecutionArn=arn, ClientRequestToken=request_token())
    except ServiceError as exc:
        if not _reached(clients, arn, exc, RESUMED):
            raise


def _reached(clients: Clients, arn: str, refusal: ServiceError, wanted: tuple[str, ...]) -> bool:
    """Whether what was refused had been done already."""
    if refusal.code not in NOT_IN_THIS_STATE:
        return False
    return describe(clients, arn)["PipelineExecutionStatus"] in wanted


def definition(clients: Clients, arn: str) -> str:
    """The text that this execution runs, which may no longer be the pipeline's newest."""
    described = clients.sagemaker.describe_pipeline_definition_for_execution(PipelineExecutionArn=arn)
    return str(described["PipelineDefinition"])


def parameter_values(clients: Clients, arn: str) -> dict[str, str]:
    """Those that were given at the start; the others have the definition's defaults."""
    operation = clients.sagemaker.list_pipeline_parameters_for_execution
    return {row["Name"]: row["Value"] for row in pages(operation, "PipelineParameters", PipelineExecutionArn=arn)}
