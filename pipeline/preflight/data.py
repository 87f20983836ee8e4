"""What jobs read from S3 when they start: an input without objects fails the job."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.dataset_source import in_s3
from pipeline.preflight.finding import Finding, error, ok
from pipeline.preflight.setting import Setting

DATASET = "DatasetUri"
SAMPLE = "an example: s3://BUCKET/FOLDER/"


def there(setting: Setting) -> Iterator[Finding]:
    yield from _dataset(setting)
    for key, source in setting.config.model.starts.items():
        if in_s3(source):
            yield from _has_objects(setting, source, f"model.{key}")
        else:
            yield ok(source, f"model.{key} lies on this machine: darkroom upsert copies it")


def _dataset(setting: Setting) -> Iterator[Finding]:
    if DATASET not in setting.values:
        yield ok(setting.config.dataset.kind, "needs no data of its own")
        return
    address, source = str(setting.values[DATASET]), setting.config.dataset.source
    if address == setting.config.dataset_address and not in_s3(source or ""):
        yield ok(str(source), "lies on this machine: darkroom start copies it")
    else:
        yield from _has_objects(setting, address, DATASET)


def _has_objects(setting: Setting, address: str, what: str) -> Iterator[Finding]:
    bucket, _, key = address.removeprefix("s3://").partition("/")
    answer = setting.service("s3").ask(
        "list_objects_v2", setting.bucket_arn(bucket), Bucket=bucket, Prefix=key, MaxKeys=1
    )
    if answer.get("Contents"):
        yield ok(address, f"{what} has objects")
        return
    yield error(address, f"{what} has no object: the job that reads it would fail", f"aws s3 sync FOLDER {address}")
