"""An account in which an hour passes in no time, and every call may end in each way that calls end in.

Four steps run one after the other; their logs appear late, one host or trial after another, and lines later than they
were written. Nothing waits: the clock goes on with each call and with each pause.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

from botocore import exceptions as boto

from pipeline.aws.calls import Calls
from pipeline.aws.logs import CloudWatch
from pipeline.client import Clients, aws_pause

ARN = "arn:aws:sagemaker:us-east-1:111122223333:pipeline/p/execution/abc123"
JOBS = "arn:aws:sagemaker:us-east-1:111122223333"
HOUR = 3600.0
CALL_S, LINE_S, LATE_S = 0.2, 7.0, 15.0  # a call takes · a program writes a line every · CloudWatch has it after
# name, key of Metadata, kind in its ARN, begin and end
STEPS = (
    ("Prepare", "ProcessingJob", "processing-job", 0, 600),
    ("Tune", "TuningJob", "hyper-parameter-tuning-job", 600, 1800),
    ("Train", "TrainingJob", "training-job", 1800, 3300),
    ("Evaluate", "ProcessingJob", "processing-job", 3300, HOUR),
)
# group, stream, when it begins and ends to be written
STREAMS = (
    ("ProcessingJobs", "prepare/algo-1-17", 90, 600),
    *(("TrainingJobs", f"tune-{n:03d}-0a1b2c3d/algo-1-17", 500 + 200 * n, 1000 + 200 * n) for n in range(1, 5)),
    ("TrainingJobs", "train/algo-1-17", 1850, 3300),
    ("TrainingJobs", "train/algo-2-17", 2250, 3300),
    ("ProcessingJobs", "evaluate/algo-1-17", 3400, HOUR),
)
KINDS = ("throttled", "broken", "unreached", "lost")
READS = {
    *("DescribePipelineExecution", "ListPipelineExecutionSteps", "DescribeTrainingJob", "DescribeLogStreams"),
    *("DescribeHyperParameterTuningJob", "GetLogEvents"),
}


class Account:
    """`fault(operation, now)` names a kind of fault, or nothing; `calls` are (operation, when, fault, request)."""

    def __init__(self, fault: Callable[[str, float], str], status: str = "Succeeded") -> None:
        self.now = 0.0
        self.calls: list[tuple[str, float, str, dict[str, Any]]] = []
        self._fault = fault
        self._status = status
        sagemaker, logs = (Calls(service, lambda service: _Boto(self)) for service in ("sagemaker", "logs"))
        self.clients = Clients(sagemaker, sagemaker, None, "", self._pause, CloudWatch(logs), "", "us-east-1")

    def clock(self) -> float:
        return self.now

    def _pause(self, seconds: float) -> None:
        def sleep(seconds: float) -> None:
            self.now += seconds

        aws_pause(seconds, sleep)

    def call(self, operation: str, request: dict[str, Any]) -> dict[str, Any]:
        self.now += CALL_S
        fault = self._fault(operation, self.now)
        self.calls.append((operation, self.now, fault, request))
        if fault:
            raise _error(fault, operation)
        return ANSWERS[operation](self.now, self._status, request)


class _Boto:
    """A client of boto3, as Calls takes it."""

    def __init__(self, account: Account) -> None:
        self._account = account
        self.meta = SimpleNamespace(events=SimpleNamespace(register=lambda *_: None))

    def __getattr__(self, method: str) -> Callable[..., dict[str, Any]]:
        return lambda **request: self._account.call(method.title().replace("_", ""), request)


def any_fault(share: float, outage: tuple[float, float] = (0, 0)) -> Callable[[str, float], str]:
    """For the whole hour this share of calls fails, in any way; between the two times every one."""
    chance = random.Random(7)

    def fault(operation: str, now: float) -> str:
        failing = chance.random() < share or outage[0] < now < outage[1]
        return chance.choice(KINDS) if failing and now < HOUR else ""

    return fault


def _error(fault: str, operation: str) -> Exception:
    refused = {
        "throttled": (400, "ThrottlingException", "Rate exceeded"),
        "broken": (500, "InternalFailure", "We encountered an internal error."),
        "expired": (400, "ExpiredTokenException", "The security token included in the request is expired"),
        "denied": (400, "AccessDeniedException", f"User: arn:x is not authorized to perform: logs:{operation}"),
    }
    if fault in refused:
        status, code, message = refused[fault]
        meta = {"HTTPStatusCode": status}
        return boto.ClientError({"Error": {"Code": code, "Message": message}, "ResponseMetadata": meta}, operation)
    if fault == "unreached":
        return boto.EndpointConnectionError(endpoint_url="https://api.sagemaker.us-east-1.amazonaws.com/")
    return boto.ConnectionClosedError(endpoint_url="https://api.sagemaker.us-east-1.amazonaws.com/")


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _execution(now: float, status: str, request: dict[str, Any]) -> dict[str, Any]:
    return {"PipelineExecutionArn": ARN, "PipelineExecutionStatus": status if now >= HOUR else "Executing"}


def _steps(now: float, status: str, request: dict[str, Any]) -> dict[str, Any]:
    rows = []
    for name, key, kind, begin, end in STEPS:
        if now >= begin:
            row: dict[str, Any] = {"StepName": name, "StepStatus": "Executing", "StartTime": _moment(begin)}
            row["Metadata"] = {key: {"Arn": f"{JOBS}:{kind}/{name.lower()}"}}
            if now >= end:
                last = status if name == "Evaluate" else "Succeeded"
                row |= {"StepStatus": last, "EndTime": _moment(end)}
            rows.append(row)
    return {"PipelineExecutionSteps": rows[::-1]}


def _training(now: float, status: str, request: dict[str, Any]) -> dict[str, Any]:
    return {"FinalMetricDataList": [{"MetricName": "accuracy", "Value": min(0.9, int(now / 300) / 12)}]}


def _tuning(now: float, status: str, request: dict[str, Any]) -> dict[str, Any]:
    done = sum(now >= end for group, stream, _, end in STREAMS if stream.startswith("tune-"))
    return {
        "TrainingJobStatusCounters": {"Completed": done},
        "HyperParameterTuningJobConfig": {"ResourceLimits": {"MaxNumberOfTrainingJobs": 4}},
    }


def _streams(now: float, status: str, request: dict[str, Any]) -> dict[str, Any]:
    """A group that nothing was written to does not exist."""
    begun = [row for row in STREAMS if row[0] == request["logGroupName"].rpartition("/")[2] and now >= row[2] + LATE_S]
    if not begun:
        error = {"Code": "ResourceNotFoundException", "Message": "The specified log group does not exist."}
        raise boto.ClientError({"Error": error}, "DescribeLogStreams")
    names = sorted(row[1] for row in begun if row[1].startswith(request["logStreamNamePrefix"]))
    return {"logStreams": [{"logStreamName": name} for name in names]}


def _events(now: float, status: str, request: dict[str, Any]) -> dict[str, Any]:
    """Tokens are f/<n> and b/<n>: the n-th line is next."""
    _, _, begin, end = next(row for row in STREAMS if row[1] == request["logStreamName"])
    there = int((min(now - LATE_S, end) - begin) / LINE_S)
    way, _, place = request.get("nextToken", "f/0" if request["startFromHead"] else f"b/{there}").partition("/")
    limit, at = request["limit"], int(place)
    first, last = (at, min(there, at + limit)) if way == "f" else (max(0, at - limit), at)
    events = [{"message": f"line {number}"} for number in range(first, last)]
    return {"events": events, "nextForwardToken": f"f/{last}", "nextBackwardToken": f"b/{first}"}


def _definition(now: float, status: str, request: dict[str, Any]) -> dict[str, Any]:
    steps = [{"Name": name, "Type": "Processing", "Arguments": {}} for name, *_ in STEPS]
    return {"PipelineDefinition": json.dumps({"Version": "2020-12-01", "Steps": steps})}


ANSWERS: dict[str, Callable[[float, str, dict[str, Any]], dict[str, Any]]] = {
    "DescribePipelineExecution": _execution,
    "ListPipelineExecutionSteps": _steps,
    "DescribeTrainingJob": _training,
    "DescribeHyperParameterTuningJob": _tuning,
    "DescribeProcessingJob": lambda now, status, request: {"FailureReason": "AlgorithmError: no, exit code: 3"},
    "DescribePipelineDefinitionForExecution": _definition,
    "DescribeLogStreams": _streams,
    "GetLogEvents": _events,
}
