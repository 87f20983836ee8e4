"""Endpoints for tests: a model server of a few lines in the place of an image, and callers that load it."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from local_jobs import put_archive
from process_list import naming

from pipeline.client import Hosting
from pipeline.errors import ServiceError
from pipeline.local import endpoint, endpoint_record
from pipeline.local.images import register_image
from pipeline.local.service import LocalSageMaker, connect
from pipeline.local.store import Store

# answers with the model's text and the body; some texts and bodies make it misbehave
SERVER = """
import os, sys, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
assert sys.argv[1:] == ["serve"]
with open(os.environ["SM_MODEL_DIR"] + "/text") as file:
    text = file.read()
if text == "broken":
    sys.exit("there is no model here")
class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    def do_GET(self):
        if text == "unloadable":
            self.reply(503, b'{"error": "the model failed to load; the log has the reason"}')
        else:
            self.reply(503 if text == "never" else 200, b"")
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if body == b"die":
            os._exit(3)
        if body == b"slow":
            time.sleep(1)
        if body == b"silent":
            time.sleep(60)
        status = int(body) if body.isdigit() else 500 if text == "faulty" else 200
        kind = self.headers["Accept"] + " " + self.headers["Content-Type"]
        self.reply(status, text.encode() + b" " + body, kind)
    def reply(self, status, body, kind="text/plain"):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_):
        pass
class Server(ThreadingHTTPServer):
    daemon_threads, request_queue_size = True, 64
Server((os.environ["DARKROOM_BIND"], int(os.environ["SAGEMAKER_BIND_TO_PORT"])), Handler).serve_forever()
"""

# what the deploying function is asked for, but for the package
STAGING = {
    "action": "start",
    "stage": "staging",
    "endpoint_name": "digits-staging",
    "instance_type": "ml.m5.large",
    "instance_count": "1",
    "role_arn": "arn:aws:iam::111122223333:role/darkroom-serving",
    "smoke_test": "false",
}


@contextmanager
def service(folder: Path) -> Iterator[LocalSageMaker]:
    """Without endpoints and processes at the end."""
    found = connect(str(folder / "home"))
    serve_stub(found.store, "stub*", folder)
    yield found
    for record in found.store.list("endpoint"):
        remove(found, record.name)


def serve_stub(store: Store, image: str, folder: Path) -> None:
    """SERVER stands in for the image; `folder` keeps it."""
    program = folder / "server.py"
    program.write_text(SERVER)
    register_image(store, image, ["env", sys.executable, str(program)])


def remove(sagemaker: LocalSageMaker, name: str) -> None:
    endpoint.stop(sagemaker.store, name)
    sagemaker.store.change("endpoint", name, {}, status="Deleting")
    endpoint_record.remove(sagemaker.store, name)


def model(sagemaker: LocalSageMaker, name: str, text: str = "") -> str:
    uri = f"s3://bucket/{name}.tar.gz"
    put_archive(Path(sagemaker.home), uri, {"text": text or name})
    sagemaker.create_model(ModelName=name, PrimaryContainer={"Image": "stub:1", "ModelDataUrl": uri})
    return name


def config(sagemaker: LocalSageMaker, name: str, *models: str, **variant: Any) -> str:
    """A variant for each model, with its name, or the one that is given."""
    variants = [{"VariantName": each, "ModelName": each, **variant} for each in models]
    sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=variants)
    return name


def deploy(sagemaker: LocalSageMaker, text: str, name: str = "e", **variant: Any) -> dict[str, Any]:
    """A new endpoint out of a new model and configuration, all with one name, once it is settled."""
    made = config(sagemaker, name, model(sagemaker, name, text), **variant)
    sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=made)
    return settled(sagemaker, name)


def deploy_package(sagemaker: LocalSageMaker, arn: str, name: str) -> None:
    """A new endpoint out of a package by its name, which has to be approved."""
    container, role = {"ModelPackageName": arn}, "arn:aws:iam::111122223333:role/darkroom"
    sagemaker.create_model(ModelName=name, PrimaryContainer=container, ExecutionRoleArn=role)
    size = {"InstanceType": "ml.m5.large", "InitialInstanceCount": 1}
    variant = {"VariantName": "AllTraffic", "ModelName": name, **size}
    sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[variant])
    sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name)


def deployed(hosting: Hosting, name: str, made: str, instances: int = 1) -> None:
    """An endpoint as the function behind DeployModel makes it, with scaling; `made`: model and configuration."""
    sagemaker, role = hosting.sagemaker, "arn:aws:iam::111122223333:role/serve"
    sagemaker.create_model(ModelName=made, PrimaryContainer={"Image": "img:1"}, ExecutionRoleArn=role)
    size = {"InstanceType": "ml.m5.large", "InitialInstanceCount": instances}
    variant = {"VariantName": "AllTraffic", "ModelName": made, **size}
    sagemaker.create_endpoint_config(EndpointConfigName=made, ProductionVariants=[variant])
    sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=made)
    resource = {
        "ServiceNamespace": "sagemaker",
        "ResourceId": f"endpoint/{name}/variant/AllTraffic",
        "ScalableDimension": "sagemaker:variant:DesiredInstanceCount",
    }
    hosting.scaling.register_scalable_target(**resource, MinCapacity=1, MaxCapacity=3)
    metric = {"PredefinedMetricType": "SageMakerVariantInvocationsPerInstance"}
    hosting.scaling.put_scaling_policy(
        **resource,
        PolicyName="invocations",
        PolicyType="TargetTrackingScaling",
        TargetTrackingScalingPolicyConfiguration={"TargetValue": 100.0, "PredefinedMetricSpecification": metric},
    )


def settled(sagemaker: LocalSageMaker, name: str = "e") -> dict[str, Any]:
    while True:
        described = sagemaker.describe_endpoint(EndpointName=name)
        if described["EndpointStatus"] not in endpoint_record.IN_PROGRESS:
            return described
        time.sleep(0.02)


def gone(sagemaker: LocalSageMaker, name: str = "e") -> bool:
    try:
        sagemaker.describe_endpoint(EndpointName=name)
    except ServiceError:
        return True
    return False


def ask(sagemaker: LocalSageMaker, body: bytes = b"?", name: str = "e", **request: Any) -> str:
    return str(sagemaker.invoke_endpoint(EndpointName=name, Body=body, **request)["Body"].read().decode())


def running(sagemaker: LocalSageMaker, name: str = "e") -> endpoint.Host:
    """Its server, once it is ready."""
    return endpoint.start(sagemaker.store, name)


def instances(sagemaker: LocalSageMaker, name: str = "e") -> list[int]:
    """Process ids of those that serve."""
    return [each["pid"] for each in running(sagemaker, name).instances if each["up"]]


def processes(sagemaker: LocalSageMaker) -> list[str]:
    """Command lines that name this home or the stub beside it."""
    return naming(os.path.dirname(sagemaker.home))


def soon(condition: Callable[[], Any]) -> bool:
    """Within two minutes: what is busy elsewhere may keep it so long."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.02)
    return False


class Load:
    """Callers that ask again and again, until the block ends; what they got."""

    def __init__(self, sagemaker: LocalSageMaker, callers: int = 4, name: str = "e", pause_s: float = 0.0) -> None:
        self.answers: list[str] = []
        self.errors: list[str] = []
        self._home, self._name, self._pause_s = sagemaker.home, name, pause_s
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._call) for _ in range(callers)]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _call(self) -> None:
        sagemaker = connect(self._home)
        while not self._over.wait(self._pause_s):
            try:
                self.answers.append(ask(sagemaker, name=self._name))
            except ServiceError as exc:
                self.errors.append(exc.message)
