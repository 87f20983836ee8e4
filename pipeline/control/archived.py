"""What a training job left in output.tar.gz, read in memory, so that no name in it can lead anywhere."""

from __future__ import annotations

import io
import json

from pipeline.control import outcome
from pipeline.errors import ServiceError, StorageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import Any

    from pipeline.client import Clients

NAME = "output.tar.gz"
PACKED = 256 << 20  # bytes of an archive that is fetched: all of it is in memory. Darkroom's own jobs leave a few MB
LARGEST = 4 << 30  # bytes that are unpacked in search of a file; darkroom's own jobs stay far below


class Torn(Exception):
    """The archive ends early, or is none; the text says which."""


def address(clients: Clients, step: dict[str, Any]) -> str:
    """It lies beside model.tar.gz; empty while a training step has no job, or its job no result."""
    job = outcome.training_job(clients, step)
    model = str((job.get("ModelArtifacts") or {}).get("S3ModelArtifacts", ""))
    return f"{model.rpartition('/')[0]}/{NAME}" if model else ""


def files(
    clients: Clients, uri: str, wanted: Callable[[str, int], bool], most: int = LARGEST, packed: int = PACKED
) -> Iterator[tuple[str, bytes]]:
    """(path, content) of each file of the archive that is `wanted` by its path and size; `most` bytes are unpacked.

    Raises ServiceError (NoSuchKey where there is none, be it that `uri` is empty), Torn; StorageError for an archive of
    more than `packed` bytes.
    """
    if not uri:
        raise ServiceError("NoSuchKey", f"the job left no {NAME}")
    import tarfile
    import zlib

    body, left = clients.storage.get_bytes(uri, packed), most
    try:
        with tarfile.open(fileobj=io.BytesIO(body), mode="r:gz") as archive:
            for member in archive:
                left -= member.size
                if left < 0:
                    raise Torn(f"{NAME} unpacks to more than {most:,} bytes")
                name = member.name.removeprefix("./")
                if member.isreg() and wanted(name, member.size) and (file := archive.extractfile(member)):
                    yield name, file.read()
    except (tarfile.TarError, zlib.error, EOFError, OSError, ValueError, OverflowError, RecursionError) as exc:
        raise Torn(f"{NAME} cannot be read: {exc}") from exc


def beside_checkpoint(clients: Clients, job: Mapping[str, Any], name: str, most: int) -> bytes | None:
    """A JSON file that a training which did not end well left below its checkpoint: SageMaker may keep no output of it.

    None where there is none of this very job, which it names: the jobs of a pipeline share the address.
    """
    address = (job.get("CheckpointConfig") or {}).get("S3Uri")
    if not address:
        return None
    try:
        body = clients.storage.get_bytes(f"{address.rstrip('/')}/{name}", most)
        content = json.loads(body)
    except (ServiceError, StorageError, ValueError, RecursionError):
        return None  # that the job failed says more
    mine = isinstance(content, dict) and content.get("job") == job.get("TrainingJobName")
    return body if mine else None
