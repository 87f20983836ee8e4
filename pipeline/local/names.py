"""Names and ARNs, formed as SageMaker forms them."""

from __future__ import annotations

import os

ACCOUNT = "111122223333"  # never leaves this machine
REGION = "us-east-1"
_ALPHABET = "abcdefghijklmnopqrstuvwxyz0123456789"
# the service refuses longer names: CreateHyperParameterTuningJob 32, every other job 63
_LONGEST = {"hyper-parameter-tuning-job": 32}


def arn(kind: str, name: str) -> str:
    """arn('training-job', 'x') → arn:aws:sagemaker:us-east-1:111122223333:training-job/x."""
    return f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:{kind}/{name}"


def random_id(length: int = 12) -> str:
    """Letters and digits, as in an execution's id."""
    return "".join(_ALPHABET[byte % 36] for byte in os.urandom(length))


def job_name(kind: str, execution_id: str, step: str) -> str:
    """As Pipelines names its jobs: pipelines-<execution>-<step>-<random>, cut to what the job type allows."""
    suffix = random_id(10)
    if kind in _LONGEST:
        return f"{execution_id}-{step[:6]}-{suffix}"[: _LONGEST[kind]].replace("_", "-").replace("--", "-")
    return f"pipelines-{execution_id}-{step[:27].replace('_', '-').strip('-')}-{suffix}"
