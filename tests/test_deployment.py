"""The archive in Ray Serve, started by the commands of AWS's image: the same answers as our own server gives."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import IO

import inference
import pictures
import pytest
import test_inference
import torch
from training import packing

BIN = Path(sys.executable).parent
SECONDS = 180.0  # a limit, not a measurement


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def ray_serve(model: Path, log: IO[str]) -> Iterator[int]:
    """What the image's entry point does: ray start, serve start, serve run of the archive's config.yaml."""
    cluster, port = free_port(), free_port()
    work = tempfile.mkdtemp(prefix="ray-")  # the paths of Ray's sockets may have 107 characters
    env = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    env |= {"PYTHONPATH": str(model), "RAY_USAGE_STATS_ENABLED": "0"}
    told = {**env, "RAY_ADDRESS": f"127.0.0.1:{cluster}"}
    head = ["ray", "start", "--head", "--block", "--node-ip-address=127.0.0.1", f"--port={cluster}", "--num-gpus=0"]
    head += ["--include-dashboard=False", "--num-cpus=1", "--object-store-memory=80000000", f"--temp-dir={work}"]
    started = [_started(head, env, log)]
    try:
        _until(lambda: _listens(cluster))
        # Not `ray stop`: that ends every Ray on the machine.
        begun = _started(["serve", "start", "--http-host=127.0.0.1", f"--http-port={port}"], told, log)
        assert begun.wait(SECONDS) == 0
        started.append(_started(["serve", "run", str(model / packing.RAY_CONFIG)], told, log))
        yield port
    finally:
        for process in reversed(started):
            process.send_signal(signal.SIGTERM)
            process.wait(SECONDS)
        shutil.rmtree(work, ignore_errors=True)


def _started(command: list[str], env: dict[str, str], log: IO[str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen([str(BIN / command[0]), *command[1:]], env=env, stdout=log, stderr=log, cwd="/")


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline, "Ray does not come up"
        time.sleep(0.2)


def ask(port: int, body: bytes, accept: str = "application/json") -> tuple[int, str, bytes]:
    """As the image's adapter hands requests on: content type, Accept, body."""
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=60)) as connection:
        connection.request("POST", "/", body, {"Content-Type": "application/json", "Accept": accept})
        answer = connection.getresponse()
        return answer.status, answer.headers.get("Content-Type", ""), answer.read()


def _is_up(port: int) -> bool:
    try:
        return ask(port, b"no picture")[0] == 415
    except OSError:
        return False


@pytest.mark.slow
def test_ray_serve_answers_as_the_handlers_do(tmp_path: Path) -> None:
    torch.manual_seed(0)
    (tmp_path / "model").mkdir()
    model = test_inference.make_model(tmp_path / "model")
    packing.copy_code(model)
    png = pictures.encoded(pictures.noisy((200, 40, 30), (20, 20), 1))
    predictor = inference.model_fn(model)
    with (tmp_path / "log").open("w") as log, ray_serve(model, log) as port:
        _until(lambda: _is_up(port))
        for body in (png, test_inference.npy(test_inference.PIXELS)):
            for accept in ("application/json", "text/csv", "application/x-npy"):
                content, kind = inference.output_fn(inference.predict_fn(body, predictor), accept)
                status, given, answer = ask(port, body, accept)
                assert (status, given.partition(";")[0]) == (200, kind)
                assert answer == content
        status, _, answer = ask(port, png[:50])
        assert status == 400 and "cut short" in json.loads(answer)["error"]
        assert ask(port, png, "text/html")[0] == 406
