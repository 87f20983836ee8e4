"""The server as SageMaker starts it: a child process, asked over HTTP."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
import payload
import pictures
import pytest
import serve
import test_inference
import torch

PROGRAM = Path(serve.__file__)
PICTURE = pictures.encoded(pictures.noisy((200, 40, 30), (20, 20), 1))


class Server(NamedTuple):
    process: subprocess.Popen[str]
    port: int
    log: Path

    def ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> tuple[int, str]:
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)) as connection:
            connection.request(method, path, body, {key.replace("_", "-"): value for key, value in headers.items()})
            response = connection.getresponse()
            return response.status, response.read().decode()

    def invoke(self, body: bytes, **headers: str) -> tuple[int, str]:
        return self.ask("POST", "/invocations", body, **headers)

    def ping(self) -> int:
        try:
            return self.ask("GET", "/ping")[0]
        except ConnectionError:
            return 0


@contextlib.contextmanager
def started(
    model_dir: Path, log: Path, bind: str = "127.0.0.1", command: Sequence[str] = (), **more: str
) -> Iterator[Server]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    variables = {"SM_MODEL_DIR": str(model_dir), "DARKROOM_BIND": bind, "SAGEMAKER_BIND_TO_PORT": str(port), **more}
    with log.open("w") as file:
        words = command or [sys.executable, str(PROGRAM), "serve"]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", **variables}
        process = subprocess.Popen(words, env=environment, stderr=file, stdout=file, text=True)
    try:
        yield Server(process, port, log)
    finally:
        process.kill()
        process.wait()


def wait_for(condition, seconds: float = 240) -> None:  # type: ignore[no-untyped-def]
    """A limit for a broken server, not a measurement."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.05)


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    return test_inference.make_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def starting(model_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, list[int]]]:
    """The server once /ping is green, and every answer of /ping until then."""
    with started(model_dir, tmp_path_factory.mktemp("log") / "log") as server:
        seen: list[int] = []
        wait_for(lambda: seen.append(server.ping()) or seen[-1] == 200)
        yield server, seen


@pytest.fixture(scope="module")
def server(starting: tuple[Server, list[int]]) -> Server:
    return starting[0]


def test_a_picture_gets_its_class_and_the_most_probable_ones(server: Server) -> None:
    status, text = server.invoke(PICTURE, Content_Type="image/png")
    prediction = json.loads(text)["predictions"][0]
    assert status == 200
    assert prediction["class"] in ("blue", "green", "red")
    assert prediction["top"][0] == {"class": prediction["class"], "probability": prediction["probability"]}


def test_the_content_decides_whatever_the_header_says(server: Server) -> None:
    right = server.invoke(PICTURE, Content_Type="image/png")
    assert server.invoke(PICTURE, Content_Type="application/json") == right
    assert server.invoke(PICTURE) == right


def test_many_callers_at_once_each_get_their_own_answer(server: Server) -> None:
    bodies = [test_inference.npy(pictures.noisy((20 * i, 250 - 20 * i, 90), (16, 16), i)) for i in range(12)]
    one_by_one = [server.invoke(body) for body in bodies]
    with ThreadPoolExecutor(12) as pool:
        assert list(pool.map(server.invoke, bodies)) == one_by_one


BAD = {name: case for name, case in test_inference.BAD.items() if name != "too many bytes"}


def test_each_bad_body_is_a_4xx_with_one_sentence(server: Server) -> None:
    for name, (body, status, words) in BAD.items():
        answer = server.invoke(body)
        message = json.loads(answer[1])["error"]
        assert answer[0] == status, name
        assert words in message, name
        assert "Traceback" not in message, name
    assert server.ping() == 200


def test_a_declared_length_above_the_limit_is_refused_before_it_is_sent(server: Server) -> None:
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        head = f"POST /invocations HTTP/1.1\r\nHost: localhost\r\nContent-Length: {payload.MAX_BODY + 1}\r\n\r\n"
        connection.sendall(head.encode())
        assert connection.recv(1000).startswith(b"HTTP/1.1 413")


def test_a_body_that_grows_above_the_limit_is_refused(server: Server) -> None:
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", server.port)) as connection:
        pieces = (bytes(2**20) for _ in range(7))
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            connection.request("POST", "/invocations", pieces, encode_chunked=True)
        assert connection.getresponse().status == 413


def test_the_largest_body_is_taken(server: Server) -> None:
    padded = PICTURE + bytes(payload.MAX_BODY - len(PICTURE))
    assert server.invoke(padded)[0] == 200


def test_an_answer_that_nobody_accepts_is_406(server: Server) -> None:
    assert server.invoke(PICTURE, Accept="text/html")[0] == 406
    assert server.invoke(PICTURE, Accept="text/html, */*;q=0.1")[0] == 200


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8080", "127.0.0.1.evil.example", "", "[::2]:80"])
def test_a_page_that_had_its_name_point_here_gets_no_answer(server: Server, host: str) -> None:
    for method, path in (("GET", "/ping"), ("POST", "/invocations")):
        status, text = server.ask(method, path, PICTURE, Host=host)
        assert status == 421
        assert "answers as 127.0.0.1, localhost" in json.loads(text)["error"]


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8080", "127.0.0.1:1", "[::1]:8080", "[::1]"])
def test_this_machine_may_be_named_in_every_way(server: Server, host: str) -> None:
    assert server.invoke(PICTURE, Host=host)[0] == 200


def test_where_sagemaker_reaches_it_from_outside_every_name_is_taken(tmp_path: Path) -> None:
    with started(tmp_path, tmp_path / "log", bind="0.0.0.0") as server:  # no model: 503 is its answer
        wait_for(lambda: server.ping() == 503)
        assert server.ask("GET", "/ping", Host="container.internal:8080")[0] == 503


def test_other_paths_and_methods_name_the_two_that_exist(server: Server) -> None:
    for method, path, status in (("GET", "/invocations", 405), ("POST", "/ping", 405), ("GET", "/", 404)):
        answer = server.ask(method, path)
        assert answer[0] == status
        assert "GET /ping and POST /invocations" in json.loads(answer[1])["error"]


def test_a_caller_that_hangs_up_harms_nobody(server: Server) -> None:
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.sendall(b"POST /invocations HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\nabc")
    assert server.invoke(PICTURE)[0] == 200
    assert "Traceback" not in server.log.read_text()


def test_ping_is_red_until_the_model_has_answered(starting: tuple[Server, list[int]]) -> None:
    server, seen = starting
    assert 503 in seen
    assert seen[-1] == 200
    assert "ready after" in server.log.read_text()


def test_sigterm_lets_the_running_request_end_refuses_new_ones_and_exits_with_0(
    model_dir: Path, tmp_path: Path
) -> None:
    with started(model_dir, tmp_path / "log") as server:
        wait_for(lambda: server.ping() == 200)
        batch = test_inference.npy(np.zeros((256, 16, 16, 3), np.uint8))
        with socket.create_connection(("127.0.0.1", server.port)) as connection:
            head = f"POST /invocations HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(batch)}\r\n\r\n"
            connection.sendall(head.encode() + batch[:-1])
            wait_for(lambda: "darkroom_in_flight 1" in server.ask("GET", "/metrics")[1])
            server.process.send_signal(signal.SIGTERM)
            wait_for(lambda: server.ping() == 503)
            assert server.invoke(PICTURE) == (503, '{"error": "this server is stopping; ask again"}')
            connection.sendall(batch[-1:])
            answer = connection.recv(100)
        assert answer.startswith(b"HTTP/1.1 200")
        assert server.process.wait(60) == 0


def test_a_model_that_cannot_load_keeps_ping_red_and_logs_why(model_dir: Path, tmp_path: Path) -> None:
    broken = test_inference.make_model(tmp_path)
    (broken / "model.pt").write_bytes(b"no weights")
    with started(broken, tmp_path / "log") as server:
        wait_for(lambda: "stays red" in server.log.read_text())
        assert server.ping() == 503
        assert server.invoke(PICTURE) == (503, '{"error": "the model failed to load; the log has the reason"}')
        assert "not the weights that the card describes" in server.log.read_text()


@pytest.mark.parametrize("port", ["", "http", "0", "70000"])
def test_a_port_that_is_none_is_refused(port: str) -> None:
    assert serve.main(["serve"], {"SAGEMAKER_BIND_TO_PORT": port}) == 2


def test_an_unknown_argument_is_refused() -> None:
    assert serve.main(["train"], {}) == 2


def test_more_requests_than_are_taken_on_are_told_to_come_again(model_dir: Path, tmp_path: Path) -> None:
    """What was taken on is answered, and what captures and counts it as well."""
    variables = {"DARKROOM_QUEUE": "1", "DARKROOM_CAPTURE": str(tmp_path / "kept"), "DARKROOM_LOG": "all"}
    with started(model_dir, tmp_path / "log", **variables) as server:
        wait_for(lambda: server.ping() == 200)
        with socket.create_connection(("127.0.0.1", server.port)) as connection:
            head = f"POST /invocations HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(PICTURE)}\r\n\r\n"
            connection.sendall(head.encode() + PICTURE[:-1])
            wait_for(lambda: "darkroom_in_flight 1" in server.ask("GET", "/metrics")[1])
            with contextlib.closing(http.client.HTTPConnection("127.0.0.1", server.port)) as other:
                other.request("POST", "/invocations", PICTURE)
                refused = other.getresponse()
                assert (refused.status, refused.headers["Retry-After"]) == (503, "1")
                assert "too many requests at once" in json.loads(refused.read())["error"]
            assert server.ping() == 200
            connection.sendall(PICTURE[-1:])
            assert connection.recv(100).startswith(b"HTTP/1.1 200")
        wait_for(lambda: "darkroom_captured_total 1" in server.ask("GET", "/metrics")[1])
        counted = server.ask("GET", "/metrics")[1]
        assert 'darkroom_requests_total{status="503"} 1' in counted
        assert "darkroom_request_seconds_count 1" in counted
        lines = [json.loads(line) for line in server.log.read_text().splitlines()]
        assert [line["status"] for line in lines if "status" in line] == [503, 200]
        assert lines[-1] | {"ms": 0, "waited_ms": 0, "time": ""} == {
            "time": "",
            "level": "info",
            "message": "answered",
            "status": 200,
            "ms": 0,
            "bytes": len(PICTURE),
            "kind": "image",
            "pictures": 1,
            "batch": 1,
            "waited_ms": 0,
        }


def test_a_serverless_endpoint_takes_less_and_a_network_may_be_left_as_torch_has_it(
    model_dir: Path, tmp_path: Path
) -> None:
    with started(model_dir, tmp_path / "log", DARKROOM_MAX_BODY="4194304", DARKROOM_NETWORK="plain") as server:
        wait_for(lambda: server.ping() == 200)
        assert '"rewritten": false' in server.log.read_text()
        assert server.invoke(PICTURE + bytes(4_194_304 - len(PICTURE)))[0] == 200
        assert server.invoke(PICTURE + bytes(4_194_305 - len(PICTURE)))[0] == 413


def test_answers_by_accept_header_say_what_they_are(server: Server) -> None:
    for accept in ("application/json", "application/jsonlines", "text/csv", "application/x-npy"):
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)) as connection:
            connection.request("POST", "/invocations", PICTURE, {"Accept": accept})
            answer = connection.getresponse()
            assert (answer.status, answer.headers["Content-Type"].partition(";")[0]) == (200, accept)
            answer.read()


def test_mutated_and_good_bodies_by_the_thousand_lose_no_answer(server: Server) -> None:
    """benchmarks/soaking.py does the same with 10,000 and with 200,000."""
    chance, seeds = random.Random(3), [PICTURE, *test_inference.FORMS.values()]
    expected = server.invoke(PICTURE)

    def talk(seed: int) -> set[int]:
        mine, seen = random.Random(seed), set()
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)) as connection:
            for number in range(60):
                body = bytearray(mine.choice(seeds))
                if number % 3:
                    for _ in range(mine.randrange(1, 5)):
                        body[mine.randrange(min(len(body), 90))] = mine.randrange(256)
                    del body[mine.randrange(len(body)) + 1 :]
                connection.request("POST", "/invocations", bytes(body) if number % 3 else PICTURE)
                answer = connection.getresponse()
                text = answer.read().decode()
                seen.add(answer.status)
                assert answer.status < 500, text
                assert number % 3 or (answer.status, text) == expected
        return seen

    with ThreadPoolExecutor(8) as pool:
        assert set.union(*pool.map(talk, [chance.randrange(10**9) for _ in range(16)])) >= {200, 400, 415}
    assert server.process.poll() is None
    assert "Traceback" not in server.log.read_text()
