"""Members that the requests of several steps share: machine, network, tags, cache, retries."""

from __future__ import annotations

from typing import Any

from sagemaker.mlops.workflow.retry import (
    RetryPolicy,
    SageMakerJobExceptionTypeEnum,
    SageMakerJobStepRetryPolicy,
    StepExceptionTypeEnum,
    StepRetryPolicy,
)
from sagemaker.mlops.workflow.steps import CacheConfig

from pipeline.config import Config
from pipeline.config.instances import has_nvme
from pipeline.config.sections import Retry

Members = dict[str, Any]
INTERNAL_ERROR = SageMakerJobExceptionTypeEnum.INTERNAL_ERROR
CAPACITY_ERROR = SageMakerJobExceptionTypeEnum.CAPACITY_ERROR
RESOURCE_LIMIT = SageMakerJobExceptionTypeEnum.RESOURCE_LIMIT


def vpc(config: Config) -> Members:
    """VpcConfig, or nothing outside any VPC."""
    security = config.security
    if not security.subnets:
        return {}
    return {"VpcConfig": {"SecurityGroupIds": list(security.security_groups), "Subnets": list(security.subnets)}}


def volume_key(config: Config, instance_type: str) -> Members:
    """VolumeKmsKeyId, except where local NVMe disks refuse one (they encrypt with a key of their own)."""
    key = config.security.kms_key
    return {"VolumeKmsKeyId": key} if key and not has_nvme(instance_type) else {}


def output_key(config: Config) -> Members:
    """KmsKeyId of an output."""
    return {"KmsKeyId": config.security.kms_key} if config.security.kms_key else {}


def tags(config: Config) -> Members:
    """Tags of a job; those of a pipeline do not reach its jobs' bills."""
    pairs = [{"Key": key, "Value": value} for key, value in sorted(config.tags.items())]
    return {"Tags": pairs} if pairs else {}


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
