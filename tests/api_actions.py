"""Which actions of IAM a call of the API needs: what stands in for IAM in tests asks roles for them."""

from __future__ import annotations

# API operations whose action has another name, or that need several; every other one is <service>:<operation>.
OPERATIONS = {
    ("s3", "HeadBucket"): ("s3:ListBucket",),
    ("s3", "HeadObject"): ("s3:GetObject",),
    ("s3", "ListObjects"): ("s3:ListBucket",),
    ("s3", "ListObjectsV2"): ("s3:ListBucket",),
    ("s3", "CreateMultipartUpload"): ("s3:PutObject",),
    ("s3", "UploadPart"): ("s3:PutObject",),
    ("s3", "CompleteMultipartUpload"): ("s3:PutObject",),
    ("s3", "DeleteObjects"): ("s3:DeleteObject",),
    ("s3", "CopyObject"): ("s3:GetObject", "s3:PutObject"),
    ("s3", "GetBucketEncryption"): ("s3:GetEncryptionConfiguration",),
    ("s3", "GetPublicAccessBlock"): ("s3:GetBucketPublicAccessBlock",),
    ("lambda", "Invoke"): ("lambda:InvokeFunction",),
    ("sts", "GetCallerIdentity"): (),  # allowed to whoever has credentials
}
_PREFIXES = {"sagemaker-runtime": "sagemaker"}


def actions_of(service: str, operation: str) -> tuple[str, ...]:
    """("s3", "HeadObject") → ("s3:GetObject",): what has to be allowed for a call of boto3's client `service`."""
    return OPERATIONS.get((service, operation), (f"{_PREFIXES.get(service, service)}:{operation}",))
