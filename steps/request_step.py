"""A step over the very request that boto3 would take: what the SDK's job builders would add is left out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sagemaker.core.workflow.properties import Properties, PropertyFile
from sagemaker.mlops.workflow.retry import RetryPolicy
from sagemaker.mlops.workflow.steps import CacheConfig, ConfigurableRetryStep, StepTypeEnum

Request = dict[str, Any]
# The shapes whose members later steps may reference, by step type.
_RESULTS = {
    StepTypeEnum.PROCESSING: ["DescribeProcessingJobResponse"],
    StepTypeEnum.TRAINING: ["DescribeTrainingJobResponse"],
    StepTypeEnum.TUNING: [
        "DescribeHyperParameterTuningJobResponse",
        "ListTrainingJobsForHyperParameterTuningJobResponse",
    ],
    StepTypeEnum.REGISTER_MODEL: ["DescribeModelPackageOutput"],
}


class RequestStep(ConfigurableRetryStep):  # type: ignore[misc]
    """One step of the definition: its name, its words for Studio, and its request."""

    def __init__(self, name: str, step_type: StepTypeEnum, request: Request, words: tuple[str, str]) -> None:
        """`words` are the display name and the description."""
        super().__init__(name, step_type, display_name=words[0], description=words[1])
        self.request = request
        self.cache_config: CacheConfig | None = None
        self.property_files: list[PropertyFile] = []
        self._properties = Properties(step_name=name, step=self, shape_names=_RESULTS[step_type])

    def behaving(self, cache: CacheConfig | None, retries: Sequence[RetryPolicy]) -> RequestStep:
        """The same step with a cache setting and retry policies."""
        self.cache_config = cache
        self.retry_policies = list(retries)
        return self

    def with_property_file(self, file: PropertyFile) -> RequestStep:
        """The same step with a file that conditions can read."""
        self.property_files.append(file)
        return self

    @property
    def arguments(self) -> Request:
        return self.request

    @property
    def properties(self) -> Properties:
        return self._properties

    def to_request(self) -> Request:
        request: Request = super().to_request()
        if self.cache_config is not None:
            request.update(self.cache_config.config)
        if self.property_files:
            request["PropertyFiles"] = [file.expr for file in self.property_files]
        return request
