"""The one place where clients are made; everything above it cannot tell this machine from AWS.

A client answers as boto3's does and raises errors.ServiceError, whose codes are AWS's own on both sides.
"""

from __future__ import annotations

import os
import time
from collections import namedtuple
from contextlib import contextmanager

from pipeline.local import logs as local_logs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

PAGE = 100  # the most that any List operation takes
# for definitions that come without one; the account is nobody's
ROLE = "arn:aws:iam::111122223333:role/darkroom-pipeline"

# sagemaker: boto3's "sagemaker" methods · runtime: invoke_endpoint · storage: exists, get_bytes, put_bytes, put_file,
# tag, blocks, list over whole s3:// addresses
# home: the folder for what belongs to this machine alone (reports, digests)
# pause(seconds): until the next look at something; shorter where the service can tell that there is something to see
# logs: paths(step), read(path, last), end(path, most), after(path, position), fresh(path, position, most)
# role: of pipelines that come without one
# region: of AWS; "" on this machine, where all that runs is its user's
# options: what the commands that are typed next have to end in, so that they lead there, too
_Clients = namedtuple(
    "_Clients",
    "sagemaker runtime storage home pause logs role region options",
    defaults=(time.sleep, local_logs, ROLE, "", ""),
)


class Clients(_Clients):
    __slots__ = ()

    @property
    def place(self) -> str:
        """As sentences end: " in us-east-1"; empty on this machine."""
        return f" in {self.region}" if self.region else ""


# scaling, alarms, metrics, functions: boto3's "application-autoscaling", "cloudwatch" twice, and "lambda" methods
Hosting = namedtuple("Hosting", "sagemaker scaling alarms metrics functions")
AWS_PAUSE, AWS_LONGEST_PAUSE_S = 20, 5.0  # times as long as here: the Describe operations of an account are throttled
FUNCTION_SECONDS = 480  # that the stack gives the deploying function: golden pictures are asked within a call
# Whoever calls it hears its answer: given up after boto3's 60 seconds, a call is sent again while the first one runs.
# A silent connection is kept alive: AWS's NAT gateways end one after 350 seconds.
INVOKING = {"read_timeout": FUNCTION_SECONDS + 30, "tcp_keepalive": True}
AWS_ATTEMPTS = 8  # of every call; with botocore's pauses about a minute where it is throttled, else 6 seconds


def local_client(home: str) -> Clients:
    """SageMaker on this machine, its state below `home`, which is made where missing."""
    from pipeline.local.service import connect

    service = connect(home)
    return Clients(service, service, service.storage, home, service.ending.pause)


@contextmanager
def local_session(home: str) -> Iterator[Clients]:
    """local_client() for one piece of work on one thread of a server; behind it nothing of it is open."""
    clients = local_client(home)
    try:
        yield clients
    finally:
        clients.sagemaker.ending.follow(None)
        clients.sagemaker.store.close()


def local_hosting(home: str) -> Hosting:
    """What runs behind endpoints of this machine."""
    from pipeline.local.operations.alarms import Alarms
    from pipeline.local.operations.functions import Functions
    from pipeline.local.operations.scaling import Scaling
    from pipeline.local.service import connect

    service = connect(home)
    scaling, alarms, functions = (kind(service.store, service.storage) for kind in (Scaling, Alarms, Functions))
    return Hosting(service, scaling, alarms, alarms, functions)


@contextmanager
def hosting_session(home: str) -> Iterator[Hosting]:
    """local_hosting(), likewise."""
    hosting = local_hosting(home)
    try:
        yield hosting
    finally:
        hosting.sagemaker.store.close()


def aws_hosting(region: str = "", profile: str = "", session: Any = None) -> Hosting:
    """Otherwise as aws_client()."""
    service, _ = aws_services(region, profile, session)
    metrics = service("cloudwatch")
    return Hosting(service("sagemaker"), service("application-autoscaling"), metrics, metrics, service("lambda"))


def aws_client(home: str, region: str = "", profile: str = "", options: str = "", session: Any = None) -> Clients:
    """SageMaker of an AWS account; `home` keeps what belongs to this machine alone.

    AWS_ENDPOINT_URL leads all of it elsewhere. Without `region`: AWS_REGION, AWS_DEFAULT_REGION, the profile's.
    `session`: of boto3, in place of the profile's.
    Raises ServiceError where there is no such profile, or no region.
    """
    from pipeline.aws.calls import Calls
    from pipeline.aws.logs import CloudWatch
    from pipeline.aws.storage import Storage

    make, region = _session(region, profile, session)
    sagemaker, runtime, s3, logs = (
        Calls(service, make, region, profile) for service in ("sagemaker", "sagemaker-runtime", "s3", "logs")
    )
    patience = time.sleep if _stands_in() else aws_pause
    return Clients(sagemaker, runtime, Storage(s3), home, patience, CloudWatch(logs), "", region, options)


def aws_services(region: str = "", profile: str = "", session: Any = None) -> tuple[Callable[[str], Any], str]:
    """Every service of an AWS account, by boto3's name of it, and the region; otherwise as aws_client().

    What it makes is remembered: one client for each service.
    """
    from functools import cache

    from pipeline.aws.calls import Calls

    make, region = _session(region, profile, session)
    return cache(lambda service: Calls(service, make, region, profile)), region


def _session(region: str, profile: str, session: Any) -> tuple[Callable[[str], Any], str]:
    """What makes boto3's clients, each when it is needed, and their region.

    By several threads one after the other:
    https://boto3.amazonaws.com/v1/documentation/api/latest/guide/session.html#multithreading-or-multiprocessing-with-sessions
    """
    import threading

    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError

    from pipeline.aws.errors import Call, no_region, translated

    try:
        session = session or boto3.Session(profile_name=profile or None)
        region = region or os.environ.get("AWS_REGION", "") or session.region_name or ""
    except BotoCoreError as exc:
        raise translated(exc, Call("sts", profile=profile or os.environ.get("AWS_PROFILE", ""))) from exc
    if not region:
        raise no_region()
    attempts = os.environ.get("AWS_MAX_ATTEMPTS", "")
    retries = {"mode": "standard", "total_max_attempts": int(attempts) if attempts.isdecimal() else AWS_ATTEMPTS}
    config = Config(retries=retries, connect_timeout=10, user_agent_extra="darkroom")
    configs = {"lambda": config.merge(Config(**INVOKING))}
    making = threading.Lock()

    def make(service: str) -> Any:
        with making:  # clients may be used by many threads, a session may not
            return session.client(service, region_name=region, config=configs.get(service, config))

    return make, region


def _stands_in() -> bool:
    """Whether `darkroom local` or the like answers for the account: it throttles nobody."""
    from urllib.parse import urlsplit

    url = os.environ.get("AWS_ENDPOINT_URL_SAGEMAKER") or os.environ.get("AWS_ENDPOINT_URL", "")
    return urlsplit(url).hostname in ("127.0.0.1", "localhost", "::1")


def aws_pause(seconds: float, sleep: Callable[[float], None] = time.sleep) -> None:
    sleep(min(AWS_PAUSE * seconds, AWS_LONGEST_PAUSE_S))


def pages(operation: Any, key: str, **request: Any) -> Iterator[dict[str, Any]]:
    """Every element of a listing, whatever number of pages the service cuts it into."""
    answer = operation(**request, MaxResults=PAGE)
    yield from answer[key]
    while answer.get("NextToken"):
        answer = operation(**request, MaxResults=PAGE, NextToken=answer["NextToken"])
        yield from answer[key]


def request_token() -> str:
    """A call with such a token that is sent twice does its work once. The service asks for 32 to 128 characters."""
    return os.urandom(16).hex()
