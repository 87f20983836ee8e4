"""The account that is looked at: boto3's clients, whose it is, what was made in it and has to go again."""

from __future__ import annotations

import json
import secrets
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from urllib.parse import urlsplit

import boto3
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from pipeline.client import INVOKING
from pipeline.config import Config as Pipeline

PREFIX = "darkroom-smoke-"  # of everything that is made here; nothing else is ever deleted
NOBODY = "111122223333"


class Refused(Exception):
    """Ends the command before anything is asked of the account."""


@dataclass(frozen=True)
class Options:
    """`execution`: an id, an ARN or `last`; `seconds`: how long a check waits for what it began."""

    region: str = ""
    profile: str = ""
    execution: str = "last"
    endpoint: str = ""
    stack: str = ""
    seconds: float = 180.0


class Account:
    """`tell` prints a line of what is done. Everything asked of AWS goes through `ask`."""

    def __init__(
        self, pipeline: Pipeline, options: Options, tell: Callable[[str], None], session: boto3.Session | None = None
    ) -> None:
        self.pipeline, self.options, self.tell = pipeline, options, tell
        self.undo = ExitStack()
        self.session = session or boto3.Session(
            profile_name=options.profile or None, region_name=options.region or pipeline.pipeline.region
        )
        self._clients: dict[str, Any] = {}

    @property
    def region(self) -> str:
        return str(self.session.region_name)

    def client(self, service: str) -> Any:
        if service not in self._clients:
            more = INVOKING if service == "lambda" else {}  # as darkroom's own client has it
            self._clients[service] = self.session.client(service, config=Config(retries={"mode": "standard"}, **more))
        return self._clients[service]

    def ask(self, service: str, operation: str, **request: Any) -> Any:
        """Raises botocore's ClientError, whose code is AWS's own."""
        return getattr(self.client(service), operation)(**request)

    def pages(self, service: str, operation: str, key: str, **request: Any) -> Iterator[dict[str, Any]]:
        """Of operations that page by NextToken."""
        answer = self.ask(service, operation, **request)
        yield from answer[key]
        while answer.get("NextToken"):
            answer = self.ask(service, operation, **request, NextToken=answer["NextToken"])
            yield from answer[key]

    def refusal(self, service: str, operation: str, **request: Any) -> tuple[str, str]:
        """Code and message of the error that this call ends with; ("", "") where it was done."""
        try:
            self.ask(service, operation, **request)
        except ClientError as exc:
            return str(exc.response["Error"]["Code"]), str(exc.response["Error"].get("Message", ""))
        return "", ""

    def raw(self, target: str, body: str) -> tuple[int, dict[str, Any]]:
        """A signed request to SageMaker that boto3 would not send; status and answer."""
        url = str(self.client("sagemaker").meta.endpoint_url)
        headers = {"Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": target, "Host": urlsplit(url).netloc}
        request = AWSRequest("POST", f"{url.rstrip('/')}/", headers, body.encode())
        SigV4Auth(self.session.get_credentials(), "sagemaker", self.region).add_auth(request)
        sent = urllib.request.Request(request.url, request.body, dict(request.headers), method="POST")
        try:
            with urllib.request.urlopen(sent, timeout=30) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as exc:
            with exc:
                return exc.code, json.load(exc)

    @cached_property
    def identity(self) -> dict[str, str]:
        return dict(self.ask("sts", "get_caller_identity"))

    @property
    def is_local(self) -> bool:
        return urlsplit(str(self.client("sagemaker").meta.endpoint_url)).hostname in ("127.0.0.1", "localhost", "::1")

    def check(self) -> None:
        """Raises Refused for the placeholder's account, and for another one than pipeline.yaml's."""
        found, named = self.identity["Account"], self.pipeline.pipeline.account
        if self.is_local:
            self.tell("a service on this machine answers: what it confirms is no proof of AWS")
        elif NOBODY in (found, named):
            raise Refused(f"account {NOBODY} is nobody's: set pipeline.account in pipeline.yaml")
        elif found != named:
            raise Refused(f"these credentials are of account {found}, pipeline.yaml names {named}")

    # what is made

    @staticmethod
    def name() -> str:
        return f"{PREFIX}{secrets.token_hex(4)}"

    @staticmethod
    def token() -> str:
        return secrets.token_hex(16)

    def later(self, words: str, undo: Callable[[], Any]) -> None:
        """Takes away what was made, whatever happens in between; the last one first."""

        def away() -> None:
            self.tell(f"deletes {words}")
            try:
                undo()
            except (ClientError, BotoCoreError) as exc:
                self.tell(f"could not: delete {words} by hand. {exc}")

        self.undo.callback(away)

    def until(self, done: Callable[[], bool], pause: float = 2.0) -> bool:
        """Whether it came about within the time that there is."""
        deadline = time.monotonic() + self.options.seconds
        while not done():
            if time.monotonic() > deadline:
                return False
            time.sleep(0.02 if self.is_local else pause)
        return True
