"""Models behind endpoints: which there are, and what they say of pictures."""

from __future__ import annotations

import json
import re

from pipeline.client import pages
from pipeline.control import asynchronous
from pipeline.control.asynchronous import LIMIT_S
from pipeline.errors import DarkroomError, EndpointError, ServiceError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pipeline.client import Clients

IN_SERVICE, ROLLING_BACK, DELETING = "InService", "RollingBack", "Deleting"
IN_PROGRESS = ("Creating", "Updating", "SystemUpdating", ROLLING_BACK)
SUFFIX = "-production"


def newest_first(clients: Clients) -> list[dict[str, Any]]:
    """Summaries as ListEndpoints gives them."""
    rows = list(pages(clients.sagemaker.list_endpoints, "Endpoints"))
    return sorted(rows, key=lambda row: row["CreationTime"], reverse=True)


def names(clients: Clients) -> list[str]:
    """Newest first."""
    return [row["EndpointName"] for row in newest_first(clients)]


def find(clients: Clients, wanted: str = "") -> str:
    """The endpoint with this name; without one the newest for production, else the newest. Raises DarkroomError."""
    known = names(clients)
    if not known:
        raise DarkroomError("there is no endpoint", "darkroom deploy")
    if not wanted:
        return next((name for name in known if name.endswith(SUFFIX)), known[0])
    if wanted not in known:
        raise DarkroomError(f"there is no endpoint {wanted!r}; there is: {', '.join(known)}", "darkroom endpoints")
    return wanted


def predict(clients: Clients, name: str, image: str) -> dict[str, Any]:
    """{"class": …, "probability": …, "top": […]}. Raises DarkroomError for a file that cannot be read or is refused."""
    try:
        with open(image, "rb") as file:
            body = file.read()
    except OSError as exc:
        raise DarkroomError(f"cannot read {image}: {exc.strerror}", "darkroom predict IMAGE…") from exc
    return classify(clients, name, body, image)


def classify(clients: Clients, name: str, body: bytes, image: str, limit_s: float = LIMIT_S) -> dict[str, Any]:
    """The same of a picture that is at hand; `image`: what to call it. Raises EndpointError where it is refused.

    `limit_s`: how long an asynchronous endpoint's answer is waited for.
    """
    try:
        answer = _answer(clients, name, body, limit_s)
    except ServiceError as exc:
        raise _refusal(image, exc) from exc
    except EndpointError as exc:
        raise EndpointError(f"{image}: {exc.message}", exc.hint) from exc
    return _prediction(answer, name)


def _answer(clients: Clients, name: str, body: bytes, limit_s: float) -> bytes:
    try:
        answer = clients.runtime.invoke_endpoint(
            EndpointName=name, Body=body, ContentType="application/x-image", Accept="application/json"
        )
    except ServiceError as exc:
        if exc.code != "ValidationError" or not _is_asynchronous(clients, name, exc):
            raise
        return asynchronous.ask(clients, name, body, limit_s)
    return bytes(answer["Body"].read())


def _is_asynchronous(clients: Clients, name: str, refusal: ServiceError) -> bool:
    """Raises `refusal` where that cannot be found out: whoever may only ask is told what came of it."""
    try:
        return asynchronous.is_asynchronous(clients, name)
    except ServiceError as exc:
        raise refusal from exc


def _refusal(image: str, error: ServiceError) -> EndpointError:
    """What the model server itself said, out of the service's wrapping; a client error is about the picture alone."""
    wrapped = re.search(r'client error \((\d+)\).*? with message "(.*)"', error.message, re.DOTALL)
    if not wrapped:
        return EndpointError(f"{image}: {error.message}", error.hint)
    try:
        said = json.loads(wrapped[2])["error"]
    except (ValueError, KeyError, TypeError):
        said = wrapped[2]
    return EndpointError(f"{image}: {said} (status {wrapped[1]})", "the other pictures are not concerned")


def _prediction(body: bytes, name: str) -> dict[str, Any]:
    try:
        prediction: dict[str, Any] = json.loads(body)["predictions"][0]
    except (ValueError, KeyError, IndexError, TypeError) as exc:
        start = body[:200].decode("utf-8", "replace")
        raise EndpointError(
            f"endpoint {name!r} does not answer with predictions: {start!r}", "does it serve a model of darkroom's?"
        ) from exc
    return prediction
