"""One client of boto3 for all threads, as the studio has it: nothing of one call gets into another one."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ConnectionClosedError

from pipeline.aws.calls import Calls
from pipeline.client import aws_client
from pipeline.errors import Unavailable

WAIT_S = 60


class Boto:
    """A client of boto3: one operation is sent three times, and lost while another one is answered at once."""

    def __init__(self) -> None:
        self.handlers: dict[str, Callable[[], None]] = {}
        self.meta = SimpleNamespace(events=SimpleNamespace(register=self.handlers.__setitem__))
        self.sent, self.answered = threading.Event(), threading.Event()

    def list_pipelines(self) -> None:
        self._send(3)
        self.sent.set()
        assert self.answered.wait(WAIT_S)
        raise ConnectionClosedError(endpoint_url="https://nowhere")

    def list_models(self) -> dict[str, Any]:
        self._send(1)
        return {"Models": [], "ResponseMetadata": {}}

    def _send(self, times: int) -> None:
        self.handlers["before-call"]()
        for _ in range(times):
            self.handlers["before-send"]()


def test_attempts_are_counted_for_the_thread_that_makes_them() -> None:
    boto = Boto()
    calls = Calls("sagemaker", lambda _: boto)
    with ThreadPoolExecutor(1) as threads:
        lost = threads.submit(calls.ask, "list_pipelines")
        assert boto.sent.wait(WAIT_S)
        assert calls.ask("list_models") == {"Models": []}
        boto.answered.set()
    with pytest.raises(Unavailable, match="tried 3 times"):
        lost.result()


def test_what_boto3_sends_from_threads_of_its_own_is_counted_too() -> None:
    """As s3transfer does for each file."""
    boto = Boto()
    calls = Calls("s3", lambda _: boto)
    boto.answered.set()
    calls.client()

    def upload() -> None:
        with ThreadPoolExecutor(1) as threads:
            threads.submit(boto.list_pipelines).result()

    with pytest.raises(Unavailable, match="tried 3 times"), calls.translating("PutObject"):
        upload()


class Session:
    """Of boto3, which makes one client at a time."""

    region_name = "us-east-1"

    def __init__(self) -> None:
        self.made: list[str] = []
        self._making = threading.Lock()

    def client(self, service: str, **_: Any) -> Boto:
        assert self._making.acquire(blocking=False), "two at once"
        time.sleep(0.05)
        self.made.append(service)
        self._making.release()
        return Boto()


def test_threads_make_each_client_once_and_one_after_the_other() -> None:
    session = Session()
    clients = aws_client("nowhere", session=session)
    with ThreadPoolExecutor(4) as threads:
        asked = [threads.submit(each.ask, "list_models") for each in (clients.sagemaker, clients.runtime) * 2]
        assert [each.result() for each in asked] == [{"Models": []}] * 4
    assert sorted(session.made) == ["sagemaker", "sagemaker-runtime"]
