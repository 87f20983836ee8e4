"""Parts of the server: variables, processors, what is counted, logged and captured."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import io
import json
import logging
import select
import socket
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import redirect_stderr
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import inference
import numpy as np
import payload
import pytest
import serve
import test_inference
import torch
import uvicorn
from prometheus_client.parser import text_string_to_metric_families
from refusal import Refusal
from serving import journal, metrics, networks, processors, settings
from serving.batching import Batcher
from serving.capture import Capture, Record
from serving.queueing import Limits, Pixels, Rows
from serving.service import FAILED, READY, Service, warm
from serving.settings import Settings
from serving.sharing import Share
from torch import nn


def test_defaults_are_sagemakers_real_time_endpoint() -> None:
    found = settings.read({})
    assert found == Settings(Path("/opt/ml/model"))
    assert (found.host, found.port, found.max_body) == ("0.0.0.0", 8080, 6_291_456)


def test_variables_change_what_they_name() -> None:
    found = settings.read(
        {
            "SM_MODEL_DIR": "/m",
            "SAGEMAKER_BIND_TO_PORT": "9000",
            "DARKROOM_BIND": "127.0.0.1",
            "DARKROOM_MAX_BODY": "4194304",
            "DARKROOM_BATCH": "4",
            "DARKROOM_BATCH_MS": "50",
            "DARKROOM_NETWORK": "plain",
            "DARKROOM_QUEUE": "9",
            "DARKROOM_LOG": "all",
            "DARKROOM_CAPTURE": "/c",
            "DARKROOM_CAPTURE_PERCENT": "12.5",
            "DARKROOM_CAPTURE_MB": "1",
        }
    )
    said = (Path("/m"), "127.0.0.1", 9000, 4 * 2**20, 4, 0.05, "plain", 9, "all", Path("/c"), 0.125, 2**20)
    assert found == Settings(*said)


@pytest.mark.parametrize(("said", "most"), [("6", 6 * 2**20), ("100", 100 * 2**20), ("0", 100 * 2**20)])
def test_a_batch_transform_says_itself_how_long_its_payloads_are(said: str, most: int) -> None:
    assert settings.read({"SAGEMAKER_BATCH": "true", "SAGEMAKER_MAX_PAYLOAD_IN_MB": said}).max_body == most


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[("SAGEMAKER_BIND_TO_PORT", each) for each in ("", "http", "0", "70000", "-1", "1e3", "٣")],
        *[("DARKROOM_BATCH", "0"), ("DARKROOM_QUEUE", "many"), ("DARKROOM_LOG", "some")],
        *[("DARKROOM_NETWORK", "fast"), ("DARKROOM_CAPTURE_PERCENT", "101"), ("DARKROOM_MAX_BODY", "99999999999")],
    ],
)
def test_a_value_that_cannot_be_is_named(name: str, value: str) -> None:
    with pytest.raises(Refusal, match=f"^{name} is '{value}': take "):
        settings.read({name: value})


def cgroup(root: Path, quota: str) -> Path:
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text("0::/\n")
    (root / "sys/fs/cgroup").mkdir(parents=True)
    (root / "sys/fs/cgroup/cpu.max").write_text(quota)
    return root


@pytest.mark.parametrize(("quota", "expected"), [("50000 100000", 1), ("100000 100000", 1)])
def test_a_containers_quota_counts_in_whole_processors_and_at_least_one(
    tmp_path: Path, quota: str, expected: int
) -> None:
    assert processors.count(cgroup(tmp_path, quota)) == expected


def test_without_a_quota_all_that_the_process_may_use_count(tmp_path: Path) -> None:
    assert processors.count(cgroup(tmp_path, "max 100000")) == processors.count(tmp_path / "nothing")


@pytest.fixture
def threads() -> Iterator[Callable[[], int]]:
    """How many torch has in this thread; as many as before in the end."""
    before = torch.get_num_threads()
    yield torch.get_num_threads
    torch.set_num_threads(before)


class Says(nn.Module):
    """Whatever it is shown, this class."""

    def __init__(self, index: int) -> None:
        super().__init__()
        self.scores = nn.Parameter(nn.functional.one_hot(torch.tensor(index), 3).float(), requires_grad=False)

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        return self.scores.expand(len(pictures), 3)


@pytest.mark.parametrize(("asked", "pictures", "answers"), [(1, 1, 1), (1, 4, 1), (3, 1, 2), (3, 4, 0), (2, 1, 0)])
def test_each_pass_has_the_network_whose_weights_are_ordered_for_it(
    threads: Callable[[], int], asked: int, pictures: int, answers: int
) -> None:
    """One thread: that of a busy server; a picture that has all three: that for it alone; else torch's own."""
    frame, blank = payload.Frame(8, 8, "crop"), np.zeros((pictures, 8, 8, 3), np.uint8)
    plain = inference.Predictor(Says(0), ("a", "b", "c"), frame, torch.zeros(1), torch.ones(1))
    made = networks.Networks(plain, plain._replace(network=Says(1)), plain._replace(network=Says(2)), 3)
    torch.set_num_threads(asked)
    assert threads() == asked
    assert set(made(blank).argmax(1)) == {answers}


def test_a_models_networks_are_three_that_say_the_same(tmp_path: Path) -> None:
    predictor = inference.model_fn(test_inference.make_model(tmp_path))

    def clock(timed: nn.Module, asked: torch.Tensor) -> float:
        return 2.0 if timed is predictor.network else 1.0

    made, pictures = networks.fastest(predictor, 2, clock), np.full((1, *[predictor.image_size] * 2, 3), 99, np.uint8)
    assert made.rewritten and len({id(each.network) for each in made[:3]}) == 3
    expected = inference.probabilities(predictor, pictures)
    for each in (made.busy, made.alone):
        assert np.allclose(inference.probabilities(each, pictures), expected, atol=1e-4)
    only = networks.fastest(predictor, 1, clock)
    assert only.alone is only.busy is not predictor
    assert not networks.as_torch_has_it(predictor, 2).rewritten


def test_loading_leaves_no_pool_of_threads_behind_beside_the_models_own(tmp_path: Path) -> None:
    """One thread has none."""
    service = Service(Settings(test_inference.make_model(tmp_path)))
    with ThreadPoolExecutor(1) as loading, redirect_stderr(io.StringIO()):
        loading.submit(torch.set_num_threads, 2).result()
        loading.submit(service.load).result()
        assert loading.submit(torch.get_num_threads).result() == 1
    service.close()
    assert service.state == READY


def test_passes_at_once_share_the_threads_and_a_picture_alone_has_as_many_as_are_fastest(
    threads: Callable[[], int],
) -> None:
    share, found = Share(4), []
    for alone, passes, pictures in ((4, 1, 1), (1, 1, 1), (1, 1, 2), (4, 2, 1), (1, 2, 1), (4, 3, 9), (4, 9, 1)):
        share.alone = alone
        share(passes, pictures)
        found.append(threads())
    assert found == [4, 1, 4, 2, 1, 1, 1]


@pytest.mark.parametrize(("seconds", "alone"), [({1: 0.2, 4: 0.3}, 1), ({1: 0.3, 4: 0.2}, 4)])
def test_how_many_are_fastest_is_measured(seconds: dict[int, float], alone: int) -> None:
    share, noise = Share(4), iter([9.0, 0, 9, 9, 0, 9, 9, 9, 9, 9])
    share.settle(lambda: seconds[share.alone] + next(noise))
    assert share.alone == alone


def test_before_its_first_request_a_server_knows_how_many_threads_a_picture_alone_has() -> None:
    share, seen = Share(2), []

    def answer(pictures: Pixels) -> Rows:
        seen.append((len(pictures), torch.get_num_threads()))
        return np.zeros((len(pictures), 3), np.float32)

    batcher = Batcher(answer, Limits(8, 60), share)
    warm(batcher, share, side=8, few=4)
    batcher.close()
    assert {(1, 1), (1, 2)} < set(seen)
    assert seen[-2:] == [(1, share.alone), (4, 2)]


def test_where_there_is_one_thread_nothing_is_measured() -> None:
    share = Share(1)
    share.settle(lambda: pytest.fail("asked"))
    assert share.alone == 1


def test_a_model_that_memory_cannot_hold_is_a_failed_one_with_its_reason(tmp_path: Path) -> None:
    card = json.loads((test_inference.make_model(tmp_path) / "model.json").read_text())
    card["preprocessing"]["image_size"] = 10**8
    (tmp_path / "model.json").write_text(json.dumps(card))
    failed = Service(Settings(tmp_path))
    with redirect_stderr(io.StringIO()) as log:
        failed.load()
    failed.close()
    assert failed.state == FAILED
    assert "stays red: MemoryError: Unable to allocate" in log.getvalue()


async def dribbling(service: Service) -> bytes:
    """All that a caller hears whose body comes byte by byte and never ends."""
    server = serve.Server(uvicorn.Config(serve.application(service), port=0, lifespan="off", log_config=None), service)
    running = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    heard = await asyncio.to_thread(dribble, server.servers[0].sockets[0].getsockname())
    server.should_exit = True
    await running
    return heard


def dribble(address: tuple[str, int]) -> bytes:
    """What was heard before a connection was reset can still be read after that."""
    with socket.create_connection(address, 60) as connection:
        connection.sendall(b"POST /invocations HTTP/1.1\r\nHost: localhost\r\nContent-Length: 6000000\r\n\r\n")
        heard = b""
        with contextlib.suppress(ConnectionError):
            while not heard:
                connection.sendall(b"x")
                if select.select([connection], [], [], 0.01)[0]:
                    heard += connection.recv(1)
        with contextlib.suppress(ConnectionError):
            while piece := connection.recv(1000):
                heard += piece
        return heard


def test_a_body_that_dribbles_is_given_up_after_its_time_and_the_connection_closed(tmp_path: Path) -> None:
    service = Service(Settings(tmp_path, body_seconds=0.1))
    service.state = READY
    with redirect_stderr(io.StringIO()):
        head, _, body = asyncio.run(dribbling(service)).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 408") and b"connection: close" in head.lower()
    assert json.loads(body) == {"error": "the body did not arrive within 0.1 seconds"}
    assert (service.in_flight, service.held) == (0, 0)


def test_omp_num_threads_has_the_last_word() -> None:
    assert [processors.threads({"OMP_NUM_THREADS": each}, 8) for each in ("3", "2,1", "", "many", "0")] == [
        3,
        2,
        8,
        8,
        8,
    ]


def test_metrics_are_read_by_prometheus_own_parser() -> None:
    counted = metrics.Metrics()
    counted.requests.update({200: 3, 415: 1})
    counted.classes.update(['a "quoted"\nname\\', "plain"])
    for seconds in (0.0005, 0.001, 0.3, 100.0):
        counted.latency.add(seconds)
    found = {family.name: family for family in text_string_to_metric_families(counted.text({"up": ("Whether", True)}))}
    statuses = {sample.labels["status"]: sample.value for sample in found["darkroom_requests"].samples}
    assert statuses == {"200": 3, "415": 1}
    assert {sample.labels["class"] for sample in found["darkroom_predictions"].samples} == {
        *('a "quoted"\nname\\', "plain")
    }
    buckets = {
        sample.labels["le"]: sample.value
        for sample in found["darkroom_request_seconds"].samples
        if sample.name.endswith("_bucket")
    }
    assert (buckets["0.001"], buckets["0.25"], buckets["0.5"], buckets["60"], buckets["+Inf"]) == (2, 2, 3, 3, 4)
    assert found["up"].samples[0].value == 1


def test_figures_are_told_to_callers_on_the_same_machine_alone() -> None:
    service: Any = SimpleNamespace(metrics=metrics.Metrics(), state=READY, in_flight=0, held=0, capture=None)
    application = serve.application(service, ())

    def asked(host: str) -> int:
        sent: list[Any] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request"}

        async def send(message: Any) -> None:
            sent.append(message)

        about = {"type": "http", "method": "GET", "path": "/metrics", "query_string": b"", "headers": []}
        asyncio.run(application({**about, "client": (host, 1)}, receive, send))
        return int(sent[0]["status"])

    assert [asked(host) for host in ("127.0.0.1", "::1", "10.0.0.9")] == [200, 200, 404]


def test_the_log_is_one_json_object_a_line() -> None:
    with redirect_stderr(io.StringIO()) as written:
        journal.say("info", "two\nlines", status=200)
        try:
            raise RuntimeError("out of luck")
        except RuntimeError:
            record = logging.LogRecord("uvicorn", logging.ERROR, "", 0, "it %s", ("failed",), None)
            record.exc_info = sys.exc_info()
            journal.Lines().emit(record)
    first, second = (json.loads(line) for line in written.getvalue().splitlines())
    assert first | {"time": ""} == {"time": "", "level": "info", "message": "two lines", "status": 200}
    assert second["message"] == "it failed" and second["traceback"].endswith("RuntimeError: out of luck")


RECORD = Record(b"\xff\xd8picture", "image/jpeg", b'{"predictions": []}', "application/json")


def captured(folder: Path) -> list[dict[str, dict[str, dict[str, str]]]]:
    return [json.loads(line) for path in sorted(folder.glob("*.jsonl")) for line in path.read_text().splitlines()]


def test_captured_requests_have_the_members_of_sagemakers_own_files(tmp_path: Path) -> None:
    capture = Capture(tmp_path / "new", 1.0, 10_000)
    capture.offer(RECORD)
    capture.close()
    (line,) = captured(tmp_path / "new")
    data = line["captureData"]
    assert base64.b64decode(data["endpointInput"]["data"]) == RECORD.body
    assert base64.b64decode(data["endpointOutput"]["data"]) == RECORD.answer
    assert data["endpointInput"] | {"data": ""} == {
        "observedContentType": "image/jpeg",
        "mode": "INPUT",
        "data": "",
        "encoding": "BASE64",
    }
    assert line.keys() == {"captureData", "eventMetadata", "eventVersion"}


def test_capturing_stops_at_its_limit_also_when_it_begins_anew(tmp_path: Path) -> None:
    for _ in range(2):
        capture = Capture(tmp_path, 1.0, 1500)
        for _ in range(10):
            capture.offer(RECORD)
        capture.close()
    assert 2 <= len(captured(tmp_path)) <= 4
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 1500
    assert capture.dropped == 10


def test_a_share_of_none_keeps_none_and_a_folder_that_cannot_be_made_harms_nobody(tmp_path: Path) -> None:
    nothing = Capture(tmp_path, 0.0, 10_000)
    nothing.offer(RECORD)
    nothing.close()
    assert captured(tmp_path) == []
    (tmp_path / "file").write_text("")
    with redirect_stderr(io.StringIO()) as log:
        broken = Capture(tmp_path / "file", 1.0, 10_000)
        broken.offer(RECORD)
        broken.close()
    assert "nothing more is captured" in log.getvalue()
    assert broken.kept == 0


def test_first_bytes_say_what_a_body_is() -> None:
    kinds = {b"\xff\xd8\xff\xe0": "image", b"PK\x03\x04": "npz", b"\x93NUMPY": "npy", b" \n[1": "json", b"<svg": None}
    assert {begin: payload.kind(begin) for begin in kinds} == kinds
