"""The one place where clients are made; everything above it cannot tell this machine from AWS.

A client answers as boto3's does and raises errors.ServiceError, whose codes are AWS's own on both sides.
"""

from __future__ import annotations

import os
import time
from collections import namedtuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

PAGE = 100  # the most that any List operation takes

# sagemaker: boto3's "sagemaker" methods · runtime: invoke_endpoint · storage: exists, get_bytes, put_bytes, put_file,
# list over whole s3:// addresses · home: the folder for what belongs to this machine alone (reports, digests)
# pause(seconds): until the next look at something; shorter where the service can tell that there is something to see
Clients = namedtuple("Clients", "sagemaker runtime storage home pause", defaults=(time.sleep,))


def local_client(home: str) -> Clients:
    """SageMaker on this machine, its state below `home`, which is made where missing."""
    from pipeline.local.service import connect

    service = connect(home)
    return Clients(service, service, service.storage, home, service.ending.pause)


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
