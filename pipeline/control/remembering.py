"""Clients that ask the service for each thing once: for a page or a text that shows one moment of an execution."""

from __future__ import annotations

from functools import partial

from pipeline.control import archived
from pipeline.errors import StorageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from pipeline.client import Clients

READS = ("describe_", "list_")


def remembering(clients: Clients) -> Clients:
    """A definition, a job's description and the archive of its outputs are each looked at in several places.

    Answers are handed out as they are: who gets one does not change it.
    """
    service, storage = _Service(clients.sagemaker), _Storage(clients.storage)
    return clients._replace(sagemaker=service, storage=storage)


class _Service:
    def __init__(self, service: Any) -> None:
        self._service = service
        self._answers: dict[tuple[Any, ...], Any] = {}

    def __getattr__(self, name: str) -> Callable[..., Any]:
        operation: Callable[..., Any] = getattr(self._service, name)
        return partial(self._ask, operation, name) if name.startswith(READS) else operation

    def _ask(self, operation: Callable[..., Any], name: str, **request: Any) -> Any:
        key = (name, *sorted(request.items()))
        if key not in self._answers:
            self._answers[key] = operation(**request)
        return self._answers[key]


class _Storage:
    """Of objects, archives alone are kept: what else is read twice is small."""

    def __init__(self, storage: Any) -> None:
        self._storage = storage
        self._archives: dict[str, bytes] = {}
        self._refused: dict[str, tuple[int, StorageError]] = {}  # those that are too large, with the most asked for

    def __getattr__(self, name: str) -> Any:
        return getattr(self._storage, name)

    def get_bytes(self, uri: str, most: int = 0) -> bytes:
        """As storage has it: what was asked for before makes no difference."""
        if not uri.endswith(f"/{archived.NAME}"):
            return bytes(self._storage.get_bytes(uri, most))
        before, error = self._refused.get(uri, (0, None))
        if error is not None and 0 < most <= before:
            raise error
        if uri not in self._archives:
            try:
                self._archives[uri] = self._storage.get_bytes(uri, most)
            except StorageError as exc:
                self._refused[uri] = most, exc
                raise
        if 0 < most < len(self._archives[uri]):
            raise StorageError(f"{uri} has more than {most:,} bytes")
        return self._archives[uri]
