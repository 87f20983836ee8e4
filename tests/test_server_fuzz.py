"""The local server under bodies, headers and connections that no client of AWS sends."""

from __future__ import annotations

import gc
import http.client
import json
import random
import resource
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from over_http import raw

from pipeline.errors import ServiceError
from pipeline.local import cbor, patience, protocol
from pipeline.local.server import LoopbackServer, serve

BODIES = 5000
ODD_TEXTS = [
    "",
    "\0",
    "\ud800",
    "é" * 300,
    "a" * 3000,
    "../..",
    "s3://b/" + "k" * 500,
    "arn:aws:sagemaker:us-east-1:1:x/y",
    "²",
    "-" * 70,
]
ODD_VALUES = [
    None,
    True,
    0,
    -1,
    2**70,
    10**400,
    1.5,
    -0.0,
    float("nan"),
    float("inf"),
    [],
    {},
    [[]],
    {"": {}},
    [None],
    *ODD_TEXTS,
]
TARGETS = {
    **{f"SageMaker.{operation}": "sagemaker" for operation in protocol.OPERATIONS},
    **{f"AnyScaleFrontendService.{operation}": "application-autoscaling" for operation in protocol.SCALING},
    **{f"Logs_20140328.{operation}": "logs" for operation in protocol.LOGS},
    **{f"GraniteServiceVersion20100801.{operation}": "cloudwatch" for operation in protocol.ALARMS},
}
# what starts processes or waits for them is fuzzed as far as its checks reach: these bodies never name what is there
S3_QUERIES = [
    "",
    "?uploads",
    "?delete",
    "?list-type=2&max-keys=²",
    "?uploadId=../x&partNumber=1",
    "?partNumber=٣&uploadId=0",
    "?x=%00",
]
S3_METHODS = ["GET", "PUT", "POST", "DELETE", "HEAD", "OPTIONS", "PATCH"]


@pytest.fixture(scope="module")
def quiet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LoopbackServer]:
    running = serve(str(tmp_path_factory.mktemp("home")))
    yield running
    running.shutdown()
    running.server_close()


@pytest.fixture
def calls(quiet: LoopbackServer) -> Iterator[http.client.HTTPConnection]:
    with closing(http.client.HTTPConnection("127.0.0.1", quiet.server_address[1], timeout=30)) as connection:
        yield connection


def value(chance: random.Random, shape: Any, depth: int = 0) -> Any:
    """Nearly a value of that shape: often right, so that the checks behind the first one are met, too."""
    if chance.random() < 0.15 or depth > 6:
        return chance.choice(ODD_VALUES)
    match shape.type:
        case "structure":
            names = [name for name in shape.members if name in shape.required or chance.random() < 0.3]
            made = {name: value(chance, shape.members[name], depth + 1) for name in names}
            return made | ({"Surplus": 1} if chance.random() < 0.05 else {})
        case "list":
            return [value(chance, shape.item, depth + 1) for _ in range(chance.randrange(3))]
        case "map":
            return {chance.choice(["k", *ODD_TEXTS]): value(chance, shape.item, depth + 1)}
        case "string":
            return chance.choice([*sorted(shape.enum)[:3], "name", "a-b", "x" * int(shape.minimum or 1), *ODD_TEXTS])
        case "boolean":
            return chance.choice([True, False])
    return chance.choice([0, 1, 2, 100, -1, 1.0, 1e300])


def body(chance: random.Random, target: str) -> bytes:
    from pipeline import api_model

    kind = chance.random()
    if kind < 0.1:
        return chance.randbytes(chance.randrange(200))
    if kind < 0.13:
        return chance.choice(
            [b"[" * 5000, b'{"a":' * 5000, b"nul", b"\xff{}", b'"', b"1" * 5000, b"{}{}", b"\xef\xbb\xbf{}"]
        )
    operation = target.partition(".")[2]
    made = value(chance, api_model.request(TARGETS[target], operation))
    text = json.dumps(made).encode()
    return text if kind < 0.9 else text[: chance.randrange(len(text) + 1)]


def exchange(
    connection: http.client.HTTPConnection, method: str, path: str, data: bytes, headers: dict[str, str]
) -> tuple[int, bytes]:
    connection.request(method, path, data, headers)
    answer = connection.getresponse()
    return answer.status, answer.read()


def test_thousands_of_odd_bodies_break_nothing(calls: http.client.HTTPConnection, capfd: Any) -> None:
    chance = random.Random(6)
    exchange(calls, "POST", "/", b"{}", {"X-Amz-Target": "SageMaker.ListModels"})
    threads, broken, seen = threading.active_count(), [], set()
    for number in range(BODIES):
        if number == BODIES // 5:
            gc.collect()
            memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        target = chance.choice(sorted(TARGETS))
        data = body(chance, target)
        status, answer = exchange(calls, "POST", "/", data, {"X-Amz-Target": target})
        seen.add(status)
        if status >= 500 or b"Traceback" in answer or not isinstance(json.loads(answer), dict):
            broken.append((target, data[:200], status, answer[:200]))
    assert broken == []
    assert seen >= {200, 400}
    assert threading.active_count() <= threads
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory < 64 << 10  # KiB
    assert "Traceback" not in capfd.readouterr().err


def raw_exchange(running: LoopbackServer, data: bytes, seconds: float = 20) -> bytes:
    """Everything that comes back until the server hangs up."""
    with socket.create_connection(running.server_address[:2], timeout=seconds) as connection:
        connection.sendall(data)
        received = b""
        while block := connection.recv(65536):
            received += block
    return received


def test_odd_cbor_is_refused_as_cbor(calls: http.client.HTTPConnection) -> None:
    chance = random.Random(7)
    good = cbor.dump({"AlarmNames": ["a"], "MaxRecords": 5, "StateValue": "OK"})
    for _ in range(500):
        data = bytearray(good)
        for _ in range(chance.randrange(1, 4)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        path = f"/service/GraniteServiceVersion20100801/operation/{chance.choice(sorted(protocol.ALARMS))}"
        status, answer = exchange(calls, "POST", path, bytes(data), {"smithy-protocol": "rpc-v2-cbor"})
        assert status in (200, 400, 404), (bytes(data), answer)
        assert isinstance(cbor.load(answer), dict)


@pytest.mark.parametrize(
    "data",
    [b"\x9b" + b"\xff" * 8, b"\x5f", b"\x81" * 5000, b"\xbf\x01\xff", b"\xff", b"\x00\x00", b"\x1c", b"\x7f\x01\xff"],
)
def test_cbor_that_lies_about_its_size_or_depth_is_refused(data: bytes) -> None:
    with pytest.raises(ServiceError):
        cbor.load(data)


@pytest.mark.parametrize(
    "given", [0, 23, 24, 255, 256, 2**32, -1, -500, 1.5, "é", b"x", [1, [2]], {"a": {"b": None}}, True]
)
def test_what_is_written_as_cbor_is_read_again(given: Any) -> None:
    assert cbor.load(cbor.dump(given)) == given


def test_odd_forms_are_refused_as_xml(calls: http.client.HTTPConnection) -> None:
    chance = random.Random(8)
    pieces = [
        "Action=DescribeAlarms",
        "Action=PutMetricAlarm",
        "AlarmName=a",
        "AlarmNames.member.1=a",
        "AlarmNames=x",
        "AlarmNames.member.²=b",
        "MaxRecords=²",
        "Threshold=x",
        "AlarmNames.member.1.x=1",
        "%ff=%00",
        "Dimensions.member.1.Name=n",
        "." * 300 + "=1",
    ]
    headers = {
        "Content-Type": "application/x-www-form-urlencoded",
        "Authorization": "AWS4-HMAC-SHA256 Credential=k/20261120/us-east-1/monitoring/aws4_request, Signature=x",
    }
    for _ in range(500):
        data = "&".join(chance.sample(pieces, chance.randrange(1, 5))).encode() + chance.choice([b"", b"\xff\xfe"])
        status, answer = exchange(calls, "POST", "/", data, headers)
        assert status in (200, 400), (data, answer)
        assert answer.startswith((b"<ErrorResponse>", b"<DescribeAlarmsResponse", b"<PutMetricAlarmResponse"))


def test_odd_s3_calls_are_refused_and_break_nothing(calls: http.client.HTTPConnection, capfd: Any) -> None:
    chance = random.Random(9)
    keys = ["", "k", "k" * 1024, "a/" * 500, "..%2f..%2fx", "%00", "a%0ab", "%ff%fe", "²", "k/k", "%c3%a9"]
    bodies = [
        b"",
        b"x",
        b"<a>",
        b"<Delete><Object><Key>k</Key></Object></Delete>",
        b'<?xml version="1.0" encoding="utf-16"?><a/>',
        b'<?xml version="1.0" encoding="nope"?><a/>',
        b"<a>" * 3000,
        "<Delete/>".encode("utf-16"),
    ]
    extra = [
        {},
        {"Range": "bytes=²-"},
        {"Range": "bytes=" + "9" * 5000 + "-"},
        {"x-amz-copy-source": "/"},
        {"x-amz-copy-source": "b/k%00"},
        {"Content-Encoding": "aws-chunked", "X-Amz-Decoded-Content-Length": "²"},
        {"If-Match": '"'},
        {"x-amz-content-sha256": "STREAMING-X"},
    ]
    for _ in range(1500):
        bucket = chance.choice(["bucket", "B", "..", "bu%00ket", "bucket2"])
        path = f"/{bucket}/{chance.choice(keys)}{chance.choice(S3_QUERIES)}"
        headers = {key: text.encode("utf-8").decode("latin-1") for key, text in chance.choice(extra).items()}
        method, data = chance.choice(S3_METHODS), chance.choice(bodies)
        status, answer = exchange(
            calls,
            method,
            path.encode("utf-8").decode("latin-1") if path.isascii() else quote(path, "/?&=%"),
            data,
            headers,
        )
        assert status < 500 or status == 501, (method, path, headers, data, answer)
    assert "Traceback" not in capfd.readouterr().err


@pytest.mark.parametrize(
    "head",
    [
        b"Content-Length: 5\r\nTransfer-Encoding: chunked",
        b"Content-Length: -1",
        b"Content-Length: \xb2",
        b"Content-Length: " + b"9" * 5000,
        b"Content-Length: 1\r\nContent-Length: 2",
        b"Transfer-Encoding: gzip, chunked",
    ],
)
def test_a_body_without_a_clear_end_is_refused_and_the_connection_closed(quiet: LoopbackServer, head: bytes) -> None:
    host = quiet.url.removeprefix("http://").encode()
    answer = raw_exchange(quiet, b"POST / HTTP/1.1\r\nHost: " + host + b"\r\n" + head + b"\r\n\r\n0\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize("target", [b"//[", b"http://[::", b"*", b"/%", b"?", b"/\xff\xfe"])
def test_an_address_that_is_none_is_answered(quiet: LoopbackServer, target: bytes) -> None:
    host = quiet.url.removeprefix("http://").encode()
    answer = raw_exchange(quiet, b"GET " + target + b" HTTP/1.1\r\nHost: " + host + b"\r\nConnection: close\r\n\r\n")
    assert 200 <= int(answer.split()[1]) < 500 or answer.split()[1] == b"501"


def test_a_chunked_body_is_bounded(calls: http.client.HTTPConnection) -> None:
    chunks = (b" " * (1 << 20) for _ in range(9))
    calls.request("POST", "/", chunks, {"X-Amz-Target": "SageMaker.ListModels"}, encode_chunked=True)
    assert calls.getresponse().status == 413


@pytest.mark.parametrize(("count", "size"), [(200, 10), (90, 5000)])
def test_a_flood_of_headers_is_refused(quiet: LoopbackServer, count: int, size: int) -> None:
    lines = b"".join(b"X-%d: %s\r\n" % (number, b"a" * size) for number in range(count))
    assert raw_exchange(quiet, b"GET / HTTP/1.1\r\n" + lines + b"\r\n").startswith(b"HTTP/1.1 431 ")


def test_trailers_without_end_are_refused(quiet: LoopbackServer) -> None:
    host = quiet.url.removeprefix("http://").encode()
    head = (
        b"POST / HTTP/1.1\r\nHost: "
        + host
        + b"\r\nX-Amz-Target: SageMaker.ListModels\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    answer = raw_exchange(quiet, head + b"0\r\n" + b"X: y\r\n" * 30)
    assert b" 400 " in answer.partition(b"\r\n")[0]


# Callers that take their time


@pytest.fixture
def impatient(tmp_path: Path) -> Iterator[LoopbackServer]:
    running = LoopbackServer(str(tmp_path), limits=patience.Limits(idle=0.4, head=0.4, body=0.4))
    threading.Thread(target=running.serve_forever, daemon=True).start()
    yield running
    running.shutdown()
    running.server_close()


def dribbled(running: LoopbackServer, first: bytes) -> None:
    """Sends a byte at a time until the server hangs up."""
    with socket.create_connection(running.server_address[:2], timeout=20) as connection:
        connection.sendall(first)
        with pytest.raises(ConnectionError):
            for _ in range(2000):
                connection.sendall(b"a")
                time.sleep(0.01)


def test_a_caller_that_says_nothing_is_hung_up_on(impatient: LoopbackServer) -> None:
    assert raw_exchange(impatient, b"") == b""


def test_a_caller_that_dribbles_headers_is_hung_up_on(impatient: LoopbackServer) -> None:
    dribbled(impatient, b"GET / HTTP/1.1\r\nX: ")


def test_a_caller_that_dribbles_a_body_is_hung_up_on(impatient: LoopbackServer) -> None:
    host = impatient.url.removeprefix("http://").encode()
    dribbled(
        impatient,
        b"POST / HTTP/1.1\r\nHost: " + host + b"\r\nX-Amz-Target: SageMaker.ListModels\r\nContent-Length: 9999\r\n\r\n",
    )


def test_too_many_connections_are_turned_away_and_those_that_end_make_room(tmp_path: Path) -> None:
    running = LoopbackServer(str(tmp_path), most=3)
    threading.Thread(target=running.serve_forever, daemon=True).start()
    before = threading.active_count()
    with ExitStack() as held:
        for _ in range(3):
            held.enter_context(socket.create_connection(running.server_address[:2], timeout=20))
        wait_until(lambda: threading.active_count() >= before + 3)
        assert raw_exchange(running, b"").startswith(b"HTTP/1.1 503 ")
    wait_until(lambda: threading.active_count() <= before)
    assert raw(running, "GET", "/")[0] == 200
    running.shutdown()
    running.server_close()


def wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)
