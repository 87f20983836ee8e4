"""A client of boto3 whose operations raise darkroom's errors, and say after how many attempts."""

from __future__ import annotations

from contextlib import contextmanager
from functools import partial

from botocore.exceptions import BotoCoreError, ClientError

from pipeline.aws.errors import UNREADABLE, Call, translated

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any


class Calls:
    """Named and shaped as boto3's client, which is made when something is asked of it first: that takes 0.1 s each."""

    def __init__(self, service: str, make: Callable[[str], Any], region: str = "", profile: str = "") -> None:
        self._about = Call(service, region=region, profile=profile)
        self._make = make
        self._made: Any = None
        self._sent = 0

    def __getattr__(self, name: str) -> Callable[..., Any]:
        return partial(self.ask, name)

    def ask(self, method: str, resource: str = "", **request: Any) -> Any:
        """`resource`: the ARN of what is asked for, where an AccessDenied may not name it."""
        with self.translating(method.title().replace("_", ""), resource):
            answer = getattr(self.client(), method)(**request)
        if isinstance(answer, dict):
            answer.pop("ResponseMetadata", None)  # how it travelled is no part of what was answered
        return answer

    def client(self) -> Any:
        """boto3's own. Whoever calls it does so within `translating`."""
        if self._made is None:
            self._made = self._make(self._about.service)
            self._made.meta.events.register("before-call", self._begins)
            self._made.meta.events.register("before-send", self._is_sent)
        return self._made

    @contextmanager
    def translating(self, operation: str, resource: str = "") -> Iterator[None]:
        """What boto3 raises within the block comes out as an error of darkroom's."""
        self._sent = 0
        try:
            yield
        except (BotoCoreError, ClientError, *UNREADABLE) as exc:
            about = self._about._replace(operation=operation, resource=resource, attempts=max(1, self._sent))
            raise translated(exc, about) from exc

    def _begins(self, **_: Any) -> None:
        self._sent = 0

    def _is_sent(self, **_: Any) -> None:
        self._sent += 1
