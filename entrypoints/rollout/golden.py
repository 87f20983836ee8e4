"""The smoke test: pictures that lie beside the package's evaluation, and what the model said of them there."""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from rollout.account import ABSENT, Account, DeployRefused

FILE = "golden.json"  # evaluate.py writes it beside evaluation.json
LARGEST = 8 << 20  # bytes
MOST = 16  # pictures
TOLERANCE = 1e-3  # of a probability; another processor rounds differently, another model is further off
TRIES, PAUSE_S = 3, 2.0
DENIED = ("403", "AccessDenied", "Forbidden")  # what S3 says of an absent object to whoever may not list


@dataclass(frozen=True)
class Picture:
    """`top`: the class that the evaluated model put first."""

    name: str
    body: bytes
    content_type: str
    top: str
    probability: float


def address(package: dict[str, Any]) -> str:
    """Beside the statistics that the package names; empty for one that names none."""
    statistics = package.get("ModelMetrics", {}).get("ModelQuality", {}).get("Statistics", {})
    folder, slash, _ = str(statistics.get("S3Uri", "")).rpartition("/")
    return f"{folder}/{FILE}" if slash and folder.startswith("s3://") else ""


def pictures(account: Account, package: dict[str, Any]) -> list[Picture]:
    """Raises DeployRefused where there are none: a model that nobody can ask is not deployed by accident."""
    where = address(package)
    if not where:
        raise _without(package, "its ModelMetrics name no S3 address")
    bucket, _, key = where.removeprefix("s3://").partition("/")
    try:
        answer = account.s3.get_object(Bucket=bucket, Key=key)
    except ClientError as error:
        code = error.response["Error"]["Code"]
        if code in ABSENT or code in DENIED:
            raise _without(package, f"{where} cannot be read ({code})") from None
        raise
    body = answer["Body"].read(LARGEST + 1)
    if len(body) > LARGEST:
        raise DeployRefused(f"{where} has more than {LARGEST:,} bytes: it is none of evaluate.py's")
    try:
        found = [_picture(each) for each in json.loads(body)["pictures"][:MOST]]
    except (ValueError, KeyError, TypeError, RecursionError, binascii.Error):
        raise DeployRefused(f"{where} is damaged: run EvaluateModel again, or deploy with smoke_test false") from None
    if not found:
        raise _without(package, f"{where} holds no picture")
    return found


def verdict(account: Account, endpoint: str, asked: list[Picture]) -> str:
    """What the endpoint gets wrong, in a sentence; empty when it answers as the evaluated model did.

    Throttling and lost connections are no verdict: they are raised, and the phase is repeated.
    """
    for picture in asked:
        if wrong := _wrong(account, endpoint, picture):
            return f"golden picture {picture.name}: {wrong}"
    return ""


def _wrong(account: Account, endpoint: str, picture: Picture) -> str:
    try:
        body = _ask(account, endpoint, picture)
    except ClientError as error:
        if error.response["Error"]["Code"] != "ModelError":
            raise
        return f"the model answered with an error: {error.response['Error']['Message']}"
    try:
        said = json.loads(body)
        said = said["predictions"][0] if "predictions" in said else said
        top, probability = str(said["class"]), float(said["probability"])
    except (ValueError, KeyError, IndexError, TypeError):
        return f"the answer is no prediction: {body[:80]!r}"
    if top != picture.top:
        return f"{top} at {probability:.4f} where the evaluation had {picture.top} at {picture.probability:.4f}"
    if abs(probability - picture.probability) > TOLERANCE:
        return f"{top} at {probability:.4f} where the evaluation had {picture.probability:.4f}"
    return ""


def _ask(account: Account, endpoint: str, picture: Picture) -> bytes:
    """A server's first answers after it came into service may be errors: it is asked up to three times."""
    request = {"EndpointName": endpoint, "ContentType": picture.content_type, "Accept": "application/json"}
    for attempt in range(1, TRIES + 1):
        try:
            answer: bytes = account.runtime.invoke_endpoint(**request, Body=picture.body)["Body"].read()
        except ClientError as error:
            if error.response["Error"]["Code"] not in ("ModelError", "ModelNotReadyException") or attempt == TRIES:
                raise
            account.clock.sleep(PAUSE_S * attempt)
        else:
            return answer
    raise AssertionError("the last attempt answers or raises")


def _picture(each: dict[str, Any]) -> Picture:
    body = base64.b64decode(each["body"], validate=True)
    return Picture(str(each["name"]), body, str(each["content_type"]), str(each["class"]), float(each["probability"]))


def _without(package: dict[str, Any], why: str) -> DeployRefused:
    arn = package.get("ModelPackageArn", "")
    return DeployRefused(
        f"model package {arn!r} has no golden pictures: {why}. Run the pipeline again, or deploy with smoke_test false"
    )
