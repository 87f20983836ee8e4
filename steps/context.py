"""What every step factory is given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sagemaker.core.workflow.execution_variables import ExecutionVariables
from sagemaker.core.workflow.functions import Join
from sagemaker.core.workflow.parameters import Parameter

from pipeline.config import Config


@dataclass(frozen=True)
class Context:
    """`code` maps a program to the S3 folder that holds it; `images` a purpose (processing, training,
    debugger where health.managed is true) to an image.

    `session` stands where the SDK would make one of its own, with half a dozen clients. `starts` maps the channels
    `weights` and `warm_start`, where they are wanted, to what training starts from.
    """

    config: Config
    parameters: Mapping[str, Parameter]
    code: Mapping[str, str]
    images: Mapping[str, str]
    session: object
    starts: Mapping[str, str]

    def text(self, name: str) -> Join:
        """A parameter of any type as text: containers and hyperparameters take nothing else."""
        return Join(on="", values=[self.parameters[name]])

    def run_folder(self, *parts: str) -> Join:
        """An S3 folder of this execution; outputs may hold the execution id, cache keys must not."""
        runs = self.config.pipeline.address("runs").rstrip("/")
        return Join(on="/", values=[runs, ExecutionVariables.PIPELINE_EXECUTION_ID, *parts, ""])
