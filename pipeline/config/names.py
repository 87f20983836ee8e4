"""Names and numbers of AWS that several sections of the configuration check against."""

from __future__ import annotations

REGION = r"^[a-z]{2}(-[a-z]+)+-\d$"
ACCOUNT = r"^\d{12}$"
PIPELINE = r"^[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}$"
ROLE_ARN = r"^arn:aws[a-z-]*:iam::\d{12}:role/?[a-zA-Z_0-9+=,.@/-]+$"
FUNCTION_ARN = r"^arn:aws[a-z-]*:lambda:[a-z0-9-]+:\d{12}:function:[a-zA-Z0-9_-]+(:[a-zA-Z0-9_$-]+)?$"
KMS_ARN = r"^arn:aws[a-z-]*:kms:[a-z0-9-]+:\d{12}:(key|alias)/[a-zA-Z0-9/_-]+$"
BUCKET = r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$"
PREFIX = r"^[a-zA-Z0-9][a-zA-Z0-9._-]*(/[a-zA-Z0-9][a-zA-Z0-9._-]*)*$"
IMAGE = r"^[a-z0-9][a-z0-9.:-]*(/[a-z0-9._-]+)+([:@][a-zA-Z0-9._:-]+)?$"
DURATION = r"^P(?!$)(\d+Y)?(\d+M)?(\d+W)?(\d+D)?(T(?=\d)(\d+H)?(\d+M)?(\d+S)?)?$"
TAG_KEY = r"^(?!aws:)[\w .:/=+@-]{1,128}$"
TAG_VALUE = r"^[\w .:/=+@-]{0,256}$"

_PARTITIONS = (("cn-", "aws-cn"), ("us-gov-", "aws-us-gov"), ("us-isob-", "aws-iso-b"), ("us-iso-", "aws-iso"))


def partition(region: str) -> str:
    """`aws`, `aws-cn` or `aws-us-gov`: the second field of every ARN in `region`."""
    return next((name for prefix, name in _PARTITIONS if region.startswith(prefix)), "aws")


def registry_host(account: str, region: str) -> str:
    """The host name of the account's container registry."""
    return f"{account}.dkr.ecr.{region}.amazonaws.com{'.cn' if region.startswith('cn-') else ''}"
