"""The bucket of code, data and models: there, this account's, in this region, closed and kept."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from pipeline.errors import ServiceError
from pipeline.preflight.assumed import listed
from pipeline.preflight.finding import Finding, error, ok, warning
from pipeline.preflight.setting import Setting

ABSENT = ("NoSuchBucket", "NoSuchKey")  # HEAD of a bucket has a status alone, which reads like that of an object
_OLD_NAMES = {"": "us-east-1", "EU": "eu-west-1"}  # what LocationConstraint says of two regions
_BLOCKS = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")
_CLOSING = ",".join(f"{each}=true" for each in _BLOCKS)


def there(setting: Setting) -> Iterator[Finding]:
    """A bucket's name is taken in all of AWS: one that answers may be anybody's, and would get pictures and models."""
    bucket = setting.bucket
    try:
        _ask(setting, "head_bucket", owned=False)
    except ServiceError as exc:
        if exc.code not in ABSENT:
            raise
        yield error(bucket, "there is no such bucket", setting.deploy_stack)
        return
    try:
        _ask(setting, "head_bucket")
    except ServiceError as exc:
        if exc.code != "AccessDenied":
            raise
        yield error(
            bucket, f"it belongs to another account than {setting.account}", "take another name in pipeline.bucket"
        )
        return
    yield ok(bucket, f"it is there, and belongs to {setting.account}")


def region(setting: Setting) -> Iterator[Finding]:
    answer = _ask(setting, "get_bucket_location")
    name = str(answer.get("LocationConstraint") or "")
    found, wanted = _OLD_NAMES.get(name, name), setting.config.pipeline.region
    if found == wanted:
        yield ok(setting.bucket, f"it lies in {found}")
    else:
        yield error(
            setting.bucket,
            f"it lies in {found}, and SageMaker reads buckets of its own region alone: {wanted}",
            "take another name in pipeline.bucket, or another pipeline.region",
        )


def private(setting: Setting) -> Iterator[Finding]:
    answer = _unless("NoSuchPublicAccessBlockConfiguration", setting, "get_public_access_block")
    blocked = answer.get("PublicAccessBlockConfiguration", {})
    open_ = [each for each in _BLOCKS if not blocked.get(each)]
    if not open_:
        yield ok(setting.bucket, "public access is blocked")
        return
    yield warning(
        setting.bucket,
        f"public access is not blocked: {', '.join(open_)}",
        f"aws s3api put-public-access-block --bucket {setting.bucket} --public-access-block-configuration {_CLOSING}",
    )


def encrypted(setting: Setting) -> Iterator[Finding]:
    """The roles may use security.kms_key alone: with another key every job is denied."""
    answer = _unless("ServerSideEncryptionConfigurationNotFoundError", setting, "get_bucket_encryption")
    rules = answer.get("ServerSideEncryptionConfiguration", {}).get("Rules", [])
    default: dict[str, Any] = rules[0].get("ApplyServerSideEncryptionByDefault", {}) if rules else {}
    key, wanted = str(default.get("KMSMasterKeyID") or ""), setting.config.security.kms_key
    if not default:
        command = f"aws s3api put-bucket-encryption --bucket {setting.bucket} --server-side-encryption-configuration"
        rule = '{"Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}]}'
        yield warning(setting.bucket, "it has no encryption of its own", f"{command} '{rule}'")
    elif key and wanted is None:
        yield error(
            setting.bucket,
            f"it is encrypted with {key}, which no role of the pipeline may use",
            f"write security.kms_key: {key} to {setting.file}, then {setting.deploy_stack}",
        )
    elif key and key != wanted:
        yield warning(
            setting.bucket,
            f"it is encrypted with {key}, and security.kms_key is {wanted}",
            "if these are two keys, name the bucket's in security.kms_key",
        )
    else:
        yield ok(setting.bucket, f"it is encrypted ({default['SSEAlgorithm']})")


def versioned(setting: Setting) -> Iterator[Finding]:
    status = str(_ask(setting, "get_bucket_versioning").get("Status", "never enabled"))
    if status == "Enabled":
        yield ok(setting.bucket, "versions are kept")
        return
    yield warning(
        setting.bucket,
        f"versioning is {status}: a model that is overwritten or deleted is gone",
        f"aws s3api put-bucket-versioning --bucket {setting.bucket} --versioning-configuration Status=Enabled",
    )


def over_tls(setting: Setting) -> Iterator[Finding]:
    answer = _unless("NoSuchBucketPolicy", setting, "get_bucket_policy")
    document: dict[str, Any] = json.loads(answer.get("Policy", "{}"))
    if any(_refuses_plain(each) for each in listed(document.get("Statement"))):
        yield ok(setting.bucket, "it is read over TLS alone")
        return
    yield warning(
        setting.bucket,
        "no statement of its policy denies requests without TLS",
        f"the stack's does: {setting.deploy_stack}",
    )


def _refuses_plain(statement: dict[str, Any]) -> bool:
    condition = statement.get("Condition", {}).get("Bool", {})
    secure = [str(each).lower() for each in listed(condition.get("aws:SecureTransport"))]
    return statement.get("Effect") == "Deny" and secure == ["false"]


def _unless(code: str, setting: Setting, method: str) -> dict[str, Any]:
    """Empty where S3 says by `code` that nobody ever set it."""
    try:
        return _ask(setting, method)
    except ServiceError as exc:
        if exc.code != code:
            raise
        return {}


def _ask(setting: Setting, method: str, owned: bool = True) -> dict[str, Any]:
    owner = {"ExpectedBucketOwner": setting.account} if owned else {}
    answer: dict[str, Any] = setting.service("s3").ask(method, setting.bucket_arn(), Bucket=setting.bucket, **owner)
    return answer
