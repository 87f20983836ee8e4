"""Names and numbers of AWS that several sections of the configuration check against."""

from __future__ import annotations

import re
from functools import cache

REGION = r"^[a-z]{2}(-[a-z]+)+-\d$"
ACCOUNT = r"^\d{12}$"
PIPELINE = r"^[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}$"
ROLE_ARN = r"^arn:aws[a-z-]*:iam::\d{12}:role/?[a-zA-Z_0-9+=,.@/-]+$"
FUNCTION_ARN = r"^arn:aws[a-z-]*:lambda:[a-z0-9-]+:\d{12}:function:[a-zA-Z0-9_-]+(:[a-zA-Z0-9_$-]+)?$"
KMS_ARN = r"^arn:aws[a-z-]*:kms:[a-z0-9-]+:\d{12}:(key|alias)/[a-zA-Z0-9/_-]+$"
BUCKET = r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$"
PREFIX = r"^[a-zA-Z0-9][a-zA-Z0-9._-]*(/[a-zA-Z0-9][a-zA-Z0-9._-]*)*$"
IMAGE = r"^[a-z0-9][a-z0-9.:-]*(/[a-z0-9._-]+)+([:@][a-zA-Z0-9._:-]+)?$"
INSTANCE = r"^ml\.[a-z0-9-]+\.[a-z0-9]+$"
DURATION = r"^P(?!$)(\d+Y)?(\d+M)?(\d+W)?(\d+D)?(T(?=\d)(\d+H)?(\d+M)?(\d+S)?)?$"
TAG_KEY = r"^(?!aws:)[\w .:/=+@-]{1,128}$"
TAG_VALUE = r"^[\w .:/=+@-]{0,256}$"

_PARTITIONS = (("cn-", "aws-cn"), ("us-gov-", "aws-us-gov"), ("us-isob-", "aws-iso-b"), ("us-iso-", "aws-iso"))
_GPU = re.compile(r"^ml\.(g\d|p\d)")
# Volta and older: CUDA 13, which the 2.12 images bring, no longer has code for them.
_OLD_GPU = re.compile(r"^ml\.(p2|p3|p3dn|g3|g3s)\.")
_NOT_X86 = re.compile(r"^ml\.([a-z]+\d+g[a-z]*|trn\d\w*|inf\d\w*|p6e-gb200)\.")
# Instances with local NVMe disks refuse VolumeKmsKeyId (they encrypt with a key of their own).
_NVME = re.compile(r"^ml\.(g4dn|g5|g6|g6e|g7|g7e|p3dn|p4d|p4de|p5\w*|p6\S*|[a-z]+\d+[a-z]*d[n]?)\.")


def partition(region: str) -> str:
    """`aws`, `aws-cn` or `aws-us-gov`: the second field of every ARN in `region`."""
    return next((name for prefix, name in _PARTITIONS if region.startswith(prefix)), "aws")


def registry_host(account: str, region: str) -> str:
    """The host name of the account's container registry."""
    return f"{account}.dkr.ecr.{region}.amazonaws.com{'.cn' if region.startswith('cn-') else ''}"


def accelerator(instance_type: str) -> str:
    """`gpu`, `cpu`, or `other` for processors that the images have no code for (Graviton, Trainium, old GPUs)."""
    if _NOT_X86.match(instance_type) or _OLD_GPU.match(instance_type):
        return "other"
    return "gpu" if _GPU.match(instance_type) else "cpu"


def has_nvme(instance_type: str) -> bool:
    """True where VolumeKmsKeyId is refused and VolumeSizeInGB ignored."""
    return _NVME.match(instance_type) is not None


@cache
def service_enum(shape: str) -> tuple[str, ...]:
    """The values that SageMaker's own API model lists for `shape`, such as TrainingInstanceType."""
    import botocore.loaders  # read 0.3 s: only when a configuration is checked

    model = botocore.loaders.Loader().load_service_model("sagemaker", "service-2")
    return tuple(model["shapes"][shape]["enum"])
