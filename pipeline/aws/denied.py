"""AccessDenied as a sentence and the statement of a policy that would allow the call."""

from __future__ import annotations

import json
import re
from collections import namedtuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# "User: arn:… is not authorized to perform: sagemaker:StopPipelineExecution on resource: arn:… because no … allows …":
# https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_access-denied.html
_ACTION = re.compile(r"not authorized to perform:? ([A-Za-z0-9-]+:[A-Za-z0-9*]+)")
_RESOURCE = re.compile(r"on (?:the )?resource:? \"?(arn:[^\s\",]+)")
_DENIED = re.compile(r"with an explicit deny(?: in an? ([a-z ]+policy|permissions boundary))?")
_UNGRANTED = re.compile(r"because no ([a-z ]+?(?:policy|boundary)) allows")
_OWN_POLICIES = ("identity-based policy", "")  # what the statement goes into; others only limit what that may allow

# operation of boto3's client → IAM's action, where the two differ
_S3 = {
    "HeadObject": "s3:GetObject",
    "ListObjectsV2": "s3:ListBucket",
    "ListObjects": "s3:ListBucket",
    "HeadBucket": "s3:ListBucket",
    "DeleteObjects": "s3:DeleteObject",
    "CreateMultipartUpload": "s3:PutObject",
    "UploadPart": "s3:PutObject",
    "CompleteMultipartUpload": "s3:PutObject",
    "GetPublicAccessBlock": "s3:GetBucketPublicAccessBlock",
    "GetBucketEncryption": "s3:GetEncryptionConfiguration",
}
_PREFIXES = {"sagemaker-runtime": "sagemaker", "service-quotas": "servicequotas"}  # others are called alike
_PASSED_TO = "sagemaker.amazonaws.com"

Denial = namedtuple("Denial", "action resource hint")


def explain(message: str, service: str, operation: str, resource: str) -> Denial:
    """`resource`: its ARN, where whoever called knows it; the message, where it names one, is right."""
    named = _ACTION.search(message)
    action = named[1] if named else _action(service, operation)
    found = _RESOURCE.search(message)
    where = found[1] if found else resource
    return Denial(action, where, _hint(message, action, where))


def _action(service: str, operation: str) -> str:
    return _S3.get(operation) or f"{_PREFIXES.get(service, service)}:{operation}"


def _hint(message: str, action: str, resource: str) -> str:
    if denied := _DENIED.search(message):
        policy = denied[1] or "policy"
        return f"a {policy} denies {action} explicitly: no statement that allows it helps; its owner has to change it"
    ungranted = _UNGRANTED.search(message)
    policy = ungranted[1] if ungranted else ""
    kind = policy if policy not in _OWN_POLICIES else "policy of whoever calls"
    narrow = "" if resource else "; AWS did not name the resource: narrow the * where you can"
    absent = (
        " and s3:ListBucket on the bucket, without which S3 also refuses what is not there" if _hides(action) else ""
    )
    return f"add to the {kind}: {statement(action, resource)}{narrow}{absent}"


def statement(action: str, resource: str) -> str:
    """One statement of a policy, as JSON on one line."""
    body: dict[str, Any] = {"Effect": "Allow", "Action": action, "Resource": resource or "*"}
    if action == "iam:PassRole":
        body["Condition"] = {"StringEquals": {"iam:PassedToService": _PASSED_TO}}
    return json.dumps(body)


def _hides(action: str) -> bool:
    """S3 answers 403 instead of 404 to those who may not list the bucket."""
    return action == "s3:GetObject"
