"""What AWS's Ray Serve image imports from the root of the model archive: the service of serve.py behind Ray's proxy.

The image starts Ray, puts the unpacked archive on Python's path, and runs config.yaml beside this file, which names
`build`. https://aws.github.io/deep-learning-containers/ray/deployment/sagemaker/
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import ray
from ray import serve
from starlette.requests import Request
from starlette.responses import Response

if TYPE_CHECKING:
    from ray.serve import Application
    from serving.service import Service

ARCHIVE = Path(__file__).parent
QUEUE = 1024  # requests that Ray hands on at once: our own limit is lower, and its answer says what to do


@serve.deployment(max_ongoing_requests=QUEUE)
class Classifier:
    """One model on one device."""

    def __init__(self) -> None:
        self.service = _loaded()

    async def __call__(self, request: Request) -> Response:
        from serving.answering import answered

        return await answered(request, self.service)

    def check_health(self) -> None:
        """Called by Ray, which starts a replica anew when it raises."""
        if self.service.state != "ready":
            raise RuntimeError(self.service.reason)


def build(_: dict[str, str]) -> Application:
    """One replica a GPU, or a single one with all processors: Ray gives a replica what it asks for, and no more."""
    there = ray.cluster_resources()
    gpus, cpus = int(there.get("GPU", 0)), int(there.get("CPU", 1))
    replicas = max(1, gpus)
    asked = {"num_gpus": min(1, gpus), "num_cpus": max(1, cpus // replicas)}
    return Classifier.options(num_replicas=replicas, ray_actor_options=asked).bind()


def _loaded() -> Service:
    """Raises RuntimeError where the model cannot be served: Ray then says so of the whole application."""
    sys.path.insert(0, str(ARCHIVE / "code"))
    from serving import settings
    from serving.service import READY, Service

    service = Service(settings.read({**os.environ, "SM_MODEL_DIR": str(ARCHIVE)}))
    service.load()
    if service.state != READY:
        raise RuntimeError(service.reason)
    return service
