"""A client of boto3 whose operations raise darkroom's errors, and say after how many attempts; for many threads."""

from __future__ import annotations

import threading
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
        self._making = threading.Lock()
        self._own = threading.local()  # `sent`: attempts of the call that this thread makes
        self._elsewhere = 0  # attempts of what boto3 sends from threads of its own: parts of a file, of one at a time

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
        with self._making:
            if self._made is None:
                made = self._make(self._about.service)
                made.meta.events.register("before-call", self._begins)
                made.meta.events.register("before-send", self._is_sent)
                self._made = made
            return self._made

    @contextmanager
    def translating(self, operation: str, resource: str = "") -> Iterator[None]:
        """What boto3 raises within the block comes out as an error of darkroom's."""
        self._own.sent = self._elsewhere = 0
        try:
            yield
        except (BotoCoreError, ClientError, *UNREADABLE) as exc:
            attempts = max(1, self._own.sent or self._elsewhere)
            about = self._about._replace(operation=operation, resource=resource, attempts=attempts)
            raise translated(exc, about) from exc

    def _begins(self, **_: Any) -> None:
        if self._is_own():
            self._own.sent = 0
        else:
            self._elsewhere = 0

    def _is_sent(self, **_: Any) -> None:
        if self._is_own():
            self._own.sent += 1
        else:
            self._elsewhere += 1

    def _is_own(self) -> bool:
        """Whether this thread makes calls itself; boto3's own threads, of which each transfer has new ones, do not."""
        return hasattr(self._own, "sent")
