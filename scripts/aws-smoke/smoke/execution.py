"""One execution, as the service tells of it."""

from __future__ import annotations

import json
from functools import cached_property
from typing import Any
from urllib.parse import urlsplit

from botocore.exceptions import ClientError

from smoke.account import Account
from smoke.verdict import CannotTell

TUNING, TRAINING, PROCESSING, LAMBDA = "TuningJob", "TrainingJob", "ProcessingJob", "Lambda"
LOGS = {TRAINING: "/aws/sagemaker/TrainingJobs", PROCESSING: "/aws/sagemaker/ProcessingJobs"}


class Execution:
    """Members are SageMaker's own. Raises CannotTell for what is not in it."""

    def __init__(self, account: Account, arn: str) -> None:
        self.account, self.arn = account, arn

    @cached_property
    def described(self) -> dict[str, Any]:
        return dict(self.account.ask("sagemaker", "describe_pipeline_execution", PipelineExecutionArn=self.arn))

    @cached_property
    def steps(self) -> dict[str, dict[str, Any]]:
        rows = self.account.pages(
            "sagemaker",
            "list_pipeline_execution_steps",
            "PipelineExecutionSteps",
            PipelineExecutionArn=self.arn,
        )
        return {row["StepName"]: row for row in rows}

    @cached_property
    def definition(self) -> dict[str, Any]:
        answer = self.account.ask(
            "sagemaker", "describe_pipeline_definition_for_execution", PipelineExecutionArn=self.arn
        )
        return dict(json.loads(answer["PipelineDefinition"]))

    @cached_property
    def parameters(self) -> dict[str, str]:
        rows = self.account.pages(
            "sagemaker",
            "list_pipeline_parameters_for_execution",
            "PipelineParameters",
            PipelineExecutionArn=self.arn,
        )
        return {row["Name"]: row["Value"] for row in rows}

    def step(self, name: str) -> dict[str, Any]:
        if name not in self.steps:
            raise CannotTell(f"{self.arn} has no step {name}", "name an execution that has it with --execution")
        return self.steps[name]

    def ran(self, name: str) -> bool:
        """Whether the step had a job of its own, and not the one of an earlier execution."""
        row = self.steps.get(name, {})
        return bool(row.get("Metadata")) and "CacheHitResult" not in row

    def began(self, kind: str) -> dict[str, dict[str, Any]]:
        """Steps with a job of this kind, whether it ran in this execution or an earlier one."""
        return {name: row for name, row in self.steps.items() if kind in row.get("Metadata", {})}

    def job(self, name: str) -> dict[str, Any]:
        """What Describe answers of the step's job."""
        metadata = self.step(name).get("Metadata", {})
        arn = next((each["Arn"] for each in metadata.values() if isinstance(each, dict) and "Arn" in each), "")
        job, ask = arn.rpartition("/")[2], self.account.ask
        match next(iter(metadata), ""):
            case "ProcessingJob":
                return dict(ask("sagemaker", "describe_processing_job", ProcessingJobName=job))
            case "TrainingJob":
                return dict(ask("sagemaker", "describe_training_job", TrainingJobName=job))
            case "TuningJob":
                return dict(ask("sagemaker", "describe_hyper_parameter_tuning_job", HyperParameterTuningJobName=job))
        raise CannotTell(f"{name} is {self.steps[name]['StepStatus']} and has no job", "look at another --execution")

    def training(self) -> dict[str, Any]:
        return self.job("TrainModel")

    def log(self, name: str) -> list[str]:
        """Lines of every stream of the step's job."""
        kind = next(iter(self.step(name).get("Metadata", {})), "")
        if kind not in LOGS:
            raise CannotTell(f"{name} has no log", "look at another --execution")
        job = self.steps[name]["Metadata"][kind]["Arn"].rpartition("/")[2]
        group, lines = LOGS[kind], list[str]()
        found = self.account.ask("logs", "describe_log_streams", logGroupName=group, logStreamNamePrefix=f"{job}/")
        for stream in found["logStreams"]:
            answer = self.account.ask(
                "logs", "get_log_events", logGroupName=group, logStreamName=stream["logStreamName"], startFromHead=True
            )
            lines += [event["message"] for event in answer["events"]]
        return lines


def execution(account: Account) -> Execution:
    """The one that was asked for; `last`: the newest of the pipeline."""
    asked = account.options.execution
    if asked.startswith("arn:"):
        return Execution(account, asked)
    name = account.pipeline.pipeline.name
    rows = executions(account)
    for row in rows:
        if asked in ("last", row["PipelineExecutionArn"].rpartition("/")[2]):
            return Execution(account, row["PipelineExecutionArn"])
    raise CannotTell(f"{name} has no execution {asked}", "darkroom start --target aws --wait")


def executions(account: Account) -> list[dict[str, Any]]:
    """The newest hundred, the newest first."""
    name = account.pipeline.pipeline.name
    try:
        answer = account.ask(
            "sagemaker",
            "list_pipeline_executions",
            PipelineName=name,
            SortBy="CreationTime",
            SortOrder="Descending",
            MaxResults=100,
        )
    except ClientError as exc:
        raise CannotTell(f"{name}: {exc}", "darkroom upsert --target aws") from exc
    return list(answer["PipelineExecutionSummaries"])


def keys(account: Account, address: str, most: int = 1000) -> list[str]:
    """Of the objects below an s3:// address."""
    parts = urlsplit(address)
    answer = account.ask(
        "s3", "list_objects_v2", Bucket=parts.netloc, Prefix=parts.path.removeprefix("/"), MaxKeys=most
    )
    return [each["Key"] for each in answer.get("Contents", [])]
