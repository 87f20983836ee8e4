"""The examples of docs/serving.md, run as they stand there."""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import subprocess
import sys
import tarfile
from pathlib import Path

import pictures
import pytest
import test_inference
import test_serve
import torch
from over_http import client
from training import packing

from pipeline.local.images import register_image
from pipeline.local.server import LoopbackServer
from pipeline.local.storage import Storage
from pipeline.local.store import Store

TEXT = (Path(__file__).parent.parent / "docs/serving.md").read_text(encoding="utf-8")
ENDPOINT, ARCHIVE, IMAGE = "darkroom-digits-staging", "s3://bucket/model.tar.gz", "darkroom-serve:docs"


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


def test_boto3_asks_an_endpoint_as_written(folder: Path, server: LoopbackServer) -> None:
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
    told = {"AWS_ENDPOINT_URL": server.url, "AWS_DEFAULT_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": "a"}
    with contextlib.ExitStack() as after:
        after.callback(sagemaker.delete_endpoint, EndpointName=ENDPOINT)
        ran = subprocess.run(
            [sys.executable, "-c", block("boto3", "python")],
            env={**os.environ, **told, "AWS_SECRET_ACCESS_KEY": "b"},
            cwd=folder,
            capture_output=True,
            text=True,
        )
    assert re.fullmatch(r"(blue|green|red) 0\.\d+\n", ran.stdout), ran.stderr
