"""The log files of jobs as CloudWatch Logs has them: groups, a stream for each host, events with a time and a place.

Programs write into files, which say nothing of when. A line's time is that of the file when it was first looked at, as
CloudWatch's is when its agent read it; who never looks meanwhile finds all lines at the time of the last. What was told
once is kept, so that a line never changes its time.
"""

from __future__ import annotations

import os
from collections import namedtuple

from pipeline.local import logs, names

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.local.store import Record, Store

# https://docs.aws.amazon.com/sagemaker/latest/dg/logging-cloudwatch.html
GROUPS = {
    "/aws/sagemaker/ProcessingJobs": "processing-job",
    "/aws/sagemaker/TrainingJobs": "training-job",  # trials are training jobs, too
    "/aws/sagemaker/TransformJobs": "transform-job",
}
LONGEST_EVENT = 256 << 10  # bytes: https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/cloudwatch_limits_cwl.html
LARGEST_PAGE = 1 << 20  # bytes of events in one answer
RUNNING = ("InProgress", "Stopping")
_BLOCK = 64 << 10
_LATEST = 1 << 62
_TIMES = "log-times"
_FINEST_MS, _MARKS = 1000, 256  # times of one stream: a second apart, and fewer the longer it lasts

# `place` and `behind` are bytes of the file; `time` milliseconds since 1970
Event = namedtuple("Event", "time place behind message")


class Stream:
    """What one host of a job wrote: the bytes from `begin` to `end` of a file; `marks` are [place, time], rising."""

    __slots__ = ("begin", "created", "end", "group", "marks", "name", "path")

    def __init__(self, group: str, name: str, path: str, begin: int, end: int, created: float) -> None:
        self.group = group
        self.name = name
        self.path = path
        self.begin = begin
        self.end = end
        self.created = int(created * 1000)
        self.marks: list[list[int]] = []

    @property
    def arn(self) -> str:
        return f"{group_arn(self.group)}:log-stream:{self.name}"

    @property
    def last_ms(self) -> int:
        return self.marks[-1][1]

    def place_of(self, time: int) -> int:
        """Where the first event of this time or later begins."""
        return next((place for place, at in self.marks if at >= time), self.end)

    def from_head(self, place: int, until: int) -> Iterator[Event]:
        """Events between two places, the earliest first. No file stays open meanwhile: there may be many streams."""
        from bisect import bisect

        while lines := self._lines(place, until):
            for line in lines:
                time = self.marks[max(0, bisect(self.marks, [place, _LATEST]) - 1)][1]
                yield Event(time, place, place + len(line), _message(line))
                place += len(line)

    def from_tail(self, place: int, behind: int) -> list[Event]:
        """The last events between two places, the earliest first: as many as are whole in the last megabyte."""
        first = max(place, behind - LARGEST_PAGE)
        if first > place:
            with open(self.path, "rb") as file:
                file.seek(first - 1)  # a line that begins right here is whole
                skipped = file.readline(LONGEST_EVENT)
            first += len(skipped) - 1
        return list(self.from_head(first, behind))

    def _lines(self, place: int, until: int) -> list[bytes]:
        """About a block of them."""
        lines, behind = [], place
        with open(self.path, "rb") as file:
            file.seek(place)
            while behind < min(until, place + _BLOCK):
                line = file.readline(min(LONGEST_EVENT, until - behind))
                if not line:
                    break
                lines.append(line)
                behind += len(line)
        return lines


def groups(store: Store) -> list[str]:
    """Those that something was written to, in their order."""
    return [group for group in sorted(GROUPS) if exists(store, group)]


def exists(store: Store, group: str) -> bool:
    """A group is made with the first event in it."""
    return group in GROUPS and any(True for _ in streams(store, group))


def group_arn(group: str) -> str:
    return f"arn:aws:logs:{names.REGION}:{names.ACCOUNT}:log-group:{group}"


def streams(store: Store, group: str, prefix: str = "") -> Iterator[Stream]:
    """Of the jobs of this group, whose names begin with this: only what holds an event."""
    for record in store.list(GROUPS[group], prefix.partition("/")[0]):
        yield from (stream for stream in _of_job(store, group, record) if stream.name.startswith(prefix))


def stream_named(store: Store, group: str, name: str) -> list[Stream]:
    """It, or an empty list."""
    found = store.find(GROUPS[group], name.partition("/")[0]) if group in GROUPS else []
    return [stream for record in found for stream in _of_job(store, group, record) if stream.name == name]


def _of_job(store: Store, group: str, record: Record) -> Iterator[Stream]:
    ends = record.body.get(logs.ENDS)
    for index, (path, begin) in enumerate(record.body.get(logs.BEGINS) or ()):
        name = f"{record.name}/algo-{index + 1}-{int(record.created)}"
        if os.path.isfile(path):
            end = ends[index] if ends else _whole(path, begin, record.status in RUNNING)
            stream = Stream(group, name, path, begin, min(end, os.path.getsize(path)), record.created)
            if stream.end > begin:
                _give_times(store, stream)
                yield stream


def _whole(path: str, begin: int, running: bool) -> int:
    """The end of the last whole line: what a program is about to say is no event yet."""
    size = os.path.getsize(path)
    if not running:
        return size
    first = max(begin, size - LONGEST_EVENT)
    with open(path, "rb") as file:
        file.seek(first)
        read = file.read(size - first)
    behind = read.rfind(b"\n") + 1
    return first + behind if behind or first == begin else size


def _give_times(store: Store, stream: Stream) -> None:
    """What has been written since the last look gets the time at which the file was written last."""
    if _known(store, stream) >= stream.end:
        return
    with store.transaction():
        seen = _known(store, stream)
        now = int(os.stat(stream.path).st_mtime * 1000)
        if not stream.marks or now - stream.last_ms >= max(_FINEST_MS, (now - stream.marks[0][1]) // _MARKS):
            stream.marks.append([seen, now])
        store.put(_TIMES, stream.name, {"seen": max(seen, stream.end), "marks": stream.marks})


def _known(store: Store, stream: Stream) -> int:
    """How far somebody has looked already."""
    known = store.find(_TIMES, stream.name)
    stream.marks = known[0].body["marks"] if known else []
    return int(known[0].body["seen"]) if known else stream.begin


def _message(line: bytes) -> str:
    """Without its line end, unless there is nothing else: CloudWatch has no empty event."""
    return line.decode("utf-8", "replace").rstrip("\r\n") or "\n"
