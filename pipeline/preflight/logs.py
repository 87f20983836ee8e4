"""May who asks read the logs of jobs? A step that fails says why in them."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.errors import ServiceError
from pipeline.preflight.finding import Finding, ok
from pipeline.preflight.setting import Setting

GROUPS = ("/aws/sagemaker/ProcessingJobs", "/aws/sagemaker/TrainingJobs")
ABSENT = "ResourceNotFoundException"


def readable(setting: Setting) -> Iterator[Finding]:
    for group in GROUPS:
        try:
            count = _read(setting, group)
        except ServiceError as exc:
            if exc.code != ABSENT:
                raise
            yield ok(group, "there is none yet: the first job makes it")
            continue
        yield ok(group, "it can be read" if count else "it can be read, and holds nothing yet")


def _read(setting: Setting, group: str) -> int:
    """Each of the calls that darkroom logs and watch make."""
    ask, arn = setting.service("logs").ask, setting.arn("logs", f"log-group:{group}:*")
    streams = ask("describe_log_streams", arn, logGroupName=group, limit=1)["logStreams"]
    ask("filter_log_events", arn, logGroupName=group, limit=1)
    for stream in streams:
        ask("get_log_events", arn, logGroupName=group, logStreamName=stream["logStreamName"], limit=1)
    return len(streams)
