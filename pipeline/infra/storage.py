"""What keeps data: the bucket, the model package group, the repository of the serving image."""

from __future__ import annotations

import json

from pipeline.infra.intrinsics import Json, admission, either, over_tls, policy, ref
from pipeline.infra.setting import Setting

UNFINISHED_DAYS = 7
SELDOM_READ_DAYS = 30
UNTAGGED_DAYS = 14
# Deleting the stack, or renaming something in it, must not delete data.
KEPT = {"DeletionPolicy": "Retain", "UpdateReplacePolicy": "Retain"}


def resources(setting: Setting) -> Json:
    return {
        "Bucket": _bucket(setting),
        "BucketPolicy": _bucket_policy(setting),
        "ModelPackageGroup": _group(setting),
        **({"ServingRepository": _repository(setting.repository)} if setting.repository else {}),
    }


def _bucket(setting: Setting) -> Json:
    customer = {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": ref("DataKeyArn")}
    encryption = {
        "ServerSideEncryptionByDefault": either("HasDataKey", customer, {"SSEAlgorithm": "AES256"}),
        "BucketKeyEnabled": either("HasDataKey", True),
    }
    everything = ("BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets")
    return {
        "Type": "AWS::S3::Bucket",
        **KEPT,
        "Properties": {
            "BucketName": setting.config.pipeline.bucket_name,
            "BucketEncryption": {"ServerSideEncryptionConfiguration": [encryption]},
            "OwnershipControls": {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]},
            "PublicAccessBlockConfiguration": dict.fromkeys(everything, True),
            "VersioningConfiguration": {"Status": "Enabled"},
            "LifecycleConfiguration": {"Rules": _lifecycle(setting)},
        },
    }


def _lifecycle(setting: Setting) -> list[Json]:
    """Models that are registered lie in runs/, where S3 cannot tell them from the rest: that moves, and stays.

    What a cached step refers to lies there, too. Intelligent-Tiering keeps everything within milliseconds.
    """
    runs = f"{setting.folder}/runs/"
    moved = [{"StorageClass": "INTELLIGENT_TIERING", "TransitionInDays": SELDOM_READ_DAYS}]
    rules: list[Json] = [
        {"Id": "unfinished-uploads", "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": UNFINISHED_DAYS}},
        {"Id": "noncurrent-versions", "NoncurrentVersionExpiration": {"NoncurrentDays": ref("NoncurrentDays")}},
        {"Id": "markers-of-nothing", "ExpiredObjectDeleteMarker": True},
        {"Id": "runs-seldom-read", "Prefix": runs, "Transitions": moved},
        *_expiring("checkpoints", setting.config.checkpoint_address, "CheckpointDays", setting),
        *_expiring("debugger", setting.config.debugger_address, "DebuggerDays", setting),
    ]
    expiry = {"Id": "runs", "Status": "Enabled", "Prefix": runs, "ExpirationInDays": ref("RunsDays")}
    return [*({**rule, "Status": "Enabled"} for rule in rules), either("ExpiresRuns", expiry)]


def _expiring(name: str, address: str, parameter: str, setting: Setting) -> list[Json]:
    """None for what pipeline.yaml puts into another bucket."""
    bucket, _, prefix = address.removeprefix("s3://").partition("/")
    if bucket != setting.config.pipeline.bucket_name:
        return []
    return [{"Id": name, "Prefix": prefix, "ExpirationInDays": ref(parameter)}]


def _bucket_policy(setting: Setting) -> Json:
    everything = [setting.bucket_arn, f"{setting.bucket_arn}/*"]
    old = {"NumericLessThan": {"s3:TlsVersion": "1.2"}}
    return {
        "Type": "AWS::S3::BucketPolicy",
        "Properties": {
            "Bucket": ref("Bucket"),
            "PolicyDocument": policy(
                over_tls("s3:*", everything),
                admission("*", "NoOldTls", "s3:*", everything, old) | {"Effect": "Deny"},
            ),
        },
    }


def _group(setting: Setting) -> Json:
    return {
        "Type": "AWS::SageMaker::ModelPackageGroup",
        **KEPT,
        "Properties": {
            "ModelPackageGroupName": setting.config.package_group,
            "ModelPackageGroupDescription": f"Models of the pipeline {setting.config.pipeline.name}",
        },
    }


def _repository(name: str) -> Json:
    untagged = {
        "rulePriority": 1,
        "description": "Images that no tag names",
        "selection": {
            "tagStatus": "untagged",
            "countType": "sinceImagePushed",
            "countUnit": "days",
            "countNumber": UNTAGGED_DAYS,
        },
        "action": {"type": "expire"},
    }
    customer = {"EncryptionType": "KMS", "KmsKey": ref("DataKeyArn")}
    return {
        "Type": "AWS::ECR::Repository",
        **KEPT,
        "Properties": {
            "RepositoryName": name,
            "ImageTagMutability": "IMMUTABLE",
            "ImageScanningConfiguration": {"ScanOnPush": True},
            "EncryptionConfiguration": either("HasDataKey", customer, {"EncryptionType": "AES256"}),
            "LifecyclePolicy": {"LifecyclePolicyText": json.dumps({"rules": [untagged]}, sort_keys=True)},
        },
    }
