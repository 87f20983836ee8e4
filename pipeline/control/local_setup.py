"""What this machine needs before it can run a pipeline: objects in S3, code of functions, stand-ins for images.

On AWS the upload, CloudFormation and the container registry do this; here this is the one place for it.
"""

from __future__ import annotations

import os
import sys

from pipeline.local.functions import register_function
from pipeline.local.images import register_image

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from pipeline.client import Clients
    from pipeline.compile import CompiledOnDisk


def put(clients: Clients, compiled: CompiledOnDisk) -> None:
    """Assets are named by their content: what is there already is right already."""
    for uri, path in compiled.assets():
        if not clients.storage.exists(uri):
            clients.storage.put_file(uri, path)
    store = clients.sagemaker.store
    for arn, path, handler in compiled.functions():
        register_function(store, arn, path, handler)
    for uri in compiled.manifest["images"]:
        register_image(store, uri, [sys.executable])


def register(clients: Clients, images: Iterable[tuple[str, str]], functions: Iterable[tuple[str, str]]) -> None:
    """The user's own words: (URI pattern, command) and (ARN, archive or folder)."""
    store = clients.sagemaker.store
    for pattern, command in images:
        register_image(store, pattern, command)
    for arn, path in functions:
        register_function(store, arn, os.path.expanduser(path))
