"""Lambda handler that finds the champion: the newest approved model package of a group, and where its archive lies."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

NEEDED = ("model_package_group", "without_champion")
GROUP = re.compile(r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}")
ADDRESS = re.compile(r"s3://[^/\s]+/\S+")
NONE = "none"  # in place of a package's ARN; evaluate.py knows the word
LONGEST_PAGE = 100  # packages: of the default, 10, a group of thousands takes too many calls
# For a group that does not exist. Its name is checked before, so to a first page a ValidationException can mean nothing
# else; to a later one it is a token that has expired.
ABSENT = ("ValidationException", "ResourceNotFound")


class FindRefused(Exception):
    """Ends the invocation with this sentence as its error message."""


def handler(event: dict[str, Any], context: object, clients: Mapping[str, Any] | None = None) -> dict[str, str]:
    """{"model_package_group": …, "without_champion": address} → address of the archive, and the package's ARN.

    Without an approved package, or an archive of it, the address is that of `without_champion`, an object that is
    always there: an S3 input without objects would fail the job. EvaluateModel tells a champion without an archive: it
    is no fault of the new model. The function needs ListModelPackages and DescribeModelPackage, and no more.
    """
    group, marker = _checked(event)
    sagemaker = (clients or _clients())["sagemaker"]
    for summary in _approved(sagemaker, group):
        arn = summary["ModelPackageArn"]
        address = _archive(sagemaker.describe_model_package(ModelPackageName=arn))
        print(f"the champion of {group} is {arn}: {address or 'it has no single container with an archive in S3'}")
        return {"archive": address or marker, "model_package_arn": arn}
    print(f"{group} has no approved model package: there is no champion")
    return {"archive": marker, "model_package_arn": NONE}


def _checked(event: dict[str, Any]) -> tuple[str, str]:
    missing = [key for key in NEEDED if not event.get(key)]
    if missing:
        raise FindRefused(f"the event lacks {', '.join(missing)}")
    group, marker = (str(event[key]) for key in NEEDED)
    if not GROUP.fullmatch(group):
        raise FindRefused(f"model_package_group {group!r}: take letters, digits and inner hyphens, at most 63")
    if not ADDRESS.fullmatch(marker):
        raise FindRefused(f"without_champion {marker!r}: take the s3:// address of an object")
    return group, marker


def _approved(sagemaker: Any, group: str) -> Iterator[dict[str, Any]]:
    """Newest first. A page may be empty, and more may follow it nevertheless."""
    request: dict[str, Any] = {"ModelPackageGroupName": group, "ModelApprovalStatus": "Approved"}
    request |= {"SortBy": "CreationTime", "SortOrder": "Descending", "MaxResults": LONGEST_PAGE}
    while True:
        try:
            found = sagemaker.list_model_packages(**request)
        except ClientError as error:
            if error.response["Error"]["Code"] in ABSENT and "NextToken" not in request:
                return
            raise
        yield from (each for each in found["ModelPackageSummaryList"] if each["ModelPackageStatus"] == "Completed")
        if not found.get("NextToken"):
            return
        request["NextToken"] = found["NextToken"]


def _archive(package: dict[str, Any]) -> str:
    """Empty for a package that cannot be compared."""
    containers = package.get("InferenceSpecification", {}).get("Containers", [])
    if len(containers) != 1:
        return ""
    source = containers[0].get("ModelDataSource", {}).get("S3DataSource", {})
    address = str(containers[0].get("ModelDataUrl") or source.get("S3Uri", ""))
    return address if ADDRESS.fullmatch(address) and source.get("CompressionType") != "None" else ""


def _clients() -> dict[str, Any]:
    config = Config(connect_timeout=5, read_timeout=15, retries={"mode": "standard", "max_attempts": 3})
    return {"sagemaker": boto3.client("sagemaker", config=config)}
