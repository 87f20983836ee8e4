"""CloudWatch Logs as the local service answers it: streams, events in both ways, filters, times; over boto3."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from over_http import client, refusal

from pipeline.local import log_streams, logs
from pipeline.local.log_streams import LARGEST_PAGE, LONGEST_EVENT
from pipeline.local.server import LoopbackServer
from pipeline.local.store import Store

PROCESSING, TRAINING, TRANSFORM = "/aws/sagemaker/ProcessingJobs", "/aws/sagemaker/TrainingJobs", "/none"
FOLDER_OF_FILES = "/proc/self/fd" if os.path.isdir("/proc/self/fd") else "/dev/fd"
INVALID, ABSENT = "InvalidParameterException", "ResourceNotFoundException"


@pytest.fixture(scope="module")
def cloudwatch(server: LoopbackServer) -> Any:
    return client(server, "logs")


@pytest.fixture
def store(server: LoopbackServer) -> Iterator[Store]:
    """With no job in it."""
    opened = Store(server.home)
    opened.execute("DELETE FROM records")
    yield opened
    opened.close()


def wrote(store: Store, job: str, text: str | bytes, kind: str = "training-job", running: bool = True) -> Path:
    """A job of one host, and what it has written until now."""
    path = Path(store.home, f"{job}.log")
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    store.put(kind, job, {logs.BEGINS: [[str(path), 0]]}, "InProgress" if running else "Completed")
    return path


def stream_of(cloudwatch: Any, job: str, group: str = TRAINING) -> dict[str, Any]:
    [stream] = cloudwatch.describe_log_streams(logGroupName=group, logStreamNamePrefix=f"{job}/")["logStreams"]
    return dict(stream)


def named(cloudwatch: Any, job: str) -> dict[str, str]:
    return {"logGroupName": TRAINING, "logStreamName": stream_of(cloudwatch, job)["logStreamName"]}


def messages(answer: dict[str, Any]) -> list[str]:
    return [event["message"] for event in answer["events"]]


def forward(cloudwatch: Any, **request: Any) -> list[list[str]]:
    """Every page until the token comes back."""
    pages, token = [], ""
    while True:
        more = {"nextToken": token} if token else {}
        answer = cloudwatch.get_log_events(**request, startFromHead=True, **more)
        pages.append(messages(answer))
        if answer["nextForwardToken"] == token:
            return pages
        token = answer["nextForwardToken"]


def test_groups_come_into_being_with_the_first_event(cloudwatch: Any, store: Store) -> None:
    wrote(store, "silent", "")
    wrote(store, "said", "x\n", "processing-job")
    groups = cloudwatch.describe_log_groups(logGroupNamePrefix="/aws/sagemaker/")["logGroups"]
    assert [(group["logGroupName"], group["storedBytes"]) for group in groups] == [(PROCESSING, 2)]
    for group in (TRAINING, TRANSFORM):
        with refusal(ABSENT):
            cloudwatch.describe_log_streams(logGroupName=group)


def test_streams_are_named_as_sagemakers_and_come_in_pages(cloudwatch: Any, store: Store) -> None:
    for number in range(5):
        wrote(store, f"job-{number}", "x\n")
    pages = cloudwatch.get_paginator("describe_log_streams").paginate(
        logGroupName=TRAINING, logStreamNamePrefix="job-", PaginationConfig={"PageSize": 2}
    )
    names = [[stream["logStreamName"] for stream in page["logStreams"]] for page in pages]
    created = int(store.get("training-job", "job-0").created)
    assert [len(page) for page in names] == [2, 2, 1]
    assert names[0][0] == f"job-0/algo-1-{created}"
    assert [name.partition("/")[0] for page in names for name in page] == [f"job-{number}" for number in range(5)]


def test_streams_come_in_the_order_of_their_last_events(cloudwatch: Any, store: Store) -> None:
    for job, at in (("a", 300), ("b", 100), ("c", 200)):
        os.utime(wrote(store, job, "x\n"), (at, at))
    request = {"logGroupName": TRAINING, "orderBy": "LastEventTime", "descending": True}
    first = cloudwatch.describe_log_streams(**request, limit=2)
    rest = cloudwatch.describe_log_streams(**request, nextToken=first["nextToken"])
    shown = [stream["logStreamName"][0] for page in (first, rest) for stream in page["logStreams"]]
    assert shown == ["a", "c", "b"]
    with refusal(INVALID):
        cloudwatch.describe_log_streams(**request, logStreamNamePrefix="a")
    with refusal(INVALID):
        cloudwatch.describe_log_streams(logGroupName=TRAINING, nextToken=first["nextToken"])


def test_each_host_has_a_stream_and_each_attempt_its_part(cloudwatch: Any, store: Store) -> None:
    """A step that is tried again writes on in the files of the attempt before."""
    log, request = f"{store.home}/Step.log", {"ResourceConfig": {"InstanceCount": 2}}
    first, second = (Path(logs.of_host(log, index, 2)) for index in range(2))
    store.put("training-job", "one", body := logs.begun(log, request), "InProgress")
    first.write_text("one\n")
    second.write_text("other\nlast words")
    store.put("training-job", "one", body | logs.ended(body), "Failed")
    store.put("training-job", "two", logs.begun(log, request), "InProgress")
    first.write_text("one\ntwo\n")
    found = cloudwatch.describe_log_streams(logGroupName=TRAINING)["logStreams"]
    told = {
        stream["logStreamName"].rpartition("-")[0]: messages(
            cloudwatch.get_log_events(logGroupName=TRAINING, logStreamName=stream["logStreamName"])
        )
        for stream in found
    }
    assert told == {"one/algo-1": ["one"], "one/algo-2": ["other", "last words"], "two/algo-1": ["two"]}


def test_a_line_is_an_event_once_it_is_whole_or_its_job_has_ended(cloudwatch: Any, store: Store) -> None:
    wrote(store, "job", "whole\nhal")
    request = named(cloudwatch, "job")
    assert messages(cloudwatch.get_log_events(**request)) == ["whole"]
    wrote(store, "job", "whole\nhalf", running=False)
    assert messages(cloudwatch.get_log_events(**request)) == ["whole", "half"]


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 8, 10_000])
def test_events_are_read_forward_to_the_end_and_on(cloudwatch: Any, store: Store, limit: int) -> None:
    lines = [f"line {number}" for number in range(7)]
    path = wrote(store, "job", "".join(f"{line}\n" for line in lines))
    request = named(cloudwatch, "job")
    pages = forward(cloudwatch, **request, limit=limit)
    assert [line for page in pages for line in page] == lines
    assert {len(page) for page in pages[:-2]} <= {limit}
    end = cloudwatch.get_log_events(**request, limit=1)["nextForwardToken"]
    assert cloudwatch.get_log_events(**request, nextToken=end, startFromHead=True)["nextForwardToken"] == end
    path.write_text(path.read_text() + "new\n")
    assert messages(cloudwatch.get_log_events(**request, nextToken=end, startFromHead=True)) == ["new"]


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 8])
def test_events_are_read_backward_to_the_beginning(cloudwatch: Any, store: Store, limit: int) -> None:
    wrote(store, "job", "".join(f"{number}\n" for number in range(7)))
    request = {**named(cloudwatch, "job"), "limit": limit}
    answer = cloudwatch.get_log_events(**request)
    read = messages(answer)
    while (again := cloudwatch.get_log_events(**request, nextToken=answer["nextBackwardToken"]))["events"]:
        read, answer = [*messages(again), *read], again
    assert read == [str(number) for number in range(7)]
    assert again["nextBackwardToken"] == answer["nextBackwardToken"]


def test_a_page_holds_a_megabyte_and_an_event_a_quarter_of_one(cloudwatch: Any, store: Store) -> None:
    text = "a" * 300_000 + "\n" + "".join(f"{number} {'b' * 900}\n" for number in range(3000))
    wrote(store, "job", text)
    request = named(cloudwatch, "job")
    pages = forward(cloudwatch, **request)
    assert max(sum(len(line) for line in page) for page in pages) <= LARGEST_PAGE
    assert max(len(line) for page in pages for line in page) <= LONGEST_EVENT
    assert "".join(line for page in pages for line in page) == text.replace("\n", "")
    newest = messages(cloudwatch.get_log_events(**request))
    assert (newest[-1][:4], len(newest) > 1000, newest[0].endswith("b" * 900)) == ("2999", True, True)


def test_lines_keep_the_time_at_which_they_were_seen_first(cloudwatch: Any, store: Store) -> None:
    path = wrote(store, "job", "early\n")
    os.utime(path, (100, 100))
    request = named(cloudwatch, "job")
    for at, line in ((150, "later\n"), (200, "last\n")):
        path.write_text(path.read_text() + line)
        os.utime(path, (at, at))
        events = cloudwatch.get_log_events(**request)["events"]
    assert [(event["timestamp"], event["message"]) for event in events] == [
        (100_000, "early"),
        (150_000, "later"),
        (200_000, "last"),
    ]
    within = cloudwatch.get_log_events(**request, startTime=150_000, endTime=200_000)
    assert messages(within) == ["later"]  # the start counts, the end does not
    assert messages(cloudwatch.get_log_events(**request, startTime=100_001, startFromHead=True)) == ["later", "last"]
    filtered = cloudwatch.filter_log_events(logGroupName=TRAINING, startTime=150_000, endTime=200_000)
    assert messages(filtered) == ["later", "last"]  # here the end counts, too
    assert stream_of(cloudwatch, "job")["firstEventTimestamp"] == 100_000


def test_times_of_a_long_stream_take_little_room(store: Store) -> None:
    path = wrote(store, "job", "")
    with store.transaction():
        for minute in range(1000):
            with path.open("a") as file:
                file.write("x\n")
            os.utime(path, (minute * 60, minute * 60))
            [stream] = log_streams.streams(store, TRAINING)
    times = [at for _, at in stream.marks]
    assert len(times) < 700
    assert times == sorted(times)


def test_what_is_no_text_and_what_is_nothing_are_events(cloudwatch: Any, store: Store) -> None:
    wrote(store, "job", b"caf\xff\n\n\x1b[31mred\r\n")
    assert messages(cloudwatch.get_log_events(**named(cloudwatch, "job"))) == ["caf�", "\n", "\x1b[31mred"]


def test_events_of_several_streams_come_in_the_order_of_their_times(cloudwatch: Any, store: Store) -> None:
    for job, at in (("b", 100), ("a", 200), ("c", 100)):
        os.utime(wrote(store, job, f"{job}1\n{job}2\n"), (at, at))
    for size in (1, 2, 4, 100):
        pages = cloudwatch.get_paginator("filter_log_events").paginate(
            logGroupIdentifier=f"arn:aws:logs:us-east-1:111122223333:log-group:{TRAINING}",
            interleaved=True,
            PaginationConfig={"PageSize": size},
        )
        events = [event for page in pages for event in page["events"]]
        assert [event["message"] for event in events] == ["b1", "b2", "c1", "c2", "a1", "a2"]
        assert len({event["eventId"] for event in events}) == 6
    with_prefix = cloudwatch.filter_log_events(logGroupName=TRAINING, logStreamNamePrefix="a")
    by_name = cloudwatch.filter_log_events(
        logGroupName=TRAINING, logStreamNames=[stream_of(cloudwatch, "a")["logStreamName"]]
    )
    assert messages(with_prefix) == messages(by_name) == ["a1", "a2"]


def test_who_follows_as_the_aws_cli_does_shows_each_line_once(cloudwatch: Any, store: Store) -> None:
    """`aws logs tail --follow` of version 2: from the last event's time on, without the events that it has shown."""
    path = wrote(store, "job", "")
    shown: dict[str, str] = {}
    since = 0
    for number in range(6):
        path.write_text(path.read_text() + f"{number}\n")
        answer = cloudwatch.filter_log_events(logGroupName=TRAINING, startTime=since, interleaved=True)
        fresh = [event for event in answer["events"] if event["eventId"] not in shown]
        assert [event["message"] for event in fresh] == [str(number)]
        shown |= {event["eventId"]: event["message"] for event in fresh}
        since = max(event["timestamp"] for event in answer["events"])


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("", ["an error", "an Error in GET", "fine"]),
        ("error", ["an error"]),
        ("an Error", ["an Error in GET"]),
        ('"an err"', ["an error"]),
        ("?fine ?error", ["an error", "fine"]),
        ("an -GET", ["an error"]),
        ('"in GET" an', ["an Error in GET"]),
    ],
)
def test_patterns_are_words_phrases_either_and_without(
    cloudwatch: Any, store: Store, pattern: str, found: list[str]
) -> None:
    wrote(store, "job", "an error\nan Error in GET\nfine\n")
    assert messages(cloudwatch.filter_log_events(logGroupName=TRAINING, filterPattern=pattern)) == found


@pytest.mark.parametrize("pattern", ["{ $.a = 1 }", "[a, b]", "%e.*r%", '"open', "a ("])
def test_patterns_that_are_not_known_are_refused(cloudwatch: Any, store: Store, pattern: str) -> None:
    wrote(store, "job", "x\n")
    with refusal(INVALID):
        cloudwatch.filter_log_events(logGroupName=TRAINING, filterPattern=pattern)


@pytest.mark.parametrize(
    "request_",
    [
        {"logGroupName": TRAINING, "nextToken": "x"},
        {"logGroupName": TRAINING, "nextToken": f"f/{'9' * 56}/s"},
        {"logGroupName": TRAINING, "nextToken": "f/-1/s"},
        {"logGroupName": TRAINING, "logGroupIdentifier": TRAINING},
        {},
        {"logGroupName": TRAINING, "limit": 0},
        {"logGroupName": "a b"},
        {"logGroupName": TRAINING, "startTime": -1},
    ],
)
def test_requests_that_cloudwatch_refuses_are_refused_in_its_code(
    server: LoopbackServer, cloudwatch: Any, store: Store, request_: dict[str, Any]
) -> None:
    wrote(store, "job", "x\n")
    name = stream_of(cloudwatch, "job")["logStreamName"]
    with refusal(INVALID):
        client(server, "logs", parameter_validation=False).get_log_events(logStreamName=name, **request_)


def test_a_stream_that_does_not_exist_is_told_as_cloudwatch_tells_it(cloudwatch: Any, store: Store) -> None:
    wrote(store, "job", "x\n")
    for name in ("job/algo-1-1", "../../etc/passwd", "other"):
        with pytest.raises(cloudwatch.exceptions.ResourceNotFoundException):
            cloudwatch.get_log_events(logGroupName=TRAINING, logStreamName=name)
    with pytest.raises(ClientError, match="does not know"):
        cloudwatch.delete_log_group(logGroupName=TRAINING)


def test_a_file_that_was_deleted_has_no_stream(cloudwatch: Any, store: Store) -> None:
    path = wrote(store, "job", "x\n")
    request = named(cloudwatch, "job")
    path.unlink()
    with refusal(ABSENT):
        cloudwatch.get_log_events(**request)


def test_hundreds_of_jobs_are_no_hundreds_of_open_files(cloudwatch: Any, store: Store) -> None:
    with store.transaction():
        for number in range(400):
            wrote(store, f"job-{number:03d}", f"{number}\n")
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(map(int, os.listdir(FOLDER_OF_FILES))) + 50, before[1]))
    try:
        answer = cloudwatch.filter_log_events(logGroupName=TRAINING, limit=3)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    assert len(answer["events"]) == 3
