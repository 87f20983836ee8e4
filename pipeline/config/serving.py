"""The section serving of pipeline.yaml: which server, what its answers say, how much it takes on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from pipeline.config import names
from pipeline.config.instances import accelerator
from pipeline.config.problems import Problem, quoted
from pipeline.config.section import Section

if TYPE_CHECKING:
    from pipeline.config.deploying import DeploySection
    from pipeline.config.sections import PipelineSection

# AWS's Ray Serve images by accelerator. The tags move with AWS's patches; deploy.image pins one.
# https://aws.github.io/deep-learning-containers/ray/deployment/sagemaker/
RAY = {"cpu": "ray:serve-ml-sagemaker-cpu", "gpu": "ray:serve-ml-sagemaker-cuda"}


class ServingSection(Section):
    """What answers behind endpoints and in batch transforms."""

    server: Literal["darkroom", "ray"] = Field(
        default="darkroom",
        description="darkroom: our own image, which CI builds. ray: AWS's Ray Serve image, with nothing to build.",
    )
    unsure_below: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="Answers whose best probability is below it are marked unsure. Part of the model's card.",
    )
    top: int = Field(default=5, ge=1, le=1000, description="Classes that an answer names. Part of the model's card.")
    max_batch: int = Field(
        default=32, ge=1, le=4096, description="Pictures in one forward pass: what came while the model was busy."
    )
    batch_ms: int = Field(
        default=200, ge=1, le=60_000, description="And no more of them than the model does in so many milliseconds."
    )
    queue: int = Field(default=128, ge=1, le=65_536, description="Requests at once; more are told to come again (503).")

    @property
    def hyperparameters(self) -> dict[str, str]:
        """What TrainModel writes into the card; only what differs, so that a default is no reason to train anew."""
        return {name: str(getattr(self, name)) for name in ("unsure_below", "top") if self._differs(name)}

    @property
    def environment(self) -> dict[str, str]:
        """Variables of the model package's container."""
        names = {"max_batch": "DARKROOM_BATCH", "batch_ms": "DARKROOM_BATCH_MS", "queue": "DARKROOM_QUEUE"}
        return {names[key]: str(getattr(self, key)) for key in names if self._differs(key)}

    def _differs(self, name: str) -> bool:
        return bool(getattr(self, name) != type(self).model_fields[name].default)


def server_rules(serving: ServingSection, deploy: DeploySection, pipeline: PipelineSection) -> Iterator[Problem]:
    if serving.server != "ray" or deploy.image:
        return
    if names.partition(pipeline.region) != "aws":
        says = f"ray: AWS's images have another address in {quoted(pipeline.region)}: name it in deploy.image"
        yield Problem(("serving", "server"), says)
    if accelerator(deploy.instance_type) not in RAY:
        says = f"ray: AWS has no Ray Serve image for deploy.instance_type {quoted(deploy.instance_type)}"
        yield Problem(("serving", "server"), f"{says}: take another machine, or name an image in deploy.image")
