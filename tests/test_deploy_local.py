"""The deploying function as Lambda runs it, out of its zip file, against the local service over HTTP."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hosted import STAGING, serve_stub, soon
from local_jobs import put_archive
from over_http import client
from rendered import ENTRYPOINTS, about

from pipeline.infra import packaging
from pipeline.local.functions import register_function
from pipeline.local.server import LoopbackServer
from pipeline.local.service import connect

RUNTIME = Path(__file__).parent.parent / "pipeline/local/lambda_runtime.py"
NAME = STAGING["endpoint_name"]
ARN = "arn:aws:lambda:us-east-1:111122223333:function:darkroom-deploy"
EVENT = {**STAGING, "scaling": "min=1 max=3 target=10"}


@pytest.fixture(scope="module")
def code(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Unpacked as Lambda has it: nothing of this project lies beside it."""
    (package,) = [p for p in packaging.packages(about().config, ENTRYPOINTS) if p.program == packaging.DEPLOY]
    folder = tmp_path_factory.mktemp("function")
    (path,) = packaging.write((package,), folder)
    return str(register_function(connect(str(folder / "home")).store, ARN, str(path), package.handler).body["folder"])


class Function:
    def __init__(self, server: LoopbackServer, code: str, folder: Path) -> None:
        self.server, self.code, self.folder = server, code, folder

    def __call__(self, **event: str) -> dict[str, Any]:
        """What the handler answers, or its error."""
        paths = [self.folder / name for name in ("event.json", "result.json")]
        paths[0].write_text(json.dumps(event))
        environ = {
            "PATH": os.environ["PATH"],
            "AWS_ENDPOINT_URL": self.server.url,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "anybody",
            "AWS_SECRET_ACCESS_KEY": "x",
            "AWS_EC2_METADATA_DISABLED": "true",
            **{f"AWS_LAMBDA_{name}": "1" for name in ("FUNCTION_NAME", "FUNCTION_VERSION", "FUNCTION_MEMORY_SIZE")},
            **{f"AWS_LAMBDA_{name}": "1" for name in ("LOG_GROUP_NAME", "LOG_STREAM_NAME")},
            "DARKROOM_FUNCTION_ARN": ARN,
            "DARKROOM_REQUEST_ID": "1",
            "DARKROOM_TIMEOUT": "60",
        }
        command = [sys.executable, "-P", "-s", "-B", str(RUNTIME), self.code, "lambda_deploy.handler", *map(str, paths)]
        subprocess.run(command, env=environ, check=True, capture_output=True, timeout=120)
        found: dict[str, Any] = json.loads(paths[1].read_text())
        return dict(found["value"]) if "value" in found else found


@pytest.fixture
def function(server: LoopbackServer, code: str, tmp_path: Path) -> Function:
    return Function(server, code, tmp_path)


def registered(server: LoopbackServer) -> str:
    sagemaker = client(server, "sagemaker")
    put_archive(Path(server.home), "s3://bucket/model.tar.gz", {"text": "model"})
    sagemaker.create_model_package_group(ModelPackageGroupName="digits")
    container = {"Image": "serve:1", "ModelDataUrl": "s3://bucket/model.tar.gz"}
    types = {"SupportedContentTypes": ["image/png"], "SupportedResponseMIMETypes": ["application/json"]}
    created = sagemaker.create_model_package(
        ModelPackageGroupName="digits", InferenceSpecification={"Containers": [container], **types}
    )
    return str(created["ModelPackageArn"])


def test_a_life_from_start_to_nothing(server: LoopbackServer, function: Function, tmp_path: Path) -> None:
    serve_stub(connect(server.home).store, "serve:1", tmp_path)
    arn = registered(server)
    started = function(**EVENT, model_package_arn=arn)
    assert started["endpoint_config_name"].startswith(f"{NAME}-v1-"), started
    assert function(**EVENT, model_package_arn=arn)["endpoint_config_name"] == started["endpoint_config_name"]
    sagemaker, scaling = client(server, "sagemaker"), client(server, "application-autoscaling")
    sagemaker.get_waiter("endpoint_in_service").wait(EndpointName=NAME, WaiterConfig={"Delay": 1})
    assert function(action="advance", endpoint_name=NAME)["phase"] == "good"
    targets = scaling.describe_scalable_targets(ServiceNamespace="sagemaker")["ScalableTargets"]
    assert [each["ResourceId"] for each in targets] == [f"endpoint/{NAME}/variant/AllTraffic"]
    refused = function(**{**EVENT, "smoke_test": "true"}, model_package_arn=arn)
    assert refused["errorType"] == "DeployRefused"
    assert "has no golden pictures" in refused["errorMessage"]
    assert soon(lambda: function(action="undeploy", endpoint_name=NAME)["phase"] == "absent")
    alarms = client(server, "cloudwatch").describe_alarms()["MetricAlarms"]
    left = (sagemaker.list_endpoints()["Endpoints"], sagemaker.list_endpoint_configs()["EndpointConfigs"], alarms)
    assert left == ([], [], [])
    assert sagemaker.list_models()["Models"] == []
