"""What every test begins with: an environment that says nothing of this machine."""

from __future__ import annotations

import gc
import os
import sys
import tempfile
from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING, Any

import botocore.session
import pytest
from botocore.loaders import JSONFileLoader
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from pipeline.local.server import LoopbackServer

# One thread a process: the tests of a whole pipeline run several at once on few cores.
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["OPENBLAS_NUM_THREADS"] = "1"
for name in [name for name in os.environ if name.startswith(("DARKROOM_", "AWS_", "SAGEMAKER_", "SM_"))]:
    del os.environ[name]
os.environ["AWS_EC2_METADATA_DISABLED"] = "true"
# The same examples each time, and no time that they may take, so that a red build is about the change and not about
# what else the machine does; HYPOTHESIS_PROFILE=default looks for new ones.
settings.register_profile("repeatable", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))

# Collecting makes millions of objects that stay, of modules above all: without the garbage collector 11 s of CPU time
# instead of 16 (six files, Python 3.11, n=2 each).
gc.disable()

# botocore parses a service's model once a session, after a look at the folders of all; nearly every test over HTTP
# opens several.
_model = cache(JSONFileLoader().load_file)
JSONFileLoader.load_file = lambda _, path: _model(path)
botocore.session.create_loader = cache(botocore.session.create_loader)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests come first: begun last, one of them would keep one process busy while the others wait."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


def pytest_collection_finish() -> None:
    gc.enable()


@pytest.fixture(scope="session", autouse=True)
def temporary_files(tmp_path_factory: pytest.TempPathFactory) -> None:
    """What programs leave in the temporary folder, killed ones above all, goes with the folders of the tests."""
    os.environ["TMPDIR"] = str(tmp_path_factory.mktemp("tmp", numbered=False))
    tempfile.tempdir = None


@pytest.fixture(autouse=True)
def no_neighbours() -> Iterator[None]:
    """What lay beside a network of one test is no part of what the next one trains."""
    yield
    if "neighbours" in sys.modules:
        sys.modules["neighbours"].forget()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LoopbackServer]:
    """The local service over HTTP."""
    from pipeline.local.server import serve

    running = serve(str(tmp_path_factory.mktemp("home")))
    yield running
    running.shutdown()
    running.server_close()


@pytest.fixture(scope="module")
def shared_s3(server: LoopbackServer) -> Any:
    from over_http import client

    return client(server, "s3")


@pytest.fixture
def s3(shared_s3: Any) -> Any:
    """With an empty bucket."""
    shared_s3.create_bucket(Bucket="bucket")
    for page in shared_s3.get_paginator("list_objects_v2").paginate(Bucket="bucket"):
        for entry in page.get("Contents", ()):
            shared_s3.delete_object(Bucket="bucket", Key=entry["Key"])
    shared_s3.create_bucket(Bucket="bucket")
    return shared_s3
