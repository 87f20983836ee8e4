"""The examples of docs/serving.md, run as they stand there."""

from __future__ import annotations

import http.server
import io
import json
import os
import re
import shlex
import subprocess
import sys
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pictures
import pytest
import test_inference
import test_serve
import torch
from over_http import client
from rendered import ENTRYPOINTS, about
from training import packing

from pipeline.infra import packaging
from pipeline.local import lambda_runtime
from pipeline.local.images import register_image
from pipeline.local.server import LoopbackServer
from pipeline.local.storage import Storage
from pipeline.local.store import Store

TEXT = (Path(__file__).parent.parent / "docs/serving.md").read_text(encoding="utf-8")
ENDPOINT, ARCHIVE, IMAGE = "darkroom-digits-staging", "s3://bucket/model.tar.gz", "darkroom-serve:docs"
RUNTIME = lambda_runtime.__file__
ABOUT = ("FUNCTION_NAME", "FUNCTION_VERSION", "FUNCTION_MEMORY_SIZE", "LOG_GROUP_NAME", "LOG_STREAM_NAME")


def block(title: str, language: str) -> str:
    found = re.search(rf"### {title}\n.*?```{language}\n(.*?)```", TEXT, re.DOTALL)
    assert found
    return found[1]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With picture.jpg, and an archive unpacked in model/."""
    torch.manual_seed(0)
    here = tmp_path_factory.mktemp("docs")
    (here / "picture.jpg").write_bytes(pictures.encoded(pictures.noisy((200, 40, 30), (40, 40), 1), "JPEG"))
    (here / "model").mkdir()
    packing.copy_code(test_inference.make_model(here / "model"))
    return here


def test_the_server_starts_as_written_and_curl_gets_csv(folder: Path) -> None:
    started = next(line for line in TEXT.splitlines() if line.startswith("SM_MODEL_DIR="))
    words = shlex.split(started)
    program = words[words.index("python") + 1 :]
    assert program == ["model/code/serve.py", "serve"]
    command = [sys.executable, str(folder / program[0]), program[1]]
    with test_serve.started(folder / "model", folder / "log", command=command) as server:
        test_serve.wait_for(lambda: server.ping() == 200)
        line = shlex.split(block("curl", "sh").replace("127.0.0.1:8080", f"127.0.0.1:{server.port}"))
        answer = subprocess.run(line, cwd=folder, capture_output=True, text=True, check=True).stdout
    assert re.fullmatch(r"(blue|green|red),0\.\d{6},false\n", answer)


@pytest.fixture(scope="module")
def told(folder: Path, server: LoopbackServer) -> Iterator[dict[str, str]]:
    """The variables of a shell that asks this machine's service, where the endpoint is."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        archive.add(folder / "model", arcname=".")
    home = server.home
    Storage(home).put_bytes(ARCHIVE, packed.getvalue())
    register_image(Store(home), "darkroom-serve*", sys.executable)
    sagemaker = client(server, "sagemaker")
    sagemaker.create_model(ModelName="m", PrimaryContainer={"Image": IMAGE, "ModelDataUrl": ARCHIVE})
    variant = {"VariantName": "v", "ModelName": "m"}
    sagemaker.create_endpoint_config(EndpointConfigName="c", ProductionVariants=[variant])
    sagemaker.create_endpoint(EndpointName=ENDPOINT, EndpointConfigName="c")
    keys = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_EC2_METADATA_DISABLED": "true"}
    yield {**os.environ, **keys, "AWS_ENDPOINT_URL": server.url, "AWS_DEFAULT_REGION": "us-east-1"}
    sagemaker.delete_endpoint(EndpointName=ENDPOINT)


def example(title: str, folder: Path, told: dict[str, str]) -> str:
    command = [sys.executable, "-c", block(title, "python")]
    ran = subprocess.run(command, env=told, cwd=folder, capture_output=True, text=True)
    assert re.fullmatch(r"(blue|green|red) 0\.\d+\n", ran.stdout), ran.stderr
    return ran.stdout


def test_boto3_and_the_function_are_asked_as_written_and_answer_alike(
    folder: Path, told: dict[str, str], function: str
) -> None:
    said = example("boto3", folder, told)
    assert example("Lambda", folder, {**told, "AWS_ENDPOINT_URL_LAMBDA": function}) == said


@pytest.fixture
def function(told: dict[str, str], tmp_path: Path) -> Iterator[str]:
    """The address of what stands in for Lambda's API: it runs the function out of its zip, as Lambda runs it."""
    (package,) = [p for p in packaging.packages(about().config, ENTRYPOINTS) if p.program == packaging.INVOKE]
    (zipped,) = packaging.write((package,), tmp_path)
    with zipfile.ZipFile(zipped) as file:
        file.extractall(tmp_path / "code")
    about_it = {f"AWS_LAMBDA_{name}": "1" for name in ABOUT} | {"DARKROOM_REQUEST_ID": "1", "DARKROOM_TIMEOUT": "60"}
    env = {**told, **about_it, "ENDPOINT_NAME": ENDPOINT, "DARKROOM_FUNCTION_ARN": "arn:aws:lambda:::function:f"}
    paths = [tmp_path / name for name in ("event.json", "result.json")]
    command = [sys.executable, "-P", "-s", "-B", RUNTIME, str(tmp_path / "code"), package.handler, *map(str, paths)]

    class Api(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            assert self.path == "/2015-03-31/functions/darkroom-invoke/invocations?Qualifier=live"
            paths[0].write_bytes(self.rfile.read(int(self.headers["Content-Length"])))
            subprocess.run(command, env=env, check=True, capture_output=True)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps(json.loads(paths[1].read_text())["value"]).encode())

    with http.server.HTTPServer(("127.0.0.1", 0), Api) as served:
        threading.Thread(target=served.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{served.server_port}"
        served.shutdown()
