"""Members of SageMaker's requests that say the same of jobs and models: network, keys, tags."""

from __future__ import annotations

from typing import Any

from pipeline.config.instances import has_nvme
from pipeline.config.model import Config

Members = dict[str, Any]


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
