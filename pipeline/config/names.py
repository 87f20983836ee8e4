"""Names and numbers of AWS that several sections of the configuration check against."""

from __future__ import annotations

# `$` alone would let a line break through at the end; `\d` would let other scripts' digits through.
REGION = r"^[a-z]{2}(-[a-z]+)+-[0-9]$(?!\n)"
ACCOUNT = r"^[0-9]{12}$(?!\n)"
PIPELINE = r"^[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}$(?!\n)"
ROLE_ARN = r"^arn:aws[a-z-]*:iam::[0-9]{12}:role/?[a-zA-Z_0-9+=,.@/-]+$(?!\n)"
FUNCTION_ARN = r"^arn:aws[a-z-]*:lambda:[a-z0-9-]+:[0-9]{12}:function:[a-zA-Z0-9_-]+(:[a-zA-Z0-9_$-]+)?$(?!\n)"
KMS_ARN = r"^arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:(key|alias)/[a-zA-Z0-9/_-]+$(?!\n)"
BUCKET = r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$(?!\n)"
PREFIX = r"^[a-zA-Z0-9][a-zA-Z0-9._-]*(/[a-zA-Z0-9][a-zA-Z0-9._-]*)*$(?!\n)"
# A folder below a bucket, not the bucket itself: what is written there may be deleted there, too.
S3_FOLDER = r"^s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]/(?!/)([^\x00-\x20/]+/)+$(?!\n)"
IMAGE = r"^[a-z0-9][a-z0-9.:-]*(/[a-z0-9._-]+)+([:@][a-zA-Z0-9._:-]+)?$(?!\n)"
MACHINE = r"^ml\.[a-z0-9-]+\.[a-z0-9-]+$(?!\n)"
DURATION = r"^P(?=.*[1-9])([0-9]+W|([0-9]+Y)?([0-9]+M)?([0-9]+D)?(T(?=[0-9])([0-9]+H)?([0-9]+M)?)?)$(?!\n)"
TAG_KEY = r"^(?!aws:)[\w .:/=+@-]{1,128}$(?!\n)"
TAG_VALUE = r"^[\w .:/=+@-]{0,256}$(?!\n)"

IMAGES_OF_AWS = "763104351884"  # the account of AWS's own images in most regions of the partition aws

_PARTITIONS = (("cn-", "aws-cn"), ("us-gov-", "aws-us-gov"), ("us-isob-", "aws-iso-b"), ("us-iso-", "aws-iso"))


def partition(region: str) -> str:
    """`aws`, `aws-cn` or `aws-us-gov`: the second field of every ARN in `region`."""
    return next((name for prefix, name in _PARTITIONS if region.startswith(prefix)), "aws")


def registry_host(account: str, region: str) -> str:
    """The host name of the account's container registry."""
    return f"{account}.dkr.ecr.{region}.amazonaws.com{'.cn' if region.startswith('cn-') else ''}"
