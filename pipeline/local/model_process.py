"""One model server: the image's command on a private /opt/ml tree with the model unpacked, behind a loopback port."""

from __future__ import annotations

import os
import shutil
import time

from pipeline.errors import DarkroomError, EndpointError, ServiceError
from pipeline.local import images, names
from pipeline.local.container import Spec, base_environment, stop
from pipeline.local.endpoint_traffic import check_free, free_port
from pipeline.local.jobs import JobFailed
from pipeline.local.jobs.archive import unpack

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from pipeline.local.container import Process
    from pipeline.local.isolation import Isolation
    from pipeline.local.loop import Loop
    from pipeline.local.storage import Storage
    from pipeline.local.store import Store

STARTUP_S = 240  # SageMaker's, unless ContainerStartupHealthCheckTimeoutInSeconds says otherwise
DRAIN_S = 30.0  # between SIGTERM and SIGKILL
_PING_S = 2.0
_LOOK_S = 0.05
_CODE = "/opt/ml/model/code"
_FAILED = b"the model failed to load"  # serve.py on /ping, when waiting longer cannot help


class ModelProcess:
    """`variant` is a production variant with its containers; `port` 0 is a free one. May be started again and again."""

    def __init__(
        self, store: Store, isolation: Isolation, loop: Loop, variant: dict[str, Any], folder: str, log: str, port: int
    ) -> None:
        self.name: str = variant["VariantName"]
        self.weight: float = variant.get("InitialVariantWeight", 1.0)
        self.port = port or free_port()
        self._startup_s = variant.get("ContainerStartupHealthCheckTimeoutInSeconds", STARTUP_S)
        self._container: dict[str, Any] = variant["containers"][0]
        self._store = store
        self._isolation = isolation
        self._loop = loop
        self._folder = folder
        self._log = log
        self._process: Process | None = None
        self._started = 0.0

    @property
    def pid(self) -> int:
        """0 while it does not run."""
        return self._process.pid if self._process else 0

    @property
    def age(self) -> float:
        """Seconds since it was last started."""
        return time.monotonic() - self._started

    async def start(self, storage: Storage, given_up: Callable[[], bool]) -> None:
        """Returns when /ping is green, or `given_up()` says that nobody waits any more. Raises EndpointError."""
        self._unpack(storage)
        check_free(self.port)
        self._started = time.monotonic()
        self._process = self._isolation.launch(self._spec())
        while not given_up():
            code = await self.exit_code()
            if code is not None:
                raise EndpointError(f"its model server ended with exit code {code} before it answered /ping")
            if _ping(self.port):
                return
            if self.age > self._startup_s:
                raise EndpointError(f"/ping was not answered with 200 within {self._startup_s} s")
            await self._loop.sleep(_LOOK_S)

    async def exit_code(self) -> int | None:
        """None while it runs. Raises EndpointError when the program could not even be started."""
        if self._process is None:
            return None
        code = await self._loop.exit_of(self._process.pid, 0.0)
        if code is not None:
            problem = self._process.finish()
            self._process = None
            if problem:
                raise EndpointError(problem)
        return code

    async def stop(self) -> None:
        if self._process is not None:
            await stop(self._process, self._loop, DRAIN_S)
            self._process.finish()
            self._process = None
        shutil.rmtree(self._folder, ignore_errors=True)

    def _spec(self) -> Spec:
        try:
            image = images.command_for(self._store, self._container["Image"])
        except DarkroomError as exc:
            raise EndpointError(exc.message, exc.hint) from exc
        given = self._container.get("Environment", {})
        code = given.get("SAGEMAKER_SUBMIT_DIRECTORY", _CODE)
        env = {
            **base_environment(self._folder),
            "AWS_REGION": names.REGION,
            "AWS_DEFAULT_REGION": names.REGION,
            **given,
            "SM_MODEL_DIR": "/opt/ml/model",
            "SAGEMAKER_BIND_TO_PORT": str(self.port),
            "DARKROOM_BIND": "127.0.0.1",
        }
        # a bare Python stands for an image with our serve.py: the archive brings the program along
        default = [f"{code}/serve.py", "serve"] if image.is_python else ["serve"]
        tree = os.path.join(self._folder, "ml")
        return Spec(image.argv([], [], default), image.environment(env), tree, self._log, image=image.uri)

    def _unpack(self, storage: Storage) -> None:
        """A fresh /opt/ml/model each time: a crashed server may have written into it."""
        shutil.rmtree(self._folder, ignore_errors=True)
        model = os.path.join(self._folder, "ml", "model")
        os.makedirs(model)
        source = self._container.get("ModelDataSource", {}).get("S3DataSource", {})
        address = self._container.get("ModelDataUrl") or source.get("S3Uri", "")
        try:
            if source.get("CompressionType") == "None":
                storage.download(address, model)
            elif address:
                if not storage.exists(address):
                    raise EndpointError(f"its model archive {address} is gone", "deploy a newer model version")
                unpack(storage.path(address), model, address)
        except (JobFailed, ServiceError) as exc:
            raise EndpointError(exc.message, exc.hint) from exc


def _ping(port: int) -> bool:
    """Raises EndpointError when the server says that it will never be ready."""
    from http.client import HTTPConnection, HTTPException

    connection = HTTPConnection("127.0.0.1", port, timeout=_PING_S)
    try:
        connection.request("GET", "/ping")
        answer = connection.getresponse()
        body = answer.read()
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()
    if _FAILED in body:
        raise EndpointError("the model failed to load")
    return answer.status == 200
