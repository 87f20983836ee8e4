"""The AWS Query protocol: STS and IAM, and what older clients speak with CloudWatch. Forms in, XML out."""

from __future__ import annotations

from pipeline import api_model
from pipeline.errors import ServiceError
from pipeline.local import names
from pipeline.local.messages import Answer
from pipeline.local.s3_xml import to_xml

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from pipeline.api_model import Shape
    from pipeline.local.messages import Request

LARGEST_FORM = 1 << 20  # bytes
_MOST_FIELDS = 10_000
_NAMESPACES = {
    "sts": "https://sts.amazonaws.com/doc/2011-06-15/",
    "iam": "https://iam.amazonaws.com/doc/2010-05-08/",
    "cloudwatch": "http://monitoring.amazonaws.com/doc/2010-08-01/",
}


def is_form(request: Request) -> bool:
    return request.headers.get("Content-Type", "").startswith("application/x-www-form-urlencoded")


def form(request: Request) -> dict[str, str]:
    """Raises ServiceError for what is no form."""
    from urllib.parse import parse_qsl

    try:
        text = request.body.all(LARGEST_FORM).decode()
        return dict(parse_qsl(text, keep_blank_values=True, max_num_fields=_MOST_FIELDS))
    except ValueError as exc:
        raise ServiceError("MalformedQueryString", f"the request is no form: {exc}") from exc


def no_action(service: str, action: str, known: str) -> ServiceError:
    """In the words of these services."""
    return ServiceError("InvalidAction", f"the local {service} does not know the action {action!r}; {known}")


def caller_identity(request: Request) -> Answer:
    """STS's one operation here."""
    action = form(request).get("Action", "")
    if action != "GetCallerIdentity":
        raise no_action("STS", action, "it answers GetCallerIdentity")
    arn = f"arn:aws:sts::{names.ACCOUNT}:assumed-role/darkroom/local"
    return answer("sts", action, {"Arn": arn, "UserId": "DARKROOM:local", "Account": names.ACCOUNT})


def refuse_iam(request: Request) -> Answer:
    """Roles are not looked at on this machine. The SDK takes this answer for "cannot tell", and goes on."""
    action = form(request).get("Action", "")
    raise ServiceError("AccessDenied", f"iam:{action}: the local service has no IAM, and checks no permissions")


def answer(service: str, action: str, body: Mapping[str, Any]) -> Answer:
    inner = "".join(_element(name, value) for name, value in body.items())
    text = (
        f'<{action}Response xmlns="{_NAMESPACES[service]}"><{action}Result>{inner}</{action}Result>'
        f"<ResponseMetadata><RequestId>darkroom</RequestId></ResponseMetadata></{action}Response>"
    )
    return Answer(200, {"Content-Type": "text/xml"}, text.encode())


def refusal(status: int, exc: ServiceError) -> Answer:
    side = "Receiver" if status >= 500 else "Sender"
    error = to_xml("Error", {"Type": side, "Code": exc.code, "Message": exc.message})
    text = f"<ErrorResponse>{error}<RequestId>darkroom</RequestId></ErrorResponse>"
    return Answer(status, {"Content-Type": "text/xml"}, text.encode())


def _element(name: str, value: Any) -> str:
    if isinstance(value, dict):
        return to_xml(name, [_element(key, member) for key, member in value.items()])
    if isinstance(value, list):
        return to_xml(name, [_element("member", member) for member in value])
    return to_xml(name, value.isoformat() if hasattr(value, "isoformat") else value)


def request_of(service: str, operation: str, fields: Mapping[str, str]) -> dict[str, Any]:
    """The form as the model has the request. Raises ServiceError SerializationException or ValidationError."""
    shape = api_model.request(service, operation)
    given = {name: text for name, text in fields.items() if name not in ("Action", "Version")}
    tree: dict[str, Any] = {}
    for name, text in given.items():
        place = tree
        *parents, last = name.split(".")
        if len(parents) > 20:
            raise ServiceError("SerializationException", f"{name[:80]!r} nests too deep", operation)
        for parent in parents:
            place = place.setdefault(parent, {})
            if not isinstance(place, dict):
                raise ServiceError("SerializationException", f"{name[:80]!r} is both text and structure", operation)
        place[last] = text
    return dict(_typed(operation, shape, tree)) if shape else {}


def _typed(operation: str, shape: Shape, value: Any) -> Any:
    if isinstance(value, dict):
        match shape.type:
            case "structure":
                known = shape.members
                return {k: _typed(operation, known[k], v) if k in known else v for k, v in value.items()}
            case "list":
                items = value.get("member", {})
                numbered = sorted(items, key=lambda n: (len(n), n)) if isinstance(items, dict) else []
                return [_typed(operation, shape.item, items[number]) for number in numbered]
        raise ServiceError("SerializationException", f"a structure where {shape.type} belongs", operation)
    try:
        match shape.type:
            case "integer" | "long":
                return int(value)
            case "float" | "double":
                return float(value)
            case "timestamp":
                return _moment(value)
            case "boolean":
                return {"true": True, "false": False}[value]
            case "list" if value == "":
                return []
    except (KeyError, ValueError) as exc:
        raise ServiceError("SerializationException", f"{value[:80]!r} is no {shape.type}", operation) from exc
    return value


def _moment(text: str) -> float:
    from datetime import datetime

    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()
