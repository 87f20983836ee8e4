"""What the requests of several steps share beside pipeline/config/members.py: cache, retries."""

from __future__ import annotations

from sagemaker.mlops.workflow.retry import (
    RetryPolicy,
    SageMakerJobExceptionTypeEnum,
    SageMakerJobStepRetryPolicy,
    StepExceptionTypeEnum,
    StepRetryPolicy,
)
from sagemaker.mlops.workflow.steps import CacheConfig

from pipeline.config import Config
from pipeline.config.members import Members
from pipeline.config.sections import Retry

INTERNAL_ERROR = SageMakerJobExceptionTypeEnum.INTERNAL_ERROR
CAPACITY_ERROR = SageMakerJobExceptionTypeEnum.CAPACITY_ERROR
RESOURCE_LIMIT = SageMakerJobExceptionTypeEnum.RESOURCE_LIMIT


def caching(config: Config) -> CacheConfig:
    """The cache setting of Processing, Training and Tuning steps; no other type of ours can have one."""
    if not config.cache.enabled:
        return CacheConfig(enable_caching=False)
    return CacheConfig(enable_caching=True, expire_after=config.cache.expire_after)


def service_retries(retry: Retry | None) -> list[RetryPolicy]:
    """For faults and throttling of the service itself: all that Model and RegisterModel steps take."""
    if retry is None:
        return []
    kinds = [StepExceptionTypeEnum.SERVICE_FAULT, StepExceptionTypeEnum.THROTTLING]
    return [StepRetryPolicy(exception_types=kinds, **_patience(retry))]


def job_retries(retry: Retry | None, kinds: list[SageMakerJobExceptionTypeEnum]) -> list[RetryPolicy]:
    """The same, and for errors of the job that are not the script's."""
    if retry is None:
        return []
    return [*service_retries(retry), SageMakerJobStepRetryPolicy(exception_types=kinds, **_patience(retry))]


def _patience(retry: Retry) -> Members:
    return {
        "backoff_rate": retry.backoff_rate,
        "interval_seconds": retry.interval_seconds,
        "max_attempts": retry.max_attempts,
    }
