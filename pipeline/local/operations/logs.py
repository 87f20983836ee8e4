"""CloudWatch Logs over the log files of jobs: which streams there are, and their events."""

from __future__ import annotations

import heapq
import re

from pipeline.errors import ServiceError
from pipeline.local import log_streams
from pipeline.local.log_streams import LARGEST_PAGE, Event, Stream
from pipeline.local.operations.answers import Operations
from pipeline.local.operations.log_patterns import matcher
from pipeline.local.operations.paging import from_token, to_token

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import Any

MOST_DESCRIBED, MOST_EVENTS = 50, 10_000
_OVERHEAD = 26  # bytes that CloudWatch counts for an event besides its message
_GROUP_ARN = re.compile(r"arn:aws[^:]*:logs:[^:]*:[0-9]{12}:log-group:([^:]+)")
_TOKEN = re.compile(r"([fb])/([0-9]{1,56})/s")
_LATEST = 1 << 62


class Logs(Operations):
    """boto3's `logs` client, as far as it reads."""

    def describe_log_groups(
        self,
        *,
        logGroupNamePrefix: str = "",
        logGroupNamePattern: str = "",
        nextToken: str = "",
        limit: int = MOST_DESCRIBED,
        logGroupClass: str = "STANDARD",
    ) -> dict[str, Any]:
        operation = "DescribeLogGroups"
        if logGroupNamePrefix and logGroupNamePattern:
            raise _invalid(
                "LogGroup name prefix and LogGroup name pattern are mutually exclusive parameters.", operation
            )
        found = log_streams.groups(self.store) if logGroupClass == "STANDARD" else []
        wanted = [name for name in found if name.startswith(logGroupNamePrefix) and logGroupNamePattern in name]
        scope = {"operation": operation, "prefix": logGroupNamePrefix, "pattern": logGroupNamePattern}
        shown, more = _page(scope, [([name], name) for name in wanted], nextToken, limit)
        return {"logGroups": [self._group(name) for name in shown], **more}

    def describe_log_streams(
        self,
        *,
        logGroupName: str = "",
        logGroupIdentifier: str = "",
        logStreamNamePrefix: str = "",
        orderBy: str = "LogStreamName",
        descending: bool = False,
        nextToken: str = "",
        limit: int = MOST_DESCRIBED,
    ) -> dict[str, Any]:
        operation = "DescribeLogStreams"
        group = self._named(logGroupName, logGroupIdentifier, operation)
        by_time = orderBy == "LastEventTime"
        if by_time and logStreamNamePrefix:
            raise _invalid("Cannot order by LastEventTime with a logStreamNamePrefix.", operation)
        found = self._streams(group, logStreamNamePrefix, operation)
        places = [([stream.last_ms, stream.name] if by_time else [stream.name], stream) for stream in found]
        scope = {"operation": operation, "group": group, "prefix": logStreamNamePrefix, "by": orderBy}
        shown, more = _page({**scope, "down": descending}, places, nextToken, limit, descending)
        return {"logStreams": [_described(stream) for stream in shown], **more}

    def get_log_events(
        self,
        *,
        logStreamName: str,
        logGroupName: str = "",
        logGroupIdentifier: str = "",
        startTime: int = 0,
        endTime: int = _LATEST,
        nextToken: str = "",
        limit: int = MOST_EVENTS,
        startFromHead: bool = False,
        unmask: bool = False,
    ) -> dict[str, Any]:
        """A token is a way and a place. As CloudWatch: at an end the same token comes back."""
        operation = "GetLogEvents"
        group = self._named(logGroupName, logGroupIdentifier, operation)
        stream = self._stream(group, logStreamName, operation)
        first = stream.place_of(startTime)
        last = max(first, stream.place_of(endTime))  # events of this time are left out
        forward, place = (startFromHead, first if startFromHead else last) if not nextToken else _read(nextToken)
        if not stream.begin <= place <= stream.end:
            raise _invalid("The specified nextToken is invalid.", operation)
        if forward:
            events = list(_bounded(stream.from_head(max(place, first), last), limit))
            place = max(place, first)
        else:
            events = list(_bounded(reversed(stream.from_tail(first, min(place, last))), limit))[::-1]
            place = min(place, last)
        ends = (events[0].place, events[-1].behind) if events else (place, place)
        return {
            "events": [_event(event) for event in events],
            "nextForwardToken": _token("f", ends[1]),
            "nextBackwardToken": _token("b", ends[0]),
        }

    def filter_log_events(
        self,
        *,
        logGroupName: str = "",
        logGroupIdentifier: str = "",
        logStreamNames: list[str] | None = None,
        logStreamNamePrefix: str = "",
        startTime: int = 0,
        endTime: int = _LATEST - 1,
        filterPattern: str = "",
        nextToken: str = "",
        limit: int = MOST_EVENTS,
        startFromHead: bool = True,
        interleaved: bool = True,
        unmask: bool = False,
    ) -> dict[str, Any]:
        """In the order of times, over all streams that are meant."""
        operation = "FilterLogEvents"
        group = self._named(logGroupName, logGroupIdentifier, operation)
        if logStreamNames and logStreamNamePrefix:
            raise _invalid("logStreamNames and logStreamNamePrefix are mutually exclusive parameters.", operation)
        if not startFromHead:
            raise _invalid("the local service gives the earliest events first: startFromHead is true", operation)
        wanted, matches = sorted(set(logStreamNames or ())), matcher(filterPattern)
        streams = [self._stream(group, name, operation) for name in wanted]
        if not wanted:
            streams = self._streams(group, logStreamNamePrefix, operation)
        scope: dict[str, Any] = {"operation": operation, "group": group, "streams": wanted}
        scope |= {"prefix": logStreamNamePrefix, "start": startTime, "end": endTime, "pattern": filterPattern}
        begin = tuple(_placed(scope, nextToken, operation)) if nextToken else (startTime, "", 0)
        events, following = _first_page(_merged(streams, begin, endTime), matches, limit)
        more = {"nextToken": to_token(scope, following)} if following else {}
        return {"events": events, "searchedLogStreams": [], **more}

    def _named(self, name: str, identifier: str, operation: str) -> str:
        """The group that is meant, whether or not there is one."""
        if bool(name) == bool(identifier):
            raise _invalid("Exactly one of logGroupName and logGroupIdentifier has to be given.", operation)
        arn = _GROUP_ARN.fullmatch(identifier)
        return name or (arn[1] if arn else identifier)

    def _streams(self, group: str, prefix: str, operation: str) -> list[Stream]:
        """Raises ServiceError ResourceNotFoundException where there is no such group."""
        found = list(log_streams.streams(self.store, group, prefix)) if group in log_streams.GROUPS else []
        if not found and not log_streams.exists(self.store, group):
            raise _absent("log group", operation)
        return found

    def _stream(self, group: str, name: str, operation: str) -> Stream:
        found = log_streams.stream_named(self.store, group, name)
        if not found:
            raise _absent("log stream" if log_streams.exists(self.store, group) else "log group", operation)
        return found[0]

    def _group(self, name: str) -> dict[str, Any]:
        found = list(log_streams.streams(self.store, name))
        arn = log_streams.group_arn(name)
        return {
            "logGroupName": name,
            "creationTime": min(stream.created for stream in found),
            "metricFilterCount": 0,
            "arn": f"{arn}:*",
            "storedBytes": sum(stream.end - stream.begin for stream in found),
            "logGroupClass": "STANDARD",
            "logGroupArn": arn,
        }


def _page(
    scope: Mapping[str, Any], places: list[tuple[Any, Any]], token: str, limit: int, descending: bool = False
) -> tuple[list[Any], dict[str, str]]:
    """One page of what stands at these places in the order; a token is the last one's place."""
    places.sort(key=lambda entry: entry[0], reverse=descending)
    if token:
        last = _placed(scope, token, str(scope["operation"]))
        places = [entry for entry in places if (entry[0] < last if descending else entry[0] > last)]
    more = {"nextToken": to_token(scope, places[limit - 1][0])} if len(places) > limit else {}
    return [each for _, each in places[:limit]], more


def _placed(scope: Mapping[str, Any], token: str, operation: str) -> Any:
    try:
        return from_token(scope, token)
    except ServiceError as exc:
        raise _invalid("The specified nextToken is invalid.", operation) from exc


def _described(stream: Stream) -> dict[str, Any]:
    return {
        "logStreamName": stream.name,
        "creationTime": stream.created,
        "firstEventTimestamp": stream.marks[0][1],
        "lastEventTimestamp": stream.last_ms,
        "lastIngestionTime": stream.last_ms,
        "arn": stream.arn,
        "storedBytes": 0,  # as CloudWatch has it since 2019
    }


def _read(token: str) -> tuple[bool, int]:
    found = _TOKEN.fullmatch(token)
    if found is None:
        raise _invalid("The specified nextToken is invalid.", "GetLogEvents")
    return found[1] == "f", int(found[2])


def _token(way: str, place: int) -> str:
    return f"{way}/{place:056d}/s"


def _bounded(events: Iterator[Event], limit: int) -> Iterator[Event]:
    """As many as one answer may hold."""
    size = 0
    for count, event in enumerate(events):
        size += event.behind - event.place + _OVERHEAD
        if count == limit or (size > LARGEST_PAGE and count):
            return
        yield event


def _merged(streams: list[Stream], begin: tuple[Any, ...], end_time: int) -> Iterator[tuple[Stream, Event]]:
    """Events from this place on, in the order of all streams' events."""
    rows = (_from(stream, begin, end_time) for stream in streams)
    return ((stream, event) for _, stream, event in heapq.merge(*rows, key=lambda row: row[0]))


def _first_page(
    rows: Iterator[tuple[Stream, Event]], matches: Callable[[str], bool], limit: int
) -> tuple[list[dict[str, Any]], list[Any]]:
    """What one answer holds, and the place that the next begins at. It may hold nothing: only so much is read."""
    events: list[dict[str, Any]] = []
    size = 0
    for stream, event in rows:
        full = size > LARGEST_PAGE or len(events) == limit
        size += event.behind - event.place + _OVERHEAD
        if full:
            return events, [event.time, stream.name, event.place]
        if matches(event.message):
            shown = {"logStreamName": stream.name, **_event(event), "eventId": _id(stream, event)}
            events.append(shown)
    return events, []


def _from(stream: Stream, begin: tuple[Any, ...], end_time: int) -> Iterator[tuple[Any, Stream, Event]]:
    time, name, place = begin
    first = stream.place_of(time)
    if stream.name == name:
        first = max(first, place)
    for event in stream.from_head(first, stream.place_of(end_time + 1)):
        key = (event.time, stream.name, event.place)
        if key >= begin:
            yield key, stream, event


def _event(event: Event) -> dict[str, Any]:
    return {"timestamp": event.time, "message": event.message, "ingestionTime": event.time}


def _id(stream: Stream, event: Event) -> str:
    """The same for the same line at each call: whoever follows a log tells by it what he has shown."""
    from pipeline.digest import sha256_hex

    return str(int(sha256_hex(f"{stream.name} {event.place}".encode())[:44], 16)).zfill(56)[:56]


def _invalid(message: str, operation: str) -> ServiceError:
    return ServiceError("InvalidParameterException", message, operation)


def _absent(what: str, operation: str) -> ServiceError:
    return ServiceError("ResourceNotFoundException", f"The specified {what} does not exist.", operation)
