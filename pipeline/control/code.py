"""The code that a definition names, in S3: named by its content, so what is there already is right already."""

from __future__ import annotations

import re

from pipeline.content import sha256
from pipeline.errors import DarkroomError
from pipeline.wording import listed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pipeline.client import Clients

_PROGRAM = re.compile(r"(s3://.*?/)code/[^/]+/")  # where one program's files lie


def put(clients: Clients, assets: Iterable[tuple[str, str]]) -> int:
    """(address, file) of each object; returns how many were not there. One that is interrupted goes on where it was."""
    files = dict(assets)
    missing = absent(clients, files)
    for uri in missing:
        clients.storage.put_file(uri, files[uri])
    return len(missing)


def put_planned(clients: Clients, planned: Iterable[tuple[str, str]], here: Mapping[str, str]) -> int:
    """(address, SHA-256) of what a plan names, from the files of `here`. Raises DarkroomError for what is nowhere."""
    digests = dict(planned)
    missing = absent(clients, digests)
    lost = [uri for uri in missing if uri not in here or sha256(here[uri]) != digests[uri]]
    if lost:
        raise DarkroomError(
            f"the plan names code that is neither in S3 nor here: {listed(lost, 1)}",
            "check out what the plan was made from, or make a new one: darkroom plan -o FILE",
        )
    return put(clients, [(uri, here[uri]) for uri in missing])


def absent(clients: Clients, addresses: Iterable[str]) -> list[str]:
    """Those without an object. A program's folder is listed once: it holds a hundred files."""
    wanted = list(addresses)
    folders = tuple({found[0] for uri in wanted if (found := _PROGRAM.match(uri))})
    present = {entry.uri for folder in folders for entry in clients.storage.list(folder)}
    return [
        uri for uri in wanted if uri not in present and (uri.startswith(folders) or not clients.storage.exists(uri))
    ]


def place(addresses: Iterable[str]) -> str:
    """s3://bucket/prefix/, below which the code lies; empty where no address tells."""
    return next((found[1] for uri in addresses if (found := _PROGRAM.match(uri))), "")
