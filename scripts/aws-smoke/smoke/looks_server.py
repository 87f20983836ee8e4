"""What an endpoint shows of the container behind it: its image, its user, its headers, its machine."""

from __future__ import annotations

import json
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

from botocore.exceptions import ClientError

from pipeline.preflight.images import parsed
from smoke.account import Account
from smoke.deployed import Deployed, staging
from smoke.looks_endpoint import grey_picture
from smoke.stages import ENDPOINT, EXECUTION
from smoke.verdict import CannotTell, Check, Verdict, judged

_AT_ONCE = 32
_QUEUE = "serving.queue: 1, so that few may wait, and a slow machine"


def image_builds(account: Account) -> Verdict:
    uri = account.pipeline.serving_image
    image = parsed(uri)
    if image is None or image.account != account.pipeline.pipeline.account:
        raise CannotTell(f"{uri} is not of this account", "serving.server: darkroom, without deploy.image")
    request = {"repositoryName": image.repository, "imageIds": image.ids}
    code, message = account.refusal("ecr", "describe_images", **request)
    if code:
        raise CannotTell(f"{uri}: {code} {message}", "the job image of the workflow on main, or .ci/image")
    [found] = account.ask("ecr", "describe_images", **request)["imageDetails"]
    return judged(bool(found.get("imageDigest")), f"{uri}: {found.get('imageSizeInBytes', 0) / 1e6:.0f} MB")


def plain_user(account: Account) -> Verdict:
    return _in_service(_with_image(account, "/darkroom-serve:", "serving.server: darkroom"))


def ray_image(account: Account) -> Verdict:
    found = _with_image(account, "/ray:", "serving.server: ray")
    if found.status != "InService":
        return _in_service(found)
    answer = _asked(found, "application/json")
    return judged("predictions" in json.loads(answer[1]), f"{found.image}: {answer[1][:200]}")


def accept_header(account: Account) -> Verdict:
    found = staging(account)
    if found.status != "InService":
        raise CannotTell(f"{found.name} is {found.status}", "look again some minutes later")
    kind, text = _asked(found, "text/csv")
    return judged(kind.startswith("text/csv") and text.count(",") == 2, f"{found.name} answers {kind}: {text[:100]!r}")


def busy_status(account: Account) -> Verdict:
    """As many requests at once as an endpoint with a short queue refuses some of."""
    found = staging(account)

    def asked(_: int) -> str:
        try:
            _asked(found, "application/json")
        except ClientError as exc:
            return f"{exc.response['Error']['Code']} {exc.response.get('OriginalStatusCode', '')}".rstrip()
        return "answered"

    with ThreadPoolExecutor(_AT_ONCE) as several:
        seen = Counter(several.map(asked, range(_AT_ONCE)))
    refused = set(seen) - {"answered"}
    if not refused or not seen["answered"]:
        raise CannotTell(f"{_AT_ONCE} requests at once: {dict(seen)}", _QUEUE)
    return judged(refused == {"ModelError 503"}, f"{_AT_ONCE} requests at once: {dict(seen)}")


def gpu_system(account: Account) -> Verdict:
    found = staging(account)
    system = found.variant().get("InferenceAmiVersion", "")
    if not system:
        raise CannotTell(
            f"{found.name} runs on {found.variant().get('InstanceType')}", "deploy.instance_type with a GPU"
        )
    return _in_service(found, f" with {system}")


def asynchronous_calls(account: Account) -> Verdict:
    """What `darkroom predict` relies on: one call is refused by its code, the other takes a picture in its body."""
    found = staging(account)
    if not found.described.get("AsyncInferenceConfig"):
        raise CannotTell(f"{found.name} answers at once", "deploy.asynchronous")
    asked = {"EndpointName": found.name, "ContentType": "image/png", "Body": grey_picture()}
    code, message = account.refusal("sagemaker-runtime", "invoke_endpoint", **asked)
    told = account.ask("sagemaker-runtime", "invoke_endpoint_async", Accept="application/json", **asked)
    place = told.get("OutputLocation", "")
    return judged(code == "ValidationError" and bool(place), f"{code} {message}; the answer comes to {place!r}")


def _with_image(account: Account, part: str, hint: str) -> Deployed:
    found = staging(account)
    if part not in found.image:
        raise CannotTell(f"{found.name} runs {found.image}", hint)
    return found


def _in_service(found: Deployed, more: str = "") -> Verdict:
    if found.status not in ("InService", "Failed"):
        raise CannotTell(f"{found.name} is {found.status}", "look again some minutes later")
    told = f"{found.name} is {found.status}{more}: {found.described.get('FailureReason') or found.image}"
    return judged(found.status == "InService", told)


def _asked(found: Deployed, accept: str) -> tuple[str, str]:
    """Content type and text of the answer to a grey picture."""
    answer = found.account.ask(
        "sagemaker-runtime",
        "invoke_endpoint",
        EndpointName=found.name,
        ContentType="image/png",
        Accept=accept,
        Body=grey_picture(),
    )
    return str(answer.get("ContentType", "")), answer["Body"].read().decode()


CHECKS = (
    Check("image-builds", EXECUTION, image_builds, "the registry has darkroom-serve in the version of the pair"),
    Check("plain-user", ENDPOINT, plain_user, "InService with the image of this project, whose user is 1000"),
    Check("accept-header", ENDPOINT, accept_header, "text/csv: class,probability,unsure"),
    Check("busy-status", ENDPOINT, busy_status, "some of 32 requests at once end in ModelError, of status 503"),
    Check("ray-image", ENDPOINT, ray_image, "InService with AWS's Ray Serve image, and predictions"),
    Check("gpu-system", ENDPOINT, gpu_system, "InService with InferenceAmiVersion"),
    Check(
        "asynchronous-calls",
        ENDPOINT,
        asynchronous_calls,
        "InvokeEndpoint ends in ValidationError, InvokeEndpointAsync takes a Body; its answer stays in S3",
    ),
)
