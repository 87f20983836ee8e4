"""The archive's deployment under Ray Serve itself: in its local testing mode, and in a real cluster of one node."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from pathlib import Path

import inference
import pictures
import pytest
import test_inference
import torch
import yaml
from training import packing

PNG = pictures.encoded(pictures.noisy((200, 40, 30), (20, 20), 1))
IN_RAY = """
import base64, json, sys
import deployment
from ray import serve
from starlette.requests import Request

app = serve.run(deployment.Classifier.bind(), _local_testing_mode=True)

def ask(body, accept):
    parts = [{"type": "http.request", "body": body, "more_body": False}]
    async def receive():
        return parts.pop()
    scope = {"type": "http", "method": "POST", "path": "/", "query_string": b""}
    scope["headers"] = [(b"accept", accept.encode())]
    answer = app.remote(Request(scope, receive)).result()
    return answer.status_code, answer.media_type, base64.b64encode(answer.body).decode()

print(json.dumps([ask(base64.b64decode(body), accept) for body, accept in json.load(sys.stdin)]))
"""


LOCALLY = [sys.executable, "-c", IN_RAY]
ALONE = ["unshare", "-Urn", "--uts", "-pf", "--kill-child", "--mount-proc"]
IN_A_CLUSTER = [*ALONE, sys.executable, str(Path(__file__).with_name("ray_cluster.py"))]
Answers = list[tuple[int, str, bytes]]


def in_ray(command: list[str], model: Path, questions: list[tuple[bytes, str]]) -> Answers:
    """Status, content type and body of each answer; with the archive on Python's path, as in AWS's image."""
    asked = json.dumps([[base64.b64encode(body).decode(), accept] for body, accept in questions])
    env = {**os.environ, "PYTHONPATH": str(model), "RAY_USAGE_STATS_ENABLED": "0", "DARKROOM_NETWORK": "plain"}
    ran = subprocess.run([*command, str(model)], env=env, input=asked, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr[-2000:]
    return [(status, kind, base64.b64decode(body)) for status, kind, body in json.loads(ran.stdout.splitlines()[-1])]


@pytest.mark.parametrize(
    "command",
    [pytest.param(LOCALLY, marks=pytest.mark.slow), pytest.param(IN_A_CLUSTER, marks=pytest.mark.cluster)],
    ids=["locally", "in a cluster"],
)
def test_ray_serve_answers_as_the_handlers_do(command: list[str], tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = test_inference.make_model(tmp_path)
    packing.copy_code(model)
    predictor = inference.model_fn(model)
    good = [(PNG, accept) for accept in ("application/json", "text/csv", "application/x-npy")]
    answers = in_ray(command, model, [*good, (PNG[:50], "*/*"), (PNG, "text/html")])
    for (body, accept), answer in zip(good, answers[:-2], strict=True):
        content, kind = inference.output_fn(inference.predict_fn(body, predictor), accept)
        assert answer == (200, kind, content)
    assert [status for status, _, _ in answers[-2:]] == [400, 406]


def test_the_configuration_names_what_the_module_has() -> None:
    (application,) = yaml.safe_load(packing.RAY_APPLICATION)["applications"]
    module, _, name = application["import_path"].partition(":")
    assert f"{module}.py" == packing.RAY_MODULE
    assert f"def {name}(" in (Path(inference.__file__).parent / packing.RAY_MODULE).read_text()
