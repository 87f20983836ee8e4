"""What has to be told to this machine alone: objects in S3, code of functions, stand-ins for images, ports to serve on.

On AWS the upload, CloudFormation and the container registry do this; here this is the one place for it.
"""

from __future__ import annotations

import os
import sys

from pipeline.control.deployments import MARK, PHASE, REST
from pipeline.errors import DarkroomError
from pipeline.local import endpoint, event_rules
from pipeline.local.endpoint_files import Files
from pipeline.local.functions import register_function
from pipeline.local.images import register_image

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from pipeline.client import Clients
    from pipeline.compile import CompiledOnDisk
    from pipeline.local.server import LoopbackServer


DEPLOYING = "lambda_deploy"  # the program whose function hears of endpoints' changes


def put(clients: Clients, compiled: CompiledOnDisk) -> None:
    """Assets are named by their content: what is there already is right already."""
    for uri, path in compiled.assets():
        if not clients.storage.exists(uri):
            clients.storage.put_file(uri, path)
    store = clients.sagemaker.store
    for arn, path, handler in compiled.functions():
        register_function(store, arn, path, handler)
        if handler == f"{DEPLOYING}.handler":
            _have_told(clients, arn)
    for uri in compiled.manifest["images"]:
        register_image(store, uri, [sys.executable])


def register(clients: Clients, images: Iterable[tuple[str, str]], functions: Iterable[tuple[str, str]]) -> None:
    """The user's own words: (URI pattern, command) and (ARN, archive or folder)."""
    store = clients.sagemaker.store
    for pattern, command in images:
        register_image(store, pattern, command)
    for arn, path in functions:
        register_function(store, arn, os.path.expanduser(path))


def put_deploying(clients: Clients, arn: str, entrypoints: str) -> None:
    """The deploying function out of this folder, as the stack would bring it, and who tells it of changes."""
    import tempfile
    from pathlib import Path

    from pipeline import source

    body = source.zip_archive(source.program_files(Path(entrypoints), f"{DEPLOYING}.py"))
    with tempfile.NamedTemporaryFile(suffix=".zip") as file:
        file.write(body)
        file.flush()
        register_function(clients.sagemaker.store, arn, file.name, f"{DEPLOYING}.handler")
    _have_told(clients, arn)


def _have_told(clients: Clients, arn: str) -> None:
    """The rule EndpointChange of the stack: endpoints that the function has marked as its own."""
    event_rules.put(clients.sagemaker.store, event_rules.Rule(arn, MARK, PHASE, REST, event_rules.EVERY_S))


def serve(clients: Clients, name: str, port: int = 0) -> str:
    """Keeps the endpoint's server running until it is undeployed; returns its address. Port 0: a free one."""
    return _address(endpoint.start(clients.sagemaker.store, name, keep=True, port=port).port)


def http_server(home: str, port: int) -> LoopbackServer:
    """The local service for boto3, the AWS CLI and the SDK; call serve_forever(). Port 0: a free one."""
    from pipeline.local.server import LoopbackServer

    try:
        return LoopbackServer(home, port)
    except OSError as exc:
        why = f"cannot serve on port {port}: {exc.strerror or exc}"
        hint = "another darkroom local may be using it already; --port takes another one, --port 0 a free one"
        raise DarkroomError(why, hint) from exc


def address(clients: Clients, name: str) -> str:
    """Of the endpoint's server; empty while it sleeps."""
    host = endpoint.find(clients.sagemaker.store, name)
    return _address(host.port) if host else ""


def log_path(clients: Clients, name: str) -> str:
    """What the endpoint's server wrote; empty if it never started."""
    path = Files(clients.home, name).log
    return path if os.path.isfile(path) else ""


def _address(port: int) -> str:
    return f"http://127.0.0.1:{port}"
