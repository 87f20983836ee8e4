"""The section deploy of pipeline.yaml: machines behind the endpoints, how they change and grow, what guards them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from pipeline.config import names
from pipeline.config.instances import offered
from pipeline.config.section import Section, text
from pipeline.config.sections import SecuritySection

ServingMachine = Annotated[str, AfterValidator(offered("ProductionVariantInstanceType"))]
AlarmName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,254}$(?!\n)", examples=["queue-too-long"])]
Address = r"^s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[^\s]*)?$(?!\n)"
Topic = r"^arn:aws[a-z-]*:sns:[a-z0-9-]+:[0-9]{12}:[A-Za-z0-9_.-]+$(?!\n)"
Ami = Literal[
    "al2-ami-sagemaker-inference-gpu-2",
    "al2-ami-sagemaker-inference-gpu-2-1",
    "al2-ami-sagemaker-inference-gpu-3-1",
    "al2023-ami-sagemaker-inference-gpu-4-1",
]


class ScalingSection(Section):
    """Between how many instances SageMaker chooses, so that a metric stays at its target."""

    min: int = Field(default=1, ge=0, le=100, description="Fewest instances; 0 only with `metric: backlog`.")
    max: int = Field(default=3, ge=1, le=100, description="Most instances.")
    metric: Literal["invocations", "concurrency", "backlog"] = Field(
        default="invocations",
        description="invocations: of one instance in a minute; concurrency: requests being answered, looked at every "
        "ten seconds; backlog: waiting requests of an asynchronous endpoint, by instance.",
    )
    target: float = Field(default=10.0, gt=0, le=1_000_000, description="What the metric is kept at.")
    out_seconds: int = Field(default=30, ge=0, le=3600, description="Least time between two steps up.")
    in_seconds: int = Field(default=120, ge=0, le=3600, description="Least time between two steps down.")


class UpdateSection(Section):
    """How a fleet is replaced: blue/green, first a canary where there are several instances."""

    canary_percent: int = Field(
        default=50, ge=1, le=50, description="Share of the instances that get the first traffic; with one: all at once."
    )
    bake_seconds: int = Field(default=300, ge=0, le=3600, description="How long the canary is watched.")
    wait_seconds: int = Field(
        default=300, ge=0, le=3600, description="How long the old fleet waits, while the whole new one is watched."
    )
    timeout_minutes: int = Field(default=60, ge=10, le=480, description="An update that takes longer is rolled back.")


class AlarmsSection(Section):
    """What takes an update back, looked at on the new fleet alone."""

    error_rate: float = Field(default=0.05, gt=0, le=1, description="Share of answers with a status of 5xx.")
    latency_ms: int = Field(default=5000, ge=0, le=60000, description="p99 of the model's time. 0: no such alarm.")
    minutes: int = Field(default=1, ge=1, le=60, description="For how many minutes in a row.")
    also: tuple[AlarmName, ...] = Field(
        default=(), strict=False, max_length=8, description="Names of further CloudWatch alarms, which have to exist."
    )


class ServerlessSection(Section):
    """An endpoint without instances: no GPU, no VPC, no isolation, bodies up to 4 MB."""

    memory_mb: Literal[1024, 2048, 3072, 4096, 5120, 6144] = Field(
        default=2048, description="Memory, and CPUs with it."
    )
    max_concurrency: int = Field(default=5, ge=1, le=200, description="Most requests at once.")
    warm: int = Field(default=0, ge=0, le=200, description="Of these, how many are kept ready, for money.")


class AsynchronousSection(Section):
    """An endpoint that takes requests up to 1 GB out of S3 and answers into it."""

    output: str = text("Folder in S3 for the answers.", Address, "s3://my-bucket/answers/")
    failures: str | None = text("Folder in S3 for what failed. null: failures/ below that of the answers.", Address)
    success_topic: str | None = text("ARN of an SNS topic that hears of each answer.", Topic)
    error_topic: str | None = text("ARN of an SNS topic that hears of each failure.", Topic)
    max_concurrency: int = Field(default=4, ge=1, le=1000, description="Most requests at once, of one instance.")

    @property
    def failed(self) -> str:
        """Never nowhere: whoever waits for an answer looks there, too. Its writer may write below `output` anyway."""
        return self.failures or f"{self.output.rstrip('/')}/failures/"


class DeploySection(Section):
    """The staging endpoint that DeployModel starts, and the one that an approval starts."""

    endpoint_name: str | None = text("Staging endpoint. null: <pipeline name>-staging.", names.PIPELINE)
    instance_type: ServingMachine = Field(default="ml.m5.large", description="Machine behind the endpoint.")
    instance_count: int = Field(default=1, ge=1, le=100, description="How many of them, to begin with.")
    function: str | None = text(
        "ARN of the Lambda function that deploys. null: function:darkroom-deploy of the account.", names.FUNCTION_ARN
    )
    invoke_function: str | None = text(
        "ARN of the Lambda function that asks the production endpoint. null: function:darkroom-invoke of the account.",
        names.FUNCTION_ARN,
    )
    image: str | None = text(
        "Serving image with our serve.py. null: darkroom-serve:<framework_version> in the account's registry, "
        "since AWS maintains no image for plain PyTorch serving.",
        names.IMAGE,
    )
    smoke_test: bool = Field(
        default=True, description="Ask the endpoint about golden pictures of the evaluation before it is called good."
    )
    scaling: ScalingSection | None = Field(default=ScalingSection(), description="Autoscaling. null: none.")
    update: UpdateSection = Field(default=UpdateSection(), description="How a fleet is replaced.")
    alarms: AlarmsSection = Field(default=AlarmsSection(), description="What takes an update back.")
    serverless: ServerlessSection | None = Field(default=None, description="In place of instances. null: instances.")
    asynchronous: AsynchronousSection | None = Field(default=None, description="Through S3. null: answers at once.")
    network_isolation: bool | None = Field(
        default=None, description="Of the model alone. null: security.network_isolation."
    )
    inference_ami: Ami | None = Field(
        default=None, description="System of machines with GPUs. null: the one whose driver CUDA 13 needs."
    )

    def isolates(self, security: SecuritySection) -> bool:
        """Whether the model's container gets no network."""
        return security.network_isolation if self.network_isolation is None else self.network_isolation
