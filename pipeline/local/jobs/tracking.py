"""The record of a running job: what Describe shows while it runs, and how it ends."""

from __future__ import annotations

import time

from pipeline.errors import DarkroomError, StorageError
from pipeline.local import logs, names
from pipeline.local.jobs import JOB_INTERNAL_ERROR, JobFailed
from pipeline.local.loop import Cancelled

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Coroutine
    from typing import Any

    from pipeline.local.jobs import JobContext

LONGEST_REASON = 1024  # the service cuts there, too
SAVE_EVERY_S = 0.5
_LAST = ("Completed", "Failed", "Stopped", "MaxRuntimeExceeded")


class Job:
    """`body` is the Describe call's answer in the making; keys that begin with `_` are for us and never described."""

    __slots__ = ("_saved", "arn", "cancelled", "body", "context", "kind", "prefix")

    def __init__(self, context: JobContext, kind: str, prefix: str, request: dict[str, Any]) -> None:
        """`prefix`: Processing, Training, … as in ProcessingJobName. Adds the record.

        A job outside of any execution has one already, with what its Create call was asked for.
        """
        self.context = context
        self.kind = kind
        self.prefix = prefix
        self.cancelled = False  # stopped from outside, rather than by itself
        self.arn = names.arn(kind, context.job_name)
        now = time.time()
        self.body: dict[str, Any] = {
            **{key: value for key, value in request.items() if key != "Tags"},
            f"{prefix}JobName": context.job_name,
            f"{prefix}JobArn": self.arn,
            f"{prefix}JobStatus": "InProgress",
            "CreationTime": now,
            "LastModifiedTime": now,
            **logs.begun(context.log_path, request),
        }
        keep = context.store.add if context.execution_arn else context.store.put
        keep(kind, context.job_name, self.body, "InProgress", self.arn)
        if request.get("Tags"):
            from pipeline.local.operations.answers import save_tags

            save_tags(context.store, self.arn, request["Tags"])
        self._saved = time.monotonic()

    def save(self, now: bool = False) -> None:
        """Writes the record, but not more often than every half second unless asked to do it now."""
        if now or time.monotonic() - self._saved >= SAVE_EVERY_S:
            self.body["LastModifiedTime"] = time.time()
            status = self.body[f"{self.prefix}JobStatus"]
            self.context.store.put(self.kind, self.context.job_name, self.body, status, self.arn)
            self._saved = time.monotonic()

    def enter(self, status: str, message: str) -> None:
        """The next SecondaryStatus of a training job."""
        now = time.time()
        transitions = self.body.setdefault("SecondaryStatusTransitions", [])
        if transitions:
            transitions[-1]["EndTime"] = now
        transitions.append({"Status": status, "StartTime": now, "StatusMessage": message})
        if status in _LAST:
            transitions[-1]["EndTime"] = now
        self.body["SecondaryStatus"] = status

    @property
    def is_running(self) -> bool:
        return bool(self.body[f"{self.prefix}JobStatus"] == "InProgress")

    def close(self, status: str) -> None:
        """What else belongs into the last write of the record."""

    def end(self, status: str, reason: str = "") -> dict[str, Any]:
        """Completed, Failed or Stopped; returns the body."""
        if self.body.get("SecondaryStatus", status) not in _LAST:
            self.enter(status, f"Training job {status.lower()}")
        self.body[f"{self.prefix}JobStatus"] = status
        if reason:
            self.body["FailureReason"] = reason[:LONGEST_REASON]
        self.body |= logs.ended(self.body)
        self.close(status)
        self.save(now=True)
        return self.body


async def settle(job: Job, work: Coroutine[Any, Any, dict[str, Any]], log_path: str) -> dict[str, Any]:
    """Awaits the work of a job; whatever ends it, its private folder is gone, and the record says how it ended."""
    try:
        try:
            body = await work
        except BaseException:  # first of all: on a full disk this makes room for the record
            import shutil

            shutil.rmtree(job.context.work, ignore_errors=True)
            raise
        job.context.folders.give_back(job.context.work)
        return body
    except Cancelled:
        job.cancelled = True
        job.end("Stopped")
        raise
    except JobFailed as exc:
        if job.is_running:  # one that took too long is Stopped already
            job.end("Failed", exc.message)
        exc.log_path = exc.log_path or log_path
        raise
    except DarkroomError as exc:
        reason = f"{exc.message} ({exc.hint})" if exc.hint else exc.message
        job.end("Failed", reason)
        # a retry policy may hope that the disk has room later, never that an image appears
        raise JobFailed(reason, JOB_INTERNAL_ERROR if isinstance(exc, StorageError) else "", log_path) from exc
    except OSError as exc:
        reason = f"cannot use {exc.filename or job.context.work}: {exc.strerror} (DARKROOM_HOME moves the folder)"
        job.end("Failed", reason)
        raise JobFailed(reason, JOB_INTERNAL_ERROR, log_path) from exc
