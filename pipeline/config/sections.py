"""The sections of pipeline.yaml about neither data nor training: whereabouts, machines, what happens to the model."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from pipeline.config import names
from pipeline.config.instances import offered
from pipeline.config.section import Section, text

Minutes = Annotated[int, Field(ge=1, le=7200)]
VolumeGiB = Annotated[int, Field(ge=1, le=16384)]
Subnet = Annotated[str, Field(pattern=r"^subnet-[0-9a-f]{8,17}$(?!\n)", examples=["subnet-0a1b2c3d"])]
SecurityGroup = Annotated[str, Field(pattern=r"^sg-[0-9a-f]{8,17}$(?!\n)", examples=["sg-0a1b2c3d"])]
TrainingMachine = Annotated[str, AfterValidator(offered("TrainingInstanceType"))]
ProcessingMachine = Annotated[str, AfterValidator(offered("ProcessingInstanceType"))]


def _on_one_line(text: str) -> str:
    """PipelineDescription takes no line breaks; YAML's `>` and `|` make some."""
    return " ".join(text.split())


class PipelineSection(Section):
    """Name and whereabouts of the pipeline."""

    name: str = text(
        "Name of the pipeline in SageMaker: letters, digits and single dashes.", names.PIPELINE, "darkroom-digits"
    )
    description: Annotated[str, AfterValidator(_on_one_line)] = Field(
        default="Trains, tunes, checks and registers an image classifier.",
        max_length=1000,
        pattern=r"^[^\x00-\x08\x0b-\x1f]*$",
        description="One line for people who meet the pipeline in Studio.",
    )
    region: str = text("AWS region.", names.REGION, "us-east-1")
    account: str = text(
        "AWS account, in quotes. The default is nobody's and stays here.", names.ACCOUNT, "111122223333"
    )
    role: str | None = text("ARN of the execution role. null: role/darkroom-execution of the account.", names.ROLE_ARN)
    bucket: str | None = text("Bucket for code, data and models. null: darkroom-<account>-<region>.", names.BUCKET)
    prefix: str | None = text("Folder in the bucket, without slashes at its ends. null: the name.", names.PREFIX)

    @property
    def role_arn(self) -> str:
        return self.role or f"arn:{names.partition(self.region)}:iam::{self.account}:role/darkroom-execution"

    @property
    def bucket_name(self) -> str:
        return self.bucket or f"darkroom-{self.account}-{self.region}"

    @property
    def folder(self) -> str:
        """The prefix that is really used: everything of this pipeline lies below it."""
        return self.prefix or self.name

    def address(self, *parts: str) -> str:
        """The S3 folder `parts` of this pipeline; ends in `/`, because S3 prefixes are string prefixes."""
        return "/".join((f"s3://{self.bucket_name}/{self.folder}", *parts)) + "/"


class ProcessingSection(Section):
    """The machine of PrepareData and EvaluateModel."""

    instance_type: ProcessingMachine = Field(
        default="ml.m5.xlarge",
        description="Machine of PrepareData and EvaluateModel (parameter ProcessingInstanceType).",
    )
    volume_gb: VolumeGiB = Field(default=30, description="Size of its disk in GiB.")
    max_runtime_minutes: int = Field(default=60, ge=1, le=7200, description="A job that runs longer is stopped.")


class EvaluationSection(Section):
    """When a model is good enough."""

    accuracy_threshold: float = Field(
        default=0.95, ge=0, le=1, description="Least accuracy on the test split (parameter AccuracyThreshold)."
    )
    compare_with_champion: bool = Field(
        default=True,
        description="Compare each new model with the newest approved one, on the same test pictures (FindChampion).",
    )
    not_worse_than_champion: bool = Field(
        default=False,
        description="Register only what is no worse than it; one that cannot be compared lets nothing pass.",
    )
    champion_margin: float = Field(
        default=0.0, ge=0, lt=1, description="How much lower the accuracy may be then (parameter ChampionMargin)."
    )
    champion_function: str | None = text(
        "ARN of the Lambda function that finds the champion. null: function:darkroom-champion of the account.",
        names.FUNCTION_ARN,
    )


class RegistrySection(Section):
    """Where models that are good enough are kept."""

    group: str | None = text("Model package group. null: the pipeline's name.", names.PIPELINE)
    approval_status: Literal["PendingManualApproval", "Approved", "Rejected"] = Field(
        default="PendingManualApproval",
        description="Status of a new package (parameter ModelApprovalStatus); only an Approved one can be deployed.",
    )


class CacheSection(Section):
    """Reusing the results of earlier executions."""

    enabled: bool = Field(default=True, description="Steps whose inputs did not change take their earlier results.")
    expire_after: str = text(
        "ISO 8601 duration after which a result is too old, such as P30D or PT12H.", names.DURATION, "P30D"
    )


class Retry(Section):
    """How often, and how patiently, a step is tried again after AWS's own errors."""

    max_attempts: int = Field(default=3, ge=1, le=20, description="Number of further attempts.")
    interval_seconds: int = Field(default=60, ge=1, le=3600, description="Wait before the first of them.")
    backoff_rate: float = Field(default=2.0, ge=1, le=10, description="Factor by which each further wait grows.")


class RetriesSection(Section):
    """Retry policies by step type; they never apply to errors of the scripts themselves."""

    processing: Retry | None = Field(default=Retry(), description="PrepareData and EvaluateModel. null: none.")
    tuning: Retry | None = Field(default=Retry(), description="TuneModel and each of its trials. null: none.")
    training: Retry | None = Field(default=Retry(), description="TrainModel. null: none.")
    register_model: Retry | None = Field(default=Retry(), description="RegisterModel. null: none.")


class SecuritySection(Section):
    """What a security team asks for."""

    network_isolation: bool = Field(default=True, description="Containers get no network and no credentials.")
    encrypt_traffic: bool = Field(default=True, description="Encrypt what instances of one job send each other.")
    kms_key: str | None = text(
        "ARN of the KMS key of disks (jobs', endpoint's), outputs and model packages. null: keys that AWS manages.",
        names.KMS_ARN,
    )
    subnets: tuple[Subnet, ...] = Field(
        default=(),
        strict=False,
        max_length=16,
        description="Subnets of the jobs' and the endpoint's VPC. []: outside any VPC.",
    )
    security_groups: tuple[SecurityGroup, ...] = Field(
        default=(), strict=False, max_length=5, description="Security groups in that VPC."
    )


class RolesSection(Section):
    """Narrower roles for single steps; null: the role of the pipeline."""

    prepare_data: str | None = text("Role of PrepareData.", names.ROLE_ARN)
    tune_model: str | None = text("Role of TuneModel's trials.", names.ROLE_ARN)
    train_model: str | None = text("Role of TrainModel.", names.ROLE_ARN)
    evaluate_model: str | None = text("Role of EvaluateModel.", names.ROLE_ARN)
    deploy_model: str | None = text("Role of the model behind the staging endpoint.", names.ROLE_ARN)


class ImagesSection(Section):
    """Container images."""

    framework_version: Literal["2.12", "2.13"] = Field(
        default="2.12", description="PyTorch version of AWS's training images; 2.12 is the pair our tests use."
    )
    processing: str | None = text("Full image address for PrepareData and EvaluateModel. null: AWS's.", names.IMAGE)
    training: str | None = text("Full image address for TuneModel and TrainModel. null: AWS's.", names.IMAGE)
