"""Logs of jobs out of CloudWatch Logs: a stream for each host, named <job>/algo-<n>-<time>.

https://docs.aws.amazon.com/sagemaker/latest/dg/logging-cloudwatch.html
"""

from __future__ import annotations

import re
import sys

from pipeline.errors import ServiceError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from pipeline.aws.calls import Calls

# how a stream is written in place of a path: cloudwatch:/aws/sagemaker/TrainingJobs/job/algo-1-17
SCHEME = "cloudwatch:"
MOST_EVENTS = 10_000  # that GetLogEvents gives at once
MOST_PAGES = 20  # of a log's end: each holds 10,000 events or 1 MB, and an account may ask for 25 in a second
MOST_STREAMS = 50  # that DescribeLogStreams gives at once
# key of a step's Metadata → log group, and what the streams' names begin with after the job's
GROUPS = {
    "ProcessingJob": ("/aws/sagemaker/ProcessingJobs", "/"),
    "TrainingJob": ("/aws/sagemaker/TrainingJobs", "/"),
    "TransformJob": ("/aws/sagemaker/TransformJobs", "/"),
    "TuningJob": ("/aws/sagemaker/TrainingJobs", "-"),  # of each trial: <tuning job>-<number>-<digits>/algo-1-<time>
}
_TRIAL = re.compile(r"\d{3,}-[0-9a-f]{8}/")
_NUMBERS = re.compile(r"(\d+)")


class CloudWatch:
    """Paths are `cloudwatch:<group>/<stream>`; a position is the token that CloudWatch goes on from."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    def paths(self, step: dict[str, Any]) -> list[str]:
        """Of every host of the step's job, the first host first; empty before it has said something."""
        for kind, described in (step.get("Metadata") or {}).items():
            if kind in GROUPS:
                group, after = GROUPS[kind]
                job = str(described.get("Arn", "")).rpartition("/")[2]
                return [f"{SCHEME}{group}/{stream}" for stream in self._streams(group, job, after)] if job else []
        return []

    def read(self, path: str, last: int | None = None) -> tuple[list[str], str]:
        """All lines, or the last ones, and the position behind them."""
        if last is None:
            return self.after(path, "")
        lines, position, _ = self._ending(path, last, sys.maxsize)
        return lines[-last:] if last else [], position

    def end(self, path: str, most: int) -> tuple[list[str], bool]:
        """The last `most` lines, and whether there are some before them; of lines that are long fewer may be all."""
        lines, _, left_out = self._ending(path, most + 1, MOST_PAGES)
        return lines[-most:], left_out or len(lines) > most

    def after(self, path: str, position: str) -> tuple[list[str], str]:
        """What was written since, and the position behind it."""
        group, stream = _split(path)
        lines: list[str] = []
        for page in self._pages(group, stream, position, forward=True, limit=MOST_EVENTS):
            lines += _lines(page)
            position = page["nextForwardToken"]
        return lines, position

    def fresh(self, path: str, position: str | None, most: int) -> tuple[list[str], str, bool]:
        """The last lines of what was written since, at most `most`, in one call; in some more where there are more."""
        if position:
            group, stream = _split(path)
            page = next(self._pages(group, stream, position, forward=True, limit=most + 1))
            lines = _lines(page)
            if len(lines) <= most:
                return lines, page["nextForwardToken"], False
        lines, end, left_out = self._ending(path, most + 1, MOST_PAGES)
        return lines[-most:], end, left_out or len(lines) > most

    def _ending(self, path: str, least: int, most_pages: int) -> tuple[list[str], str, bool]:
        """At least so many of the last lines, the position behind them, and whether it was given up before."""
        group, stream = _split(path)
        lines: list[str] = []
        end, read = "", 0
        for page in self._pages(group, stream, "", forward=False, limit=min(max(least, 1), MOST_EVENTS)):
            end, read = end or page["nextForwardToken"], read + 1
            lines = [*_lines(page), *lines]
            if len(lines) >= least or read == most_pages:
                break
        return lines, end, len(lines) < least and read == most_pages

    def _streams(self, group: str, job: str, after: str) -> list[str]:
        prefix = f"{job}{after}"
        try:
            rows = list(self._described(group, prefix))
        except ServiceError as exc:
            if exc.code != "ResourceNotFoundException":
                raise
            return []  # the group is made with the first log in it
        if after == "-":
            rows = [name for name in rows if _TRIAL.match(name[len(prefix) :])]
        return sorted(rows, key=_in_order)

    def _described(self, group: str, prefix: str) -> Iterator[str]:
        request: dict[str, Any] = {"logGroupName": group, "logStreamNamePrefix": prefix, "limit": MOST_STREAMS}
        while True:
            page = self._calls.ask("describe_log_streams", **request)
            yield from (row["logStreamName"] for row in page["logStreams"])
            if not page.get("nextToken"):
                return
            request["nextToken"] = page["nextToken"]

    def _pages(self, group: str, stream: str, token: str, forward: bool, limit: int) -> Iterator[dict[str, Any]]:
        """Until CloudWatch gives back the token that it was given: then there is no more."""
        request: dict[str, Any] = {
            "logGroupName": group,
            "logStreamName": stream,
            "startFromHead": forward,
            "limit": limit,
        }
        while True:
            page = self._calls.ask("get_log_events", **request, **({"nextToken": token} if token else {}))
            yield page
            following = page["nextForwardToken" if forward else "nextBackwardToken"]
            if following == token:
                return
            token = following


def _split(path: str) -> tuple[str, str]:
    """cloudwatch:/aws/sagemaker/TrainingJobs/job/algo-1-17 → (/aws/sagemaker/TrainingJobs, job/algo-1-17)."""
    parts = path.removeprefix(SCHEME).split("/")
    return "/".join(parts[:4]), "/".join(parts[4:])


def _lines(page: dict[str, Any]) -> list[str]:
    return [line for event in page["events"] for line in event["message"].splitlines() or [""]]


def _in_order(name: str) -> list[Any]:
    """algo-2 before algo-10."""
    return [int(part) if part.isdigit() else part for part in _NUMBERS.split(name)]
